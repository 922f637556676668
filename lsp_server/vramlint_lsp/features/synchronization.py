"""Open, change, save and close: texts and notebooks as the editor has them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lsprotocol import types

if TYPE_CHECKING:
    from vramlint_lsp.server import Server


def register(server: Server) -> None:
    """Register the notifications about documents."""
    _texts(server)
    _notebooks(server)


def _texts(server: Server) -> None:
    session = server.session

    @server.guarded(types.TEXT_DOCUMENT_DID_OPEN)
    def opened(params: types.DidOpenTextDocumentParams) -> None:
        session.changed(session.buffers.open(params.text_document))

    @server.guarded(types.TEXT_DOCUMENT_DID_CHANGE)
    def changed(params: types.DidChangeTextDocumentParams) -> None:
        item = params.text_document
        session.changed(session.buffers.change(item.uri, item.version, params.content_changes))

    @server.guarded(types.TEXT_DOCUMENT_DID_CLOSE)
    def closed(params: types.DidCloseTextDocumentParams) -> None:
        server.closed(params.text_document.uri)


def _notebooks(server: Server) -> None:
    session = server.session

    @server.guarded(types.NOTEBOOK_DOCUMENT_DID_OPEN)
    def opened(params: types.DidOpenNotebookDocumentParams) -> None:
        session.changed(session.buffers.open_notebook(params))

    @server.guarded(types.NOTEBOOK_DOCUMENT_DID_CHANGE)
    def changed(params: types.DidChangeNotebookDocumentParams) -> None:
        session.changed(session.buffers.change_notebook(params))

    @server.guarded(types.NOTEBOOK_DOCUMENT_DID_CLOSE)
    def closed(params: types.DidCloseNotebookDocumentParams) -> None:
        server.closed(params.notebook_document.uri)
