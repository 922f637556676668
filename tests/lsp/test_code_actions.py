"""Code actions: edits with their saving in the title, at the places that they have to do with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from lsprotocol import types
from tests.lsp.conftest import parameters
from tests.lsp.scripts import GPT2, LLAMA, line_of, open_text, pull

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pytest_lsp import LanguageClient

pytestmark = pytest.mark.asyncio

FIX_ALL = "source.fixAll.vramlint"


async def _actions(
    client: LanguageClient,
    document: types.TextDocumentIdentifier,
    line: int,
    only: Sequence[str] | None = None,
) -> dict[str, types.CodeAction]:
    here = types.Range(
        start=types.Position(line=line, character=0), end=types.Position(line=line, character=0)
    )
    found = await client.text_document_code_action_async(
        types.CodeActionParams(
            text_document=document,
            range=here,
            context=types.CodeActionContext(diagnostics=[], only=[*only] if only else None),
        )
    )
    return {action.title: action for action in found or () if isinstance(action, types.CodeAction)}


def _applied(text: str, action: types.CodeAction) -> str:
    """Apply an action's edits to an ASCII text, the last one first, as the protocol says."""
    assert action.edit is not None
    edits: list[types.TextEdit] = []
    for change in action.edit.document_changes or ():
        assert isinstance(change, types.TextDocumentEdit)
        edits += [edit for edit in change.edits if isinstance(edit, types.TextEdit)]
    for some in (action.edit.changes or {}).values():
        edits += some
    starts = [0]
    for line in text.split("\n"):
        starts.append(starts[-1] + len(line) + 1)
    for edit in sorted(
        edits, key=lambda one: (one.range.start.line, one.range.start.character), reverse=True
    ):
        start = starts[edit.range.start.line] + edit.range.start.character
        end = starts[edit.range.end.line] + edit.range.end.character
        text = text[:start] + edit.new_text + text[end:]
    return text


async def test_a_finding_offers_its_ways_out(client: LanguageClient, tmp_path: Path) -> None:
    """The titles say what is saved, whether it then fits, and what is not safe."""
    document = open_text(client, tmp_path / "train.py", LLAMA)
    actions = await _actions(client, document, line_of(LLAMA, "trainer.train()"))
    assert "Use gradient checkpointing: \N{MINUS SIGN}38.8 GB" in actions
    assert "Use 8-bit AdamW (bitsandbytes): \N{MINUS SIGN}12.5 GB (unsafe)" in actions
    (qlora,) = [action for title, action in actions.items() if "QLoRA" in title]
    assert qlora.title.endswith("\N{MINUS SIGN}93.0 GB, fits (unsafe)")
    assert qlora.kind == types.CodeActionKind.QuickFix
    assert qlora.diagnostics


async def test_an_applied_edit_clears_the_finding(client: LanguageClient, tmp_path: Path) -> None:
    """After the edit that fits, the document has no finding any more."""
    document = open_text(client, tmp_path / "train.py", LLAMA)
    actions = await _actions(client, document, line_of(LLAMA, "trainer.train()"))
    (qlora,) = [action for title, action in actions.items() if "QLoRA" in title]
    text = _applied(LLAMA, qlora)
    assert "model = prepare_model_for_kbit_training(model)\n" in text
    changed = open_text(client, tmp_path / "other.py", text)
    assert () == tuple(await pull(client, changed))


async def test_a_line_offers_what_changes_it(client: LanguageClient, tmp_path: Path) -> None:
    """At the optimizer's line there are other optimizers, and nothing about the batch."""
    document = open_text(client, tmp_path / "train.py", LLAMA)
    titles = [*await _actions(client, document, line_of(LLAMA, "optim="))]
    assert any("8-bit AdamW" in title for title in titles)
    assert all("Split the batch" not in title for title in titles)
    assert {} == await _actions(client, document, 0)


async def test_silencing(client: LanguageClient, tmp_path: Path) -> None:
    """The comment that silences a finding is an action, too."""
    document = open_text(client, tmp_path / "train.py", LLAMA)
    actions = await _actions(client, document, line_of(LLAMA, "trainer.train()"))
    text = _applied(LLAMA, actions["Silence out-of-memory on this line"])
    assert "trainer.train()  # vramlint: ignore[out-of-memory]\n" in text


async def test_all_safe_fixes(bare_client: LanguageClient, tmp_path: Path) -> None:
    """They are applied until it fits; nothing that is not safe is among them."""
    await bare_client.initialize_session(parameters(tmp_path, gpu="12GB"))
    document = open_text(bare_client, tmp_path / "train.py", GPT2)
    assert await pull(bare_client, document)
    (action,) = (await _actions(bare_client, document, 0, [FIX_ALL])).values()
    text = _applied(GPT2, action)
    assert "model.gradient_checkpointing_enable()\n" in text
    assert "bitsandbytes" not in text
    changed = open_text(bare_client, tmp_path / "other.py", text)
    assert () == tuple(await pull(bare_client, changed))


async def test_nothing_to_fix_where_it_fits(client: LanguageClient, tmp_path: Path) -> None:
    """A training that fits is left alone by "fix all"."""
    document = open_text(client, tmp_path / "train.py", GPT2)
    assert {} == await _actions(client, document, 0, ["source.fixAll"])
