"""Scripts that the sessions open, and what they ask of the client."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lsprotocol import types

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_lsp import LanguageClient

EXAMPLES = Path(__file__).parents[2] / "examples"
LLAMA = (EXAMPLES / "finetune_llama_trainer.py").read_text(encoding="utf-8")
GPT2 = (EXAMPLES / "train_gpt2.py").read_text(encoding="utf-8")
SECONDS = 20.0


def open_text(
    client: LanguageClient, path: Path, text: str, language: str = "python"
) -> types.TextDocumentIdentifier:
    """Open a text, which need not be on disk."""
    item = types.TextDocumentItem(uri=path.as_uri(), language_id=language, version=1, text=text)
    client.text_document_did_open(types.DidOpenTextDocumentParams(text_document=item))
    return types.TextDocumentIdentifier(uri=item.uri)


def replace_line(
    client: LanguageClient, document: types.TextDocumentIdentifier, version: int, line: int, text: str
) -> None:
    """Replace one line as an editor does, without sending the others."""
    there = types.Range(
        start=types.Position(line=line, character=0), end=types.Position(line=line, character=10_000)
    )
    client.text_document_did_change(
        types.DidChangeTextDocumentParams(
            text_document=types.VersionedTextDocumentIdentifier(uri=document.uri, version=version),
            content_changes=[types.TextDocumentContentChangePartial(range=there, text=text)],
        )
    )


async def pull(client: LanguageClient, document: types.TextDocumentIdentifier) -> Sequence[types.Diagnostic]:
    """Ask for the diagnostics of a text."""
    answer = await client.text_document_diagnostic_async(
        types.DocumentDiagnosticParams(text_document=document)
    )
    assert isinstance(answer, types.RelatedFullDocumentDiagnosticReport)
    return answer.items


async def hover(
    client: LanguageClient, document: types.TextDocumentIdentifier, text: str, word: str
) -> str | None:
    """Ask for the hover over the first place where `word` stands; columns are those of an ASCII text."""
    before = text[: text.index(word)]
    place = types.Position(line=before.count("\n"), character=len(before) - (before.rfind("\n") + 1) + 1)
    answer = await client.text_document_hover_async(types.HoverParams(text_document=document, position=place))
    if answer is None:
        return None
    assert isinstance(answer.contents, types.MarkupContent)
    return answer.contents.value


async def lenses(client: LanguageClient, document: types.TextDocumentIdentifier) -> list[str]:
    """Ask for the titles of the code lenses."""
    found = await client.text_document_code_lens_async(types.CodeLensParams(text_document=document))
    return [lens.command.title for lens in found or () if lens.command is not None]


async def hints(client: LanguageClient, document: types.TextDocumentIdentifier) -> dict[int, str]:
    """Ask for the inlay hints, by their line."""
    whole = types.Range(
        start=types.Position(line=0, character=0), end=types.Position(line=10_000, character=0)
    )
    found = await client.text_document_inlay_hint_async(
        types.InlayHintParams(text_document=document, range=whole)
    )
    return {hint.position.line: str(hint.label) for hint in found or ()}


async def published(client: LanguageClient, uri: str, version: int | None = None) -> Sequence[Any]:
    """Wait until diagnostics of a text, or of one version of it, were pushed."""
    async with asyncio.timeout(SECONDS):
        while True:
            params = await client.wait_for_notification(types.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS)
            if params.uri == uri and version in {None, params.version}:
                return tuple(params.diagnostics)


async def shown(client: LanguageClient, uri: str, *, some: bool) -> None:
    """Wait until a client that cannot ask shows findings of a text, or none any more."""
    async with asyncio.timeout(SECONDS):
        while bool(client.diagnostics.get(uri)) is not some:  # noqa: ASYNC110  the client has no event for it
            await asyncio.sleep(0.02)


async def request(client: LanguageClient, method: str, params: object) -> Any:
    """Send a request that the protocol has no types for, and return plain tables."""
    async with asyncio.timeout(SECONDS):
        return await client.protocol.send_request_async(method, params)


def line_of(text: str, word: str) -> int:
    """Return the line from 0 in which a word first stands."""
    return text[: text.index(word)].count("\n")
