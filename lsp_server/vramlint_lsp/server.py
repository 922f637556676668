"""The server: a client's session and the features that answer it, each behind a guard."""

from __future__ import annotations

import logging
from importlib import import_module
from inspect import iscoroutinefunction
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Any, TypeVar

from lsprotocol import types
from pygls.lsp.server import LanguageServer

from vramlint import __version__
from vramlint_lsp import features
from vramlint_lsp.configuration import Configuration
from vramlint_lsp.messages import Protocol, plain_converter
from vramlint_lsp.session import Session

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable

    from vramlint_lsp.session import Analysis

F = TypeVar("F", bound="Callable[..., Any]")

log = logging.getLogger("vramlint")

_NOTEBOOKS = types.NotebookDocumentSyncOptions(
    notebook_selector=[
        types.NotebookDocumentFilterWithNotebook(
            notebook=kind, cells=[types.NotebookCellLanguage(language="python")]
        )
        for kind in ("jupyter-notebook", "interactive")
    ],
    save=True,
)


class Server(LanguageServer):
    """A language server for one client; features add themselves to the lists of listeners."""

    def __init__(self) -> None:
        super().__init__(
            "vramlint",
            __version__,
            notebook_document_sync=_NOTEBOOKS,
            protocol_cls=Protocol,
            converter_factory=plain_converter,
        )
        self.running: set[asyncio.Task[None]] = set()
        self.on_done: list[Callable[[Analysis], None]] = []
        self.on_advised: list[Callable[[Analysis], None]] = []
        self.on_initialized: list[Callable[[Server], Awaitable[None]]] = []
        self.on_closed: list[Callable[[str], None]] = []
        self.configuration = Configuration(self.tell)
        self.session = Session(self.configuration, self._done, self._advised, self.failed)
        self._told: set[str] = set()

    def tell(self, message: str, kind: types.MessageType = types.MessageType.Warning) -> None:
        """Show a person one line; the same line is not shown twice."""
        if message in self._told:
            return
        self._told.add(message)
        self.show(message, kind)

    def show(self, message: str, kind: types.MessageType) -> None:
        """Show a person one line."""
        self.window_show_message(types.ShowMessageParams(type=kind, message=f"vramlint: {message}"))

    def note(self, message: str) -> None:
        """Write a line to the log, which an editor shows on request."""
        log.info(message)

    def failed(self, what: str, error: Exception) -> None:
        """Log a bug of ours, and tell of it once for each feature."""
        log.error("%s failed", what, exc_info=error)
        key = f"failed {what}"
        if key in self._told:
            return
        self._told.add(key)
        text = f"{what} failed ({type(error).__name__}: {error}); the rest goes on. Please report it."
        self.tell(text, types.MessageType.Error)

    def guarded(self, method: str, options: Any = None, default: Any = None) -> Callable[[F], F]:
        """Register a handler under a method; where it fails, that is told once and `default` is the answer."""

        def register(handler: F) -> F:
            self.feature(method, options)(self._guard(handler, method, default))
            return handler

        return register

    def guarded_command(self, name: str) -> Callable[[F], F]:
        """Register a handler of a command, which takes the list of its arguments."""

        def register(handler: F) -> F:
            guarded = self._guard(handler, name, None)

            async def run(*arguments: Any) -> Any:
                return await guarded(list(arguments))

            self.command(name)(run)
            return handler

        return register

    def _guard(self, handler: Callable[..., Any], what: str, default: Any) -> Callable[..., Any]:
        if iscoroutinefunction(handler):

            async def answer_later(params: Any) -> Any:
                try:
                    return await handler(params)
                except Exception as error:  # noqa: BLE001  a bug in one feature must not reach the editor
                    self.failed(what, error)
                    return default

            return answer_later

        def answer(params: Any) -> Any:
            try:
                return handler(params)
            except Exception as error:  # noqa: BLE001  as above
                self.failed(what, error)
                return default

        return answer

    def closed(self, uri: str) -> None:
        """Drop a document that the editor closed, and what was shown in it."""
        self.session.closed(uri)
        for listener in self.on_closed:
            listener(uri)

    def _done(self, found: Analysis) -> None:
        for listener in self.on_done:
            listener(found)

    def _advised(self, found: Analysis) -> None:
        for listener in self.on_advised:
            listener(found)


def create() -> Server:
    """Return a server with all features: every module of `features` registers its own."""
    server = Server()
    for module in iter_modules(features.__path__):
        import_module(f"{features.__name__}.{module.name}").register(server)
    return server
