"""Documents of a server that is not ours: analyzed when asked for, the newest state of each kept."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from threading import Lock
from typing import TYPE_CHECKING, Any

from lsprotocol import types

from vramlint_lsp.advice import advise
from vramlint_lsp.configuration import Configuration
from vramlint_lsp.convert import DEFAULT
from vramlint_lsp.features.diagnostics import shown
from vramlint_lsp.features.hover import card
from vramlint_lsp.messages import plain_converter
from vramlint_lsp.places import place_at
from vramlint_lsp.session import Analysis, Session

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def _nothing(*_: object) -> None:
    """A session of which only the analysis is used has nobody to tell."""


@dataclass(slots=True)
class Documents:
    """The documents by URI; `tell` takes one line about options that are wrong."""

    tell: Callable[[str], None]
    session: Session = field(init=False)
    _options: Mapping[str, Any] = field(default_factory=dict)
    _known: dict[str, Analysis] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def __post_init__(self) -> None:
        self.session = Session(Configuration(self.tell), _nothing, _nothing, _nothing)
        self.session.buffers.encoding = DEFAULT

    def diagnostics(self, uri: str, text: str, options: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return the findings of a text as the protocol writes them."""
        with self._lock:
            found = shown(self, self._analysis(uri, text, options), uri)
        plain: list[dict[str, Any]] = plain_converter().unstructure(found, list[types.Diagnostic])
        return plain

    def hover(
        self, uri: str, text: str, position: Mapping[str, int], options: Mapping[str, Any]
    ) -> dict[str, Any] | None:
        """Return the card of a place, or None."""
        with self._lock:
            found = self._advised(uri, self._analysis(uri, text, options))
            at = place_at(self, found.source, uri, types.Position(position["line"], position["character"]))
            told = "" if at is None else card(found, *at)
        return {"contents": {"kind": "markdown", "value": told}} if told else None

    def _analysis(self, uri: str, text: str, options: Mapping[str, Any]) -> Analysis:
        """Return the analysis of a text; another text, or other options, make a new one."""
        said = {name: value for name, value in options.items() if name != "enabled"}
        if said != self._options:
            self.session.configuration.replace("", said)
            self._options = said
            self._known.clear()
        known = self._known.get(uri)
        if known is None or known.source.texts[0].text != text:
            known = self._known[uri] = self._analyzed(uri, text)
        return known

    def _analyzed(self, uri: str, text: str) -> Analysis:
        version = self.session.buffers.revision + 1
        source = self.session.buffers.open(types.TextDocumentItem(uri, "python", version, text))
        self.session.configuration.forget_projects()
        settings = self.session.configuration.settings(source.path)
        return Analysis(source, settings, self.session.report(source, settings), frozenset(), 0.0)

    def _advised(self, uri: str, found: Analysis) -> Analysis:
        """Work out what takes longer when it is first looked at."""
        if found.advice is None:
            found = self._known[uri] = replace(found, advice=advise(found.report.runs, lambda: False))
        return found
