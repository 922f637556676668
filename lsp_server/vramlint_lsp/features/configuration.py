"""Configuration: what the client says at the start, when it is asked, and when a person changes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lsprotocol import types

from vramlint_lsp.convert import DEFAULT, path_of
from vramlint_lsp.options import SECTION
from vramlint_lsp.refresh import ask_again

if TYPE_CHECKING:
    from vramlint_lsp.server import Server


def register(server: Server) -> None:
    """Register the requests and notifications about settings."""

    @server.guarded(types.INITIALIZE)
    def initialize(params: types.InitializeParams) -> None:
        encoding = server.workspace.position_encoding
        server.session.buffers.encoding = encoding or DEFAULT
        if params.initialization_options:
            server.configuration.start(params.initialization_options)

    @server.guarded(types.INITIALIZED)
    async def initialized(_: types.InitializedParams) -> None:
        await _register(server)
        for listener in server.on_initialized:
            await listener(server)
        await _ask(server)

    @server.guarded(types.WORKSPACE_DID_CHANGE_CONFIGURATION)
    async def changed(params: types.DidChangeConfigurationParams) -> None:
        if not await _ask(server) and params.settings:
            server.configuration.replace("", params.settings)
            renew(server)

    @server.guarded(types.WORKSPACE_DID_CHANGE_WORKSPACE_FOLDERS)
    async def folders(_: types.DidChangeWorkspaceFoldersParams) -> None:
        await _ask(server)


async def _register(server: Server) -> None:
    workspace = server.client_capabilities.workspace
    changed = workspace.did_change_configuration if workspace else None
    if changed is None or not changed.dynamic_registration:
        return
    await server.client_register_capability_async(
        types.RegistrationParams(
            registrations=[
                types.Registration(
                    id="vramlint-configuration",
                    method=types.WORKSPACE_DID_CHANGE_CONFIGURATION,
                    register_options={"section": SECTION},
                )
            ]
        )
    )


async def _ask(server: Server) -> bool:
    """Ask for the settings of the workspace and of each folder; say whether the client can be asked."""
    workspace = server.client_capabilities.workspace
    if workspace is None or not workspace.configuration:
        return False
    folders = [folder.uri for folder in server.workspace.folders.values()] if server.workspace.folders else []
    items = [types.ConfigurationItem(section=SECTION)]
    items += [types.ConfigurationItem(section=SECTION, scope_uri=uri) for uri in folders]
    answers = await server.workspace_configuration_async(types.ConfigurationParams(items=items))
    for folder, answer in zip(["", *map(path_of, folders)], answers, strict=False):
        if answer or folder in server.configuration.by_folder:
            server.configuration.replace(folder, answer or {})
    if server.configuration.by_folder:
        renew(server)
    return True


def renew(server: Server) -> None:
    """Analyze everything again, and let the editor ask again for what it shows."""
    server.session.renew()
    ask_again(server)
