"""The launch line: the flags that a command gives a script, and how many GPUs its launcher starts."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

# What a launcher starts in all (accelerate), or on each of several machines (torchrun, deepspeed).
_IN_ALL = ("num_processes",)
_ON_EACH = ("nproc_per_node", "num_gpus")
_MACHINES = ("nnodes", "num_nodes")


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
    return Launch(_pairs(own), _processes(launcher))


def _processes(launcher: Mapping[str, str]) -> int | None:
    """Return how many processes a launcher's flags start on all machines."""
    in_all, on_each = _count(launcher, _IN_ALL), _count(launcher, _ON_EACH)
    if in_all is not None or on_each is None:
        return in_all
    return on_each * (_count(launcher, _MACHINES) or 1)


def _count(launcher: Mapping[str, str], names: tuple[str, ...]) -> int | None:
    found = [launcher[name] for name in names if launcher.get(name, "").isdigit()]
    return int(found[0]) or None if found else None


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
