"""Notebooks: the cells are one program, and each finding stands in its cell."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from lsprotocol import types
from tests.lsp.conftest import parameters
from tests.lsp.scripts import hover, pull, shown

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pytest_lsp import LanguageClient

pytestmark = pytest.mark.asyncio

CELLS = (
    "!pip install transformers\nfrom transformers import AutoModelForCausalLM, Trainer, TrainingArguments",
    "model_id = 'meta-llama/Llama-2-7b-hf'\nmodel = AutoModelForCausalLM.from_pretrained(model_id)",
    "# A training",
    """\
args = TrainingArguments("out", per_device_train_batch_size=4, optim="adamw_torch")
trainer = Trainer(model=model, args=args, train_dataset=data)""",
    "# vramlint: set sequence_length=512\ntrainer.train()",
)
MARKDOWN = 2


def _uri(number: int | str) -> str:
    return f"vscode-notebook-cell:/project/train.ipynb#W{number}"


def _cell(
    number: int | str, kind: types.NotebookCellKind = types.NotebookCellKind.Code
) -> types.NotebookCell:
    return types.NotebookCell(kind=kind, document=_uri(number))


def _item(number: int | str, text: str, language: str = "python") -> types.TextDocumentItem:
    return types.TextDocumentItem(uri=_uri(number), language_id=language, version=1, text=text)


def _open(client: LanguageClient, path: Path, texts: Sequence[str] = CELLS) -> str:
    """Open a notebook whose third cell is Markdown."""
    kinds = {MARKDOWN: types.NotebookCellKind.Markup}
    cells = [_cell(number, kinds.get(number, types.NotebookCellKind.Code)) for number in range(len(texts))]
    client.notebook_document_did_open(
        types.DidOpenNotebookDocumentParams(
            notebook_document=types.NotebookDocument(
                uri=path.as_uri(), notebook_type="jupyter-notebook", version=1, cells=cells
            ),
            cell_text_documents=[
                _item(number, text, "markdown" if number == MARKDOWN else "python")
                for number, text in enumerate(texts)
            ],
        )
    )
    return path.as_uri()


def _change(client: LanguageClient, uri: str, **cells: object) -> None:
    client.notebook_document_did_change(
        types.DidChangeNotebookDocumentParams(
            notebook_document=types.VersionedNotebookDocumentIdentifier(version=2, uri=uri),
            change=types.NotebookDocumentChangeEvent(
                cells=types.NotebookDocumentCellChanges(**cells)  # type: ignore[arg-type]
            ),
        )
    )


def _document(number: int | str) -> types.TextDocumentIdentifier:
    return types.TextDocumentIdentifier(uri=_uri(number))


async def test_a_finding_is_in_its_cell(client: LanguageClient, tmp_path: Path) -> None:
    """What one cell loads, another trains; the other cells have no findings of it."""
    _open(client, tmp_path / "train.ipynb")
    (found,) = [one for one in await pull(client, _document(4)) if one.code == "out-of-memory"]
    assert found.range.start == types.Position(line=1, character=0)
    related = {one.location.uri for one in found.related_information or ()}
    assert _uri(1) in related
    assert () == tuple(await pull(client, _document(0)))
    text = await hover(client, _document(1), CELLS[1], "'meta-llama")
    assert text is not None
    assert "6.74 B parameters" in text


async def test_an_edit_in_one_cell_reaches_another(client: LanguageClient, tmp_path: Path) -> None:
    """A smaller model in the second cell clears the finding in the last one."""
    uri = _open(client, tmp_path / "train.ipynb")
    assert await pull(client, _document(4))
    text = types.TextDocumentContentChangePartial(
        range=types.Range(
            start=types.Position(line=0, character=12), end=types.Position(line=0, character=36)
        ),
        text="gpt2",
    )
    at = types.VersionedTextDocumentIdentifier(uri=_uri(1), version=2)
    content = types.NotebookDocumentCellContentChanges(document=at, changes=[text])
    _change(client, uri, text_content=[content])
    assert () == tuple(await pull(client, _document(4)))


async def test_cells_come_and_go(client: LanguageClient, tmp_path: Path) -> None:
    """A deleted cell has no part in the program; a new one has, at its place."""
    uri = _open(client, tmp_path / "train.ipynb")
    array = types.NotebookCellArrayChange(start=1, delete_count=1, cells=[_cell("new")])
    structure = types.NotebookDocumentCellChangeStructure(
        array=array,
        did_open=[_item("new", "model = AutoModelForCausalLM.from_pretrained('gpt2')")],
        did_close=[_document(1)],
    )
    _change(client, uri, structure=structure)
    assert () == tuple(await pull(client, _document(4)))
    text = await hover(
        client, _document("new"), "model = AutoModelForCausalLM.from_pretrained('gpt2')", "'gpt2'"
    )
    assert text is not None
    assert "124 M parameters" in text


async def test_pushed_findings_go_with_their_cell(bare_client: LanguageClient, tmp_path: Path) -> None:
    """A client that cannot ask is told that a cell which is no code any more has no findings."""
    await bare_client.initialize_session(parameters(tmp_path, "emacs@v29.1", gpu="RTX 4090"))
    uri = _open(bare_client, tmp_path / "train.ipynb")
    await shown(bare_client, _uri(4), some=True)
    array = types.NotebookCellArrayChange(start=4, delete_count=1, cells=[])
    structure = types.NotebookDocumentCellChangeStructure(array=array, did_close=[_document(4)])
    _change(bare_client, uri, structure=structure)
    await shown(bare_client, _uri(4), some=False)


async def test_closing_clears_all_cells(bare_client: LanguageClient, tmp_path: Path) -> None:
    """A closed notebook leaves nothing behind."""
    await bare_client.initialize_session(parameters(tmp_path, "emacs@v29.1", gpu="RTX 4090"))
    uri = _open(bare_client, tmp_path / "train.ipynb")
    await shown(bare_client, _uri(4), some=True)
    bare_client.notebook_document_did_close(
        types.DidCloseNotebookDocumentParams(
            notebook_document=types.NotebookDocumentIdentifier(uri=uri),
            cell_text_documents=[_document(number) for number in range(5)],
        )
    )
    await shown(bare_client, _uri(4), some=False)
