"""What is open in the editor: texts and notebooks, kept up to date change by change."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

from lsprotocol import types

from vramlint.source import read
from vramlint.source.document import Cell, Document
from vramlint_lsp.convert import DEFAULT, changed_text, lines_of, path_of
from vramlint_lsp.notebook_text import in_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from vramlint.source.document import CellKind, DocumentKind
    from vramlint.source.spans import Span
    from vramlint_lsp.convert import Encoding

_KINDS: dict[str, DocumentKind] = {
    "python": "script", "shellscript": "shell", "sh": "shell", "bash": "shell", "yaml": "yaml",
    "json": "json", "jsonc": "json", "toml": "toml", "markdown": "markdown",
}  # fmt: skip


@dataclass(frozen=True)
class Text:
    """One open text; `cell` is its index in a notebook, or None."""

    uri: str
    language: str
    version: int
    text: str
    cell: int | None = None
    kind: CellKind = "code"

    @cached_property
    def lines(self) -> list[str]:
        """Return the lines as the editor counts them."""
        return lines_of(self.text)


@dataclass(frozen=True, slots=True)
class Source:
    """One open document: a text, or a notebook with its cells; `revision` grows with every change."""

    uri: str
    texts: tuple[Text, ...]
    revision: int
    is_notebook: bool = False

    @property
    def path(self) -> str:
        """Return the path under which the analyzer knows it; JupyterLab mirrors folders in `.virtual_documents`."""
        return path_of(self.uri).replace("/.virtual_documents/", "/")

    @property
    def version(self) -> int | None:
        """Return the client's version of a text; cells of a notebook have their own."""
        return None if self.is_notebook else self.texts[0].version

    @property
    def first(self) -> Text | None:
        """Return the first text that is code; None in a notebook without any."""
        return next((text for text in self.texts if text.kind == "code"), None)

    def text(self, cell: int | None) -> Text | None:
        """Return the text of a cell, or the text itself for None."""
        return next((text for text in self.texts if text.cell == cell), None)

    def placed(self, span: Span) -> tuple[Text, Span] | None:
        """Return the text that a span of this document stands in, and its place there."""
        if span.path != self.path:
            return None
        text = self.text(span.cell)
        if text is not None or self.is_notebook or span.cell is None:
            return None if text is None else (text, span)
        found = in_json(self.texts[0].text, span)
        return None if found is None else (self.texts[0], found)

    def text_at(self, uri: str) -> Text | None:
        """Return the text that the editor knows by that URI."""
        return next((text for text in self.texts if text.uri == uri), None)

    def read(self) -> read.Read:
        """Return the document for the analyzer, and what reading it met."""
        if self.is_notebook:
            cells = tuple(Cell(text.cell, _plain(text.text), text.kind) for text in self.texts)
            return Document(self.path, "notebook", cells), ()
        text = self.texts[0]
        document, issues = read.document(self.path, text.text, _kind(text, self.path))
        if self.path.endswith(".ipynb"):  # JupyterLab's text has no cells, and is a notebook's all the same
            document = replace(document, kind="notebook")
        return document, issues


