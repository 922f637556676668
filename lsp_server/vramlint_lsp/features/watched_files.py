"""Watched files: a changed configuration, launch script or module refreshes the open scripts that depend on it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from lsprotocol import types

from vramlint_lsp.convert import path_of
from vramlint_lsp.refresh import ask_again, ask_for_extras

if TYPE_CHECKING:
    from vramlint_lsp.server import Server
    from vramlint_lsp.session import Analysis

_PATTERNS = (
    "**/*.{py,ipynb,sh,bash,yaml,yml,json,toml,md,txt,lock,cfg}",
    "**/{Makefile,Dockerfile}",
)


def register(server: Server) -> None:
    """Register the watching, where the client offers it, and what follows a change."""

    @server.guarded(types.WORKSPACE_DID_CHANGE_WATCHED_FILES)
    def changed(params: types.DidChangeWatchedFilesParams) -> None:
        paths = {os.path.normpath(path_of(event.uri)) for event in params.changes}
        _renew(server, paths)

    @server.guarded(types.TEXT_DOCUMENT_DID_SAVE, types.SaveOptions(include_text=False))
    def saved(params: types.DidSaveTextDocumentParams) -> None:
        _renew(server, {os.path.normpath(path_of(params.text_document.uri))})

    @server.guarded(types.NOTEBOOK_DOCUMENT_DID_SAVE)
    def notebook_saved(_: types.DidSaveNotebookDocumentParams) -> None:
        """A notebook is no neighbour of any other document, so nothing follows."""

    def advised(_: Analysis) -> None:
        ask_for_extras(server)

    server.on_advised.append(advised)
    server.on_initialized.append(watch)


async def watch(server: Server) -> None:
    """Ask the client to watch the files that a script may depend on."""
    workspace = server.client_capabilities.workspace
    watched = workspace.did_change_watched_files if workspace else None
    if watched is None or not watched.dynamic_registration:
        return
    watchers = [types.FileSystemWatcher(glob_pattern=pattern) for pattern in _PATTERNS]
    registration = types.Registration(
        id="vramlint-files",
        method=types.WORKSPACE_DID_CHANGE_WATCHED_FILES,
        register_options=types.DidChangeWatchedFilesRegistrationOptions(watchers=watchers),
    )
    await server.client_register_capability_async(types.RegistrationParams(registrations=[registration]))


def _renew(server: Server, paths: set[str]) -> None:
    if any(os.path.basename(path) == "pyproject.toml" for path in paths):  # noqa: PTH119  as paths are compared
        server.configuration.forget_projects()
        server.session.renew()
        ask_again(server)
    elif server.session.renew(paths):
        ask_again(server)
