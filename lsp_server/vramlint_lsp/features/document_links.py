"""Document links: from a script to the configuration files that it names."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from lsprotocol import types

from vramlint.source.spans import Position, Span
from vramlint_lsp.convert import uri_of
from vramlint_lsp.places import range_in

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vramlint_lsp.buffers import Source, Text
    from vramlint_lsp.server import Server

_NAMED = re.compile(r"(?P<quote>[\"'])(?P<path>[\w./-]+\.(?:json|ya?ml|toml|sh))(?P=quote)")
_ABOVE = 4
"""Folders above a script in which a named file is looked for: launch commands run in a project's root."""


def register(server: Server) -> None:
    """Register the links."""

    @server.guarded(types.TEXT_DOCUMENT_DOCUMENT_LINK, types.DocumentLinkOptions(), [])
    def document_link(params: types.DocumentLinkParams) -> list[types.DocumentLink]:
        uri = params.text_document.uri
        source = server.session.buffers.find(uri)
        text = source.text_at(uri) if source is not None else None
        if source is None or text is None:
            return []
        encoding = server.session.buffers.encoding
        return [
            types.DocumentLink(range=range_in(text, span, encoding), target=uri_of(path))
            for span, path in _links(server, source, text)
        ]


def _links(server: Server, source: Source, text: Text) -> Iterator[tuple[Span, str]]:
    for number, line in enumerate(text.lines, 1):
        for match in _NAMED.finditer(line):
            path = _found(server, source.path, match["path"])
            if path is not None:
                start, end = match.span("path")
                yield Span(source.path, Position(number, start), Position(number, end), text.cell), path


def _found(server: Server, script: str, name: str) -> str | None:
    """Return the file of that name beside the script or above it."""
    folder = os.path.dirname(script)  # noqa: PTH120  paths are texts in the session
    for _ in range(_ABOVE):
        path = os.path.normpath(os.path.join(folder, name))  # noqa: PTH118  as above
        if server.session.read(path) is not None:
            return path
        folder = os.path.dirname(folder)  # noqa: PTH120  as above
    return None
