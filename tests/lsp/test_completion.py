"""Completion of what only vramlint knows, and links to the files that a script names."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from lsprotocol import types
from tests.lsp.scripts import LLAMA, open_text

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_lsp import LanguageClient

pytestmark = pytest.mark.asyncio


async def _labels(client: LanguageClient, path: Path, text: str, language: str = "python") -> set[str]:
    """Return what is offered at the end of a text."""
    document = open_text(client, path, text, language)
    lines = text.split("\n")
    end = types.Position(line=len(lines) - 1, character=len(lines[-1]))
    found = await client.text_document_completion_async(
        types.CompletionParams(text_document=document, position=end)
    )
    assert not isinstance(found, types.CompletionList)
    return {item.label for item in found or ()}


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("# vramlint: ", "ignore"),
        ("x = 1  # vramlint: ignore[out", "out-of-memory"),
        ("# vramlint: set micro", "micro_batch_size="),
        ("# vramlint: set micro_batch_size=2 seq", "sequence_length="),
    ],
)
async def test_in_a_comment(client: LanguageClient, tmp_path: Path, text: str, label: str) -> None:
    """Words, rules and settings are offered where they may stand."""
    assert label in await _labels(client, tmp_path / "train.py", text)


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("[tool.vramlint]\n", "world-size"),
        ('[tool.vramlint]\ngpu = "', "H200"),
        ('[tool.vramlint]\nignore = ["', "out-of-memory"),
        ("[tool.vramlint.set]\n", "micro_batch_size"),
    ],
)
async def test_in_the_options(client: LanguageClient, tmp_path: Path, text: str, label: str) -> None:
    """The table of options offers its keys, GPUs and rules."""
    assert label in await _labels(client, tmp_path / "pyproject.toml", text, "toml")


@pytest.mark.parametrize("text", ["x = ", "# a comment ", "[tool.ruff]\n"])
async def test_silent_elsewhere(client: LanguageClient, tmp_path: Path, text: str) -> None:
    """Nothing is offered in code, in other comments, in other tables."""
    name = "pyproject.toml" if text.startswith("[") else "train.py"
    assert set() == await _labels(client, tmp_path / name, text)


async def test_links(client: LanguageClient, tmp_path: Path) -> None:
    """A file that is named and exists is a link; one that does not exist is none."""
    (tmp_path / "ds.json").write_text("{}")
    script = LLAMA.replace("bf16=True,", 'bf16=True, deepspeed="ds.json", run_name="none.json",')
    document = open_text(client, tmp_path / "train.py", script)
    (link,) = (
        await client.text_document_document_link_async(types.DocumentLinkParams(text_document=document)) or ()
    )
    assert link.target == (tmp_path / "ds.json").as_uri()
