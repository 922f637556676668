"""Options: from the first request, from the workspace, from the project; wrong ones cost one message."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from lsprotocol import types
from tests.lsp.conftest import parameters
from tests.lsp.scripts import LLAMA, SECONDS, lenses, open_text, published, pull, request, shown

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_lsp import LanguageClient

pytestmark = pytest.mark.asyncio


async def _gpu(client: LanguageClient, document: types.TextDocumentIdentifier) -> str | None:
    answer = await request(client, "vramlint/report", {"uri": document.uri})
    gpu = answer.files[0].runs[0].gpu
    return None if gpu is None else str(gpu.name)


async def _until_gpu(client: LanguageClient, document: types.TextDocumentIdentifier, name: str) -> None:
    async with asyncio.timeout(SECONDS):
        while name not in str(await _gpu(client, document)):  # noqa: ASYNC110  there is no event for it
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("nested", [False, True], ids=["flat", "under vramlint"])
async def test_initial_options(bare_client: LanguageClient, tmp_path: Path, *, nested: bool) -> None:
    """Options may be flat or under the tool's name, in any of the three spellings."""
    options = {"gpu": "A100 80GB", "worldSize": 2, "max_peak": "500GB"}
    given = {"vramlint": options} if nested else options
    await bare_client.initialize_session(parameters(tmp_path, **given))
    document = open_text(bare_client, tmp_path / "train.py", LLAMA)
    answer = await request(bare_client, "vramlint/report", {"uri": document.uri})
    run = answer.files[0].runs[0]
    assert "A100" in run.gpu.name
    assert run.settings.world_size.value == 2
    assert [] == bare_client.messages


async def test_the_workspace_is_asked(bare_client: LanguageClient, tmp_path: Path) -> None:
    """A client that answers `workspace/configuration` decides, also when it changes its mind."""
    bare_client.set_configuration({"vramlint": {"gpu": "RTX 3090", "inlayHints": {"enable": False}}})
    await bare_client.initialize_session(parameters(tmp_path, gpu="H200"))
    document = open_text(bare_client, tmp_path / "train.py", LLAMA)
    await _until_gpu(bare_client, document, "3090")
    bare_client.set_configuration({"vramlint": {"gpu": "L40S", "codeLens": {"enable": False}}})
    bare_client.workspace_did_change_configuration(types.DidChangeConfigurationParams(settings=None))
    await _until_gpu(bare_client, document, "L40S")
    assert [] == await lenses(bare_client, document)


async def test_pushed_settings(bare_client: LanguageClient, tmp_path: Path) -> None:
    """A client that cannot be asked sends its settings; an empty second notice takes nothing back."""
    asked = parameters(tmp_path, "emacs@v29.1")
    assert asked.capabilities.workspace is not None
    asked.capabilities.workspace.configuration = None
    await bare_client.initialize_session(asked)
    document = open_text(bare_client, tmp_path / "train.py", LLAMA)
    for settings in ({"vramlint": {"gpu": "RTX 4090", "launch": {"train.py": "python train.py"}}}, {}):
        bare_client.workspace_did_change_configuration(types.DidChangeConfigurationParams(settings=settings))
    await shown(bare_client, document.uri, some=True)


async def test_wrong_options_cost_one_message(bare_client: LanguageClient, tmp_path: Path) -> None:
    """The message names the nearest valid ones; the right options count all the same."""
    options = {"gpuu": "H100", "gpu": "RTX 4090", "reserve": "much", "set": {"batch": 3}, "worldSize": "x"}
    await bare_client.initialize_session(parameters(tmp_path, **options))
    document = open_text(bare_client, tmp_path / "train.py", LLAMA)
    assert await pull(bare_client, document)
    (message,) = bare_client.messages
    for part in ("'gpuu'; did you mean 'gpu'?", "'much' is no size", "world-size", "set batch"):
        assert part in message.message


async def test_the_project_decides(bare_client: LanguageClient, tmp_path: Path) -> None:
    """`[tool.vramlint]` of the nearest pyproject.toml counts, and a change of it at once."""
    project = tmp_path / "pyproject.toml"
    project.write_text('[tool.vramlint]\ngpu = "RTX 4090"\n')
    await bare_client.initialize_session(parameters(tmp_path))
    document = open_text(bare_client, tmp_path / "train.py", LLAMA)
    assert "4090" in str(await _gpu(bare_client, document))
    project.write_text('[tool.vramlint]\ngpu = "H200"\n')
    event = types.FileEvent(uri=project.as_uri(), type=types.FileChangeType.Changed)
    bare_client.workspace_did_change_watched_files(types.DidChangeWatchedFilesParams(changes=[event]))
    assert "H200" in str(await _gpu(bare_client, document))
    project.write_text('[tool.vramlint]\ngppu = "H200"\n')
    bare_client.workspace_did_change_watched_files(types.DidChangeWatchedFilesParams(changes=[event]))
    assert await _gpu(bare_client, document) is None
    assert ["gppu" in message.message for message in bare_client.messages] == [True]


async def test_two_roots(bare_client: LanguageClient, tmp_path: Path) -> None:
    """Each folder of a workspace has the options of its own project."""
    documents = {}
    for name, gpu in (("one", "RTX 4090"), ("two", "H200")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "pyproject.toml").write_text(f'[tool.vramlint]\ngpu = "{gpu}"\n')
    asked = parameters(tmp_path / "one")
    asked.workspace_folders = [
        types.WorkspaceFolder(uri=(tmp_path / name).as_uri(), name=name) for name in ("one", "two")
    ]
    await bare_client.initialize_session(asked)
    for name in ("one", "two"):
        documents[name] = open_text(bare_client, tmp_path / name / "train.py", LLAMA)
    assert "4090" in str(await _gpu(bare_client, documents["one"]))
    assert "H200" in str(await _gpu(bare_client, documents["two"]))


async def test_pushing_names_the_version(bare_client: LanguageClient, tmp_path: Path) -> None:
    """A client that cannot ask gets the findings with the version they are of, and none once it closes."""
    await bare_client.initialize_session(parameters(tmp_path, "emacs@v29.1", gpu="RTX 4090"))
    document = open_text(bare_client, tmp_path / "train.py", LLAMA)
    (found,) = await published(bare_client, document.uri, 1)
    assert found.code == "out-of-memory"
    bare_client.text_document_did_close(types.DidCloseTextDocumentParams(text_document=document))
    await shown(bare_client, document.uri, some=False)


async def test_watched_files(client: LanguageClient, tmp_path: Path) -> None:
    """A changed DeepSpeed configuration renews the open script that names it."""
    config = tmp_path / "ds.json"
    config.write_text('{"zero_optimization": {"stage": 0}}')
    script = LLAMA.replace("bf16=True,", 'bf16=True, deepspeed="ds.json",')
    document = open_text(client, tmp_path / "train.py", script)
    before = await request(client, "vramlint/report", {"uri": document.uri})
    config.write_text('{"zero_optimization": {"stage": 3, "offload_optimizer": {"device": "cpu"}}}')
    event = types.FileEvent(uri=config.as_uri(), type=types.FileChangeType.Changed)
    client.workspace_did_change_watched_files(types.DidChangeWatchedFilesParams(changes=[event]))
    after = await request(client, "vramlint/report", {"uri": document.uri})
    kinds = [one.files[0].runs[0].settings.sharding.value for one in (before, after)]
    assert kinds[0] != kinds[1]
