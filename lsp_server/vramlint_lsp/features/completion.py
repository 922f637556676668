"""Completion in comments for vramlint and in `[tool.vramlint]`: rules, settings, options and GPUs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lsprotocol import types

from vramlint.knowledge import gpus
from vramlint.plan.names import SETTINGS
from vramlint.rules.catalogue import rules
from vramlint.settings import Options
from vramlint_lsp.places import place_at

if TYPE_CHECKING:
    from vramlint_lsp.buffers import Text
    from vramlint_lsp.server import Server

_COMMENT = re.compile(r"#\s*vramlint:\s*(?P<rest>.*)$")
_SECTION = re.compile(r"^\s*\[(?P<name>[^\]]+)\]")
_QUOTED = re.compile(r"^\s*(?P<key>[\w-]+)\s*=\s*(?:\[[^\]]*)?[\"'](?P<word>[^\"']*)$")


def register(server: Server) -> None:
    """Register the completion."""

    @server.guarded(
        types.TEXT_DOCUMENT_COMPLETION,
        types.CompletionOptions(trigger_characters=["[", " ", '"', ","]),
        default=[],
    )
    def completion(params: types.CompletionParams) -> list[types.CompletionItem]:
        source = server.session.buffers.find(params.text_document.uri)
        at = place_at(server, source, params.text_document.uri, params.position) if source else None
        if source is None or at is None:
            return []
        text, place = at
        before = text.lines[place.line - 1][: place.column]
        is_options = source.path.endswith("pyproject.toml")
        names = _in_options(text, place.line, before) if is_options else _in_comment(before)
        return [types.CompletionItem(label=name, kind=kind) for name, kind in names.items()]


def _in_comment(before: str) -> dict[str, types.CompletionItemKind]:
    """Return what may follow in a comment: a word, then rules in brackets or settings."""
    match = _COMMENT.search(before)
    if match is None:
        return {}
    rest = match["rest"]
    if re.fullmatch(r"\w*", rest):
        return dict.fromkeys(("ignore", "set"), types.CompletionItemKind.Keyword)
    if re.fullmatch(r"ignore\s*\[[^\]]*", rest):
        return dict.fromkeys(rules(), types.CompletionItemKind.Value)
    if re.fullmatch(r"set\s+(?:\S+=\S+\s+)*\w*", rest):
        return {f"{name}=": types.CompletionItemKind.Property for name in SETTINGS}
    return {}


def _in_options(text: Text, line: int, before: str) -> dict[str, types.CompletionItemKind]:
    """Return what may follow in the table of options: keys, and the values of those with names."""
    sections = [match["name"] for one in text.lines[: line - 1] if (match := _SECTION.match(one))]
    if not sections or sections[-1].split(".")[:2] != ["tool", "vramlint"]:
        return {}
    if sections[-1] == "tool.vramlint.set":
        return dict.fromkeys(SETTINGS, types.CompletionItemKind.Property)
    quoted = _QUOTED.match(before)
    if quoted is None:
        keys = [name.replace("_", "-") for name in Options.model_fields]
        return dict.fromkeys(keys if "=" not in before else (), types.CompletionItemKind.Property)
    if quoted["key"] == "gpu":
        return {gpu.name: types.CompletionItemKind.Value for gpu in gpus.all_gpus()}
    return dict.fromkeys(
        rules() if quoted["key"] in {"select", "ignore"} else (), types.CompletionItemKind.Value
    )
