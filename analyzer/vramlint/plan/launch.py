"""The launch line: the flags that a command gives a script, and how many GPUs its launcher starts."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_COUNT_FLAGS = {"--nproc_per_node", "--nproc-per-node", "--num_processes", "--num-processes", "--num_gpus"}


@dataclass(frozen=True, slots=True)
class Launch:
    """The script's flags by name without dashes, "" for a switch; `processes` is None if not said."""

    flags: Mapping[str, str] = field(default_factory=dict)
    processes: int | None = None


def read_launch(command: str | None) -> Launch:
    """Return what a command says; a text that no shell would take says nothing."""
    try:
        words = shlex.split(command or "", comments=True)
    except ValueError:
        return Launch()
    start = next((index for index, word in enumerate(words) if word.endswith(".py")), None)
    own = words if start is None else words[start + 1 :]
    launcher = _pairs([] if start is None else words[:start])
    counts = [value for key, value in launcher.items() if f"--{key}" in _COUNT_FLAGS and value.isdigit()]
    return Launch(_pairs(own), int(counts[0]) if counts else None)


def _pairs(words: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for word, after in zip(words, [*words[1:], ""], strict=False):
        if not word.startswith("-") or _is_number(word):
            if "=" in word:
                # hydra and OmegaConf take `key=value`.
                key, _, value = word.partition("=")
                found.setdefault(key, value)
            continue
        name, equals, value = word.lstrip("-").partition("=")
        given = value if equals else "" if after.startswith("-") and not _is_number(after) else after
        found[name.replace("-", "_")] = given
    return found


def _is_number(word: str) -> bool:
    return word.lstrip("-").replace(".", "", 1).replace("e", "", 1).isdigit()
