"""Simulate: run `vramlint simulate` on the saved file in a process of its own, with progress in the editor."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from lsprotocol import types

from vramlint_lsp.convert import path_of
from vramlint_lsp.session import run_command

if TYPE_CHECKING:
    from vramlint_lsp.server import Server


def register(server: Server) -> None:
    """Register the command."""

    @server.guarded_command("vramlint.simulate")
    async def simulate(arguments: list[Any]) -> dict[str, Any] | None:
        asked = arguments[0] if arguments and isinstance(arguments[0], dict) else {}
        why_not = _why_not(server, asked.get("uri"))
        if why_not is not None:
            server.show(why_not, types.MessageType.Warning)
            return None
        return await _run(server, path_of(asked["uri"]))


def _why_not(server: Server, uri: str | None) -> str | None:
    if uri is None or server.session.buffers.find(uri) is None:
        return "nothing to simulate: the document is not open"
    if find_spec("vramlint.cli.simulate") is None:
        return "this installation cannot simulate"
    if find_spec("torch") is None:
        return "simulating needs torch: pip install 'vramlint[simulate]'"
    return None


async def _run(server: Server, path: str) -> dict[str, Any]:
    window = server.client_capabilities.window
    shows = window is not None and bool(window.work_done_progress)
    token = str(uuid4())
    if shows:
        await server.work_done_progress.create_async(token)
        server.work_done_progress.begin(token, types.WorkDoneProgressBegin(title="vramlint: simulating"))
    try:
        status, output, errors = await run_command("simulate", path)
    finally:
        if shows:
            server.work_done_progress.end(token, types.WorkDoneProgressEnd())
    text = (output or errors).strip()
    server.show(text.splitlines()[0] if text else "simulated", types.MessageType.Info)
    return {"status": status, "output": output, "errors": errors}
