"""The labelled files: for each fact the value that a person read, how it is determined, and what launches say."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

_DATA = Path(__file__).parent.parent / "data"


@dataclass(frozen=True, slots=True)
class Label:
    """One fact: `how` and `scope` say where the value stands; `launched` are the values of launch lines."""

    name: str
    value: Any
    how: str
    scope: str
    conditional: bool
    launched: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """One labelled file of a repository at a commit."""

    id: str
    repository: str
    commit: str
    path: str
    kind: str
    labels: tuple[Label, ...] = field(default=())

    def file(self, trees: Path) -> Path:
        """Return where the file lies below a directory of trees, one `owner+name` for each repository."""
        return trees / self.repository.replace("/", "+") / self.path


def rows() -> tuple[Row, ...]:
    """Return all labelled files: those that the analyzer was written with, and those that tested it afterwards."""
    files = (_DATA / name for name in ("labels.jsonl", "labels_more.jsonl"))
    texts = (text for file in files for text in file.read_text(encoding="utf-8").splitlines())
    return tuple(_row(json.loads(text)) for text in texts if text)


def _row(data: Mapping[str, Any]) -> Row:
    labels = tuple(_label(name, fact, data["launch"]) for name, fact in data["facts"].items())
    return Row(data["id"], data["repo"], data["commit"], data["path"], data["kind"], labels)


def _label(name: str, fact: Mapping[str, Any], launches: list[Mapping[str, Any]]) -> Label:
    launched = tuple(one["overrides"][name]["value"] for one in launches if name in one["overrides"])
    conditional = bool(fact.get("conditional"))
    return Label(name, fact["value"], fact["how"], str(fact["scope"]), conditional, launched)
