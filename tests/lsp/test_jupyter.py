"""JupyterLab: one text for a whole notebook, under the notebook's name, in a mirror of its folder."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
from tests.lsp.conftest import parameters
from tests.lsp.scripts import EXAMPLES, LLAMA, line_of, open_text, request, shown

from vramlint_lsp.jupyter import spec

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_lsp import LanguageClient


@pytest.mark.asyncio
async def test_the_mirrored_notebook(bare_client: LanguageClient, tmp_path: Path) -> None:
    """The text is Python whatever its name says, and its project is that of the real folder."""
    (tmp_path / "pyproject.toml").write_text('[tool.vramlint]\ngpu = "RTX 4090"\n')
    mirror = tmp_path / ".virtual_documents"
    await bare_client.initialize_session(parameters(mirror, "emacs@v29.1"))
    text = 'get_ipython().run_line_magic("pip", " list")\n\n\n' + LLAMA
    document = open_text(bare_client, mirror / "train.ipynb", text)
    await shown(bare_client, document.uri, some=True)
    (found,) = bare_client.diagnostics[document.uri]
    assert found.range.start.line == line_of(text, "trainer.train()")


@pytest.mark.asyncio
async def test_a_notebook_as_text(bare_client: LanguageClient, tmp_path: Path) -> None:
    """The JSON of a notebook is read as a notebook; its findings are where the JSON has their lines."""
    await bare_client.initialize_session(parameters(tmp_path, "emacs@v29.1", gpu="4GB"))
    text = (EXAMPLES / "notebook.ipynb").read_text(encoding="utf-8")
    document = open_text(bare_client, tmp_path / "notebook.ipynb", text, "json")
    await shown(bare_client, document.uri, some=True)
    found = [one for one in bare_client.diagnostics[document.uri] if one.code == "out-of-memory"]
    line = text.split("\n")[found[0].range.start.line]
    assert line[found[0].range.start.character : found[0].range.end.character] == "trainer.train()"
    answer = await request(bare_client, "vramlint/report", {"uri": document.uri})
    assert answer.files[0].runs[0].cell == 9


def test_the_entry_point() -> None:
    """jupyter-lsp starts the server with the Python that it is installed in."""
    (server,) = spec(None).values()
    assert server["argv"] == [sys.executable, "-m", "vramlint", "lsp"]
    assert "python" in server["languages"]
