"""Asks the editor to ask again: what it shows may have changed without a keystroke in the document."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from vramlint_lsp.server import Server


def ask_again(server: Server) -> None:
    """Let the editor ask again for diagnostics, hints and lenses, each where it can be told to."""
    workspace = server.client_capabilities.workspace
    if workspace is None:
        return
    if workspace.diagnostics and workspace.diagnostics.refresh_support:
        _later(server, server.workspace_diagnostic_refresh_async(None))
    ask_for_extras(server)


def ask_for_extras(server: Server) -> None:
    """Let the editor ask again for hints and lenses."""
    workspace = server.client_capabilities.workspace
    if workspace is None:
        return
    if workspace.inlay_hint and workspace.inlay_hint.refresh_support:
        _later(server, server.workspace_inlay_hint_refresh_async(None))
    if workspace.code_lens and workspace.code_lens.refresh_support:
        _later(server, server.workspace_code_lens_refresh_async(None))


def _later(server: Server, request: Awaitable[None]) -> None:
    """Wait for the client's answer beside everything else; one that refuses is only logged."""

    async def wait() -> None:
        try:
            await request
        except Exception as error:  # noqa: BLE001  the client's own business
            server.note(f"the client refused to refresh: {error}")

    task = asyncio.get_running_loop().create_task(wait())
    server.running.add(task)
    task.add_done_callback(server.running.discard)