def _plain(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _kind(text: Text, path: str) -> DocumentKind:
    """Return what the text is: JupyterLab sends a notebook's code under the notebook's own name."""
    if path.endswith(".ipynb"):
        return "notebook" if text.text.lstrip().startswith("{") else "script"
    return _KINDS.get(text.language) or read.kind_of(path)


@dataclass(slots=True)
class Buffers:
    """All open documents by their URI; a cell is found by its own URI too."""

    encoding: Encoding = DEFAULT
    sources: dict[str, Source] = field(default_factory=dict)
    notebook_of: dict[str, str] = field(default_factory=dict)
    revision: int = 0

    def find(self, uri: str) -> Source | None:
        """Return the document that a text or a cell belongs to."""
        return self.sources.get(self.notebook_of.get(uri, uri))

    def renewed(self, source: Source) -> Source:
        """Return a document as if it had changed: something that it depends on did."""
        return self._put(replace(source, revision=self._next()))

    def unsaved(self) -> dict[str, str]:
        """Return the open texts by their paths; notebooks, in cells or as JupyterLab's text, are no neighbours."""
        return {
            os.path.normpath(source.path): source.texts[0].text
            for source in self.sources.values()
            if not source.is_notebook and not source.path.endswith(".ipynb")
        }

    def open(self, item: types.TextDocumentItem) -> Source:
        """Take in a text."""
        text = Text(item.uri, item.language_id, item.version, item.text)
        return self._put(Source(item.uri, (text,), self._next()))

    def change(
        self, uri: str, version: int, changes: Sequence[types.TextDocumentContentChangeEvent]
    ) -> Source | None:
        """Apply changes to a text; None where it is not open."""
        source = self.sources.get(uri)
        if source is None:
            return None
        text = self._changed(source.texts[0], version, changes)
        return self._put(replace(source, texts=(text,), revision=self._next()))

    def open_notebook(self, params: types.DidOpenNotebookDocumentParams) -> Source:
        """Take in a notebook with its cells."""
        items = {item.uri: item for item in params.cell_text_documents}
        found = [_cell(items[cell.document], cell) for cell in params.notebook_document.cells]
        return self._put_notebook(params.notebook_document.uri, found)

    def change_notebook(self, params: types.DidChangeNotebookDocumentParams) -> Source | None:
        """Apply a change of a notebook's cells or of their texts; None where it is not open."""
        source = self.sources.get(params.notebook_document.uri)
        if source is None:
            return None
        texts, cells = list(source.texts), params.change.cells
        if cells is not None and cells.structure is not None:
            texts = self._spliced(texts, cells.structure)
        by_uri = {text.uri: text for text in texts}
        for data in (cells.data or ()) if cells is not None else ():
            if data.document in by_uri:
                by_uri[data.document] = replace(by_uri[data.document], kind=_cell_kind(data))
        for content in (cells.text_content or ()) if cells is not None else ():
            at = content.document
            if at.uri in by_uri:
                by_uri[at.uri] = self._changed(by_uri[at.uri], at.version, content.changes)
        return self._put_notebook(source.uri, by_uri.values())

    def close(self, uri: str) -> Source | None:
        """Forget a document."""
        source = self.sources.pop(uri, None)
        for text in source.texts if source is not None else ():
            self.notebook_of.pop(text.uri, None)
        return source

    def _spliced(self, texts: list[Text], structure: types.NotebookDocumentCellChangeStructure) -> list[Text]:
        opened = {item.uri: item for item in structure.did_open or ()}
        known = {text.uri: text for text in texts}
        array = structure.array
        new = [
            _cell(opened[cell.document], cell) if cell.document in opened else known[cell.document]
            for cell in array.cells or ()
            if cell.document in opened or cell.document in known
        ]
        texts[array.start : array.start + array.delete_count] = new
        return texts

    def _changed(
        self, text: Text, version: int, changes: Sequence[types.TextDocumentContentChangeEvent]
    ) -> Text:
        content = text.text
        for change in changes:
            content = changed_text(content, change, self.encoding)
        return replace(text, text=content, version=version)

    def _put_notebook(self, uri: str, texts: Iterable[Text]) -> Source:
        self.close(uri)
        numbered = tuple(replace(text, cell=index) for index, text in enumerate(texts))
        self.notebook_of.update({text.uri: uri for text in numbered})
        return self._put(Source(uri, numbered, self._next(), is_notebook=True))

    def _put(self, source: Source) -> Source:
        self.sources[source.uri] = source
        return source

    def _next(self) -> int:
        self.revision += 1
        return self.revision


def _cell(item: types.TextDocumentItem, cell: types.NotebookCell) -> Text:
    kind = _cell_kind(cell)
    if kind == "code" and item.language_id != "python":
        kind = "raw"
    return Text(item.uri, item.language_id, item.version, item.text, kind=kind)


def _cell_kind(cell: types.NotebookCell) -> CellKind:
    return "code" if cell.kind == types.NotebookCellKind.Code else "markdown"
