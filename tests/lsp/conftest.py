"""A real client on the server's stdin and stdout, as an editor is, with the capabilities of several editors."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator  # noqa: TC003  pytest-lsp reads the fixtures' annotations
from pathlib import Path  # noqa: TC003  as above
from typing import Any

import pytest
import pytest_lsp
from lsprotocol import types
from pytest_lsp import ClientServerConfig, LanguageClient, client_capabilities

SERVER = ClientServerConfig(server_command=[sys.executable, "-m", "vramlint", "lsp"])

# What the protocol's client of the tests does not answer by itself.
_UNANSWERED = (
    types.CLIENT_REGISTER_CAPABILITY,
    types.WORKSPACE_INLAY_HINT_REFRESH,
    types.WORKSPACE_CODE_LENS_REFRESH,
)


@pytest.fixture(autouse=True)
def _no_card_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Answer the same on a machine with a GPU, or with options of its owner."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("VRAMLINT_GPU", raising=False)


def prepare(client: LanguageClient) -> None:
    """Let the client answer what the server may ask."""
    for method in _UNANSWERED:
        client.feature(method)(lambda *_: None)


def parameters(root: Path, editor: str = "neovim@v0.11.0", **options: Any) -> types.InitializeParams:
    """Return the first request of an editor that has opened a folder."""
    return types.InitializeParams(
        capabilities=client_capabilities(editor),
        root_uri=root.as_uri(),
        workspace_folders=[types.WorkspaceFolder(uri=root.as_uri(), name=root.name)],
        initialization_options=options or None,
    )


@pytest_lsp.fixture(config=SERVER)
async def client(lsp_client: LanguageClient, tmp_path: Path) -> AsyncIterator[LanguageClient]:
    """A client that asks for diagnostics, with an RTX 4090."""
    prepare(lsp_client)
    await lsp_client.initialize_session(parameters(tmp_path, gpu="RTX 4090"))
    yield lsp_client
    await lsp_client.shutdown_session()


@pytest_lsp.fixture(config=SERVER)
async def bare_client(lsp_client: LanguageClient) -> AsyncIterator[LanguageClient]:
    """A client before its first request."""
    prepare(lsp_client)
    yield lsp_client
    await lsp_client.shutdown_session()
