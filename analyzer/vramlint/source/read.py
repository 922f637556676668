"""Reading: the bytes of one file become a document and the issues that reading met; nothing raises."""

from __future__ import annotations

import io
import json
import re
import tokenize
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from vramlint.source.document import Cell, CellKind, Document, DocumentKind
from vramlint.source.issue import Issue, IssueKind, at_top

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_KINDS: Mapping[str, DocumentKind] = {
    ".py": "script", ".pyw": "script", ".ipynb": "notebook", ".sh": "shell", ".bash": "shell",
    ".yaml": "yaml", ".yml": "yaml", ".json": "json", ".toml": "toml", ".md": "markdown",
}  # fmt: skip
# The largest of 1,047 mined training scripts has 290 kB. CPython's tree of a megabyte of dense code takes
# a few seconds and 800 MB.
TEXT_LIMIT = 1_000_000
# Notebooks carry their outputs, which are read past and dropped.
NOTEBOOK_LIMIT = 100_000_000

_PERCENT_CELL = re.compile(r"^#[ \t]?%%|^# COMMAND -{5,}", re.MULTILINE)
# Text codecs of the standard library whose decoding is quadratic, or fails by design.
_REFUSED_CODECS = {"idna", "punycode", "undefined"}
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")

Read = tuple[Document, tuple[Issue, ...]]


def document(path: str, data: bytes | str, kind: DocumentKind | None = None) -> Read:
    """Read one file; `kind` overrules the suffix, for standard input and unsaved buffers.

    What cannot be read at all gives a document without cells, and an issue that says why.
    """
    kind = kind or kind_of(path)
    limit = NOTEBOOK_LIMIT if kind == "notebook" else TEXT_LIMIT
    if len(data) > limit:
        return _failed(path, kind, "too-large", f"{len(data):,} bytes; files over {limit:,} are not read")
    text, issues = _text(path, data, kind)
    if text is None:
        return Document(path, kind, ()), issues
    if kind == "notebook":
        read, further = _notebook(path, text)
        return read, issues + further
    if kind == "script" and _PERCENT_CELL.search(text):
        kind = "percent-script"
    return Document(path, kind, (Cell(None, text),)), issues


def kind_of(path: str) -> DocumentKind:
    """Return the kind that a path's suffix says; a file without a known one is taken for a script."""
    return _KINDS.get(PurePath(path).suffix.lower(), "script")


def _failed(path: str, kind: DocumentKind, issue: IssueKind, message: str) -> Read:
    return Document(path, kind, ()), (Issue(issue, message, at_top(path)),)


def _text(path: str, data: bytes | str, kind: DocumentKind) -> tuple[str | None, tuple[Issue, ...]]:
    r"""Decode to text with `\\n` line ends and no byte-order mark; None and an issue where that cannot be."""
    if isinstance(data, str):
        return _normalised(data), ()
    if data.startswith(_UTF16_MARKS):
        return None, (Issue("unreadable", "UTF-16 text; Python source is UTF-8", at_top(path)),)
    if b"\0" in data:
        return None, (Issue("binary", "binary data, no text", at_top(path)),)
    encoding = "utf-8-sig"
    if kind == "script":
        encoding, issue = _declared_encoding(path, data)
        if issue:
            return None, (issue,)
    try:
        return _normalised(data.decode(encoding)), ()
    except (UnicodeError, LookupError) as error:
        text = data.decode("utf-8-sig", errors="replace")
        return _normalised(text), (Issue("unreadable", f"not {encoding} text: {error}", at_top(path)),)


def _declared_encoding(path: str, data: bytes) -> tuple[str, Issue | None]:
    """Return the encoding that PEP 263 gives a Python file."""
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data[:4096]).readline)
    except SyntaxError as error:
        if "utf-8" in str(error.msg):  # the first lines are not UTF-8: decoding the whole says where
            return "utf-8-sig", None
        return "", Issue("unreadable", str(error.msg), at_top(path))
    if encoding in _REFUSED_CODECS:
        return "", Issue("unreadable", f"unusable encoding declaration: {encoding}", at_top(path))
    return encoding, None


def _normalised(text: str) -> str:
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


def _notebook(path: str, text: str) -> Read:
    if not text.strip(" \t\r\n\f\v"):
        return Document(path, "notebook", ()), ()
    try:
        cells, code = _notebook_cells(text)
    except RecursionError:
        return _failed(path, "notebook", "broken-notebook", "broken notebook: JSON nested too deeply")
    except ValueError as error:
        return _failed(path, "notebook", "broken-notebook", f"broken notebook: {error}")
    read = tuple(_cell(index, cell, code) for index, cell in enumerate(cells))
    # Pictures in Markdown cells are long texts, which nobody parses.
    size = sum(len(cell.text) for cell in read if cell.kind == "code")
    if size > TEXT_LIMIT:
        message = f"{size:,} characters in cells; over {TEXT_LIMIT:,} are not read"
        return _failed(path, "notebook", "too-large", message)
    return Document(path, "notebook", read), ()


def _notebook_cells(text: str) -> tuple[list[Any], CellKind]:
    """Return the cells as they are, and what code cells count as: those of other languages are raw.

    Raises:
        ValueError: if the text is no notebook; the message says why.
    """
    if text.startswith("version https://git-lfs"):
        raise ValueError("a Git LFS pointer stands in its place")
    content = json.loads(text)
    cells = _raw_cells(content)
    if cells is None:
        raise ValueError("JSON without a list of cells")
    return cells, "code" if _language(content) in {"python", "ipython"} else "raw"


def _raw_cells(content: object) -> list[Any] | None:
    """Return the cells of nbformat 4, or of all worksheets of nbformat 3; None where it is neither."""
    if not isinstance(content, dict):
        return None
    if isinstance(content.get("cells"), list):
        return list(content["cells"])
    worksheets = content.get("worksheets")
    if not isinstance(worksheets, list):
        return None
    return list(_worksheet_cells(worksheets))


def _worksheet_cells(worksheets: list[Any]) -> Iterator[Any]:
    for sheet in worksheets:
        if isinstance(sheet, dict) and isinstance(sheet.get("cells"), list):
            yield from sheet["cells"]


def _cell(index: int, cell: object, code: CellKind) -> Cell:
    """Keep a cell's source, not its outputs; what is no cell is an empty raw one, so that indices hold."""
    if not isinstance(cell, dict):
        return Cell(index, "", "raw")
    kinds: Mapping[object, CellKind] = {"code": code, "markdown": "markdown", "heading": "markdown"}
    kind = kinds.get(str(cell.get("cell_type")), "raw")
    source = cell.get("source", cell.get("input", ""))
    if isinstance(source, list):
        source = "".join(line for line in source if isinstance(line, str))
    return Cell(index, _normalised(source) if isinstance(source, str) else "", kind)


def _language(content: Mapping[str, Any]) -> str:
    """Return the kernel's language in lower case; Python where a notebook does not say."""
    metadata = content.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    for key, field in (("language_info", "name"), ("kernelspec", "language")):
        section = metadata.get(key)
        if isinstance(section, dict) and isinstance(section.get(field), str):
            return str(section[field]).lower()
    return "python"
