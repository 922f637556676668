"""Commands: explain a run, pick the GPU, simulate, restart; also for editors that only know `executeCommand`."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lsprotocol import types

from vramlint.settings import ConfigurationError, find_gpu
from vramlint_lsp.cards import run_card
from vramlint_lsp.configuration import CHOICE
from vramlint_lsp.convert import uri_of
from vramlint_lsp.features.configuration import renew

if TYPE_CHECKING:
    from vramlint_lsp.server import Server

_PATIENCE = 5.0


def register(server: Server) -> None:
    """Register the commands."""

    @server.guarded_command("vramlint.explain")
    async def explain(arguments: list[Any]) -> str | None:
        asked = _table(arguments)
        text = await _story(server, str(asked.get("uri", "")), asked.get("run"))
        if text is None:
            server.tell("nothing is trained in this document", types.MessageType.Info)
        elif asked.get("show", True):
            await _show(server, text)
        return text

    @server.guarded_command("vramlint.pickGpu")
    async def pick_gpu(arguments: list[Any]) -> str | None:
        name = _name(arguments) or await _ask_for_gpu(server)
        if name is None:
            return None
        try:
            gpu = find_gpu(name, CHOICE)
        except ConfigurationError as error:
            server.show(str(error), types.MessageType.Warning)
            return None
        server.configuration.choose_gpu(name)
        renew(server)
        return gpu.name

    @server.guarded_command("vramlint.refresh")
    async def refresh(_: list[Any]) -> None:
        server.configuration.forget_projects()
        renew(server)


def _table(arguments: list[Any]) -> dict[str, Any]:
    first = arguments[0] if arguments else {}
    return first if isinstance(first, dict) else {"uri": first}


def _name(arguments: list[Any]) -> str | None:
    first = arguments[0] if arguments else None
    if isinstance(first, dict):
        first = first.get("gpu")
    return first if isinstance(first, str) and first else None


async def _story(server: Server, uri: str, number: int | None) -> str | None:
    found = await server.session.advice(uri, _PATIENCE)
    if found is None or not found.report.runs:
        return None
    wanted = range(len(found.report.runs)) if number is None else [number]
    advice = found.advice or (None,) * len(found.report.runs)
    cards = [
        f"# {subject.run.kind} at line {subject.run.span.start.line}\n\n{run_card(subject, advice[index])}"
        for index, subject in enumerate(found.report.runs)
        if index in wanted
    ]
    return "\n\n".join(cards) or None


async def _show(server: Server, text: str) -> None:
    """Open the story beside the script where the client can show documents, else as a message."""
    window = server.client_capabilities.window
    if window is None or window.show_document is None or not window.show_document.support:
        server.show(text.split("\n\n")[1].replace("**", ""), types.MessageType.Info)
        return
    path = Path(tempfile.gettempdir()) / "vramlint-explain.md"
    path.write_text(text, encoding="utf-8")
    await server.window_show_document_async(types.ShowDocumentParams(uri=uri_of(str(path)), take_focus=True))


async def _ask_for_gpu(server: Server) -> str | None:
    from vramlint.knowledge import gpus  # noqa: PLC0415  only where a list is shown

    actions = [types.MessageActionItem(title=gpu.name) for gpu in gpus.common()]
    answer = await server.window_show_message_request_async(
        types.ShowMessageRequestParams(
            type=types.MessageType.Info, message="Which GPU must the training fit?", actions=actions
        )
    )
    return answer.title if answer is not None else None
