"""A launch: the command that starts a script, its flags with their places, its launcher and environment."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Self

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vramlint.source.spans import Span

Launcher = Literal["python", "torchrun", "accelerate", "deepspeed", "composer"]


class Flag(str):
    """The text after a flag, "" for a switch; it knows its place and every word up to the next flag.

    `known` is False where the text holds what only a run of the shell would tell. `kind` is "config" for
    a flag that a configuration file gives, which the launch line names. `shown` is how it is written.
    """

    __slots__ = ("kind", "known", "shown", "span", "words")

    span: Span | None
    words: tuple[str, ...]
    known: bool
    shown: str
    kind: Literal["launch", "config"]

    def __new__(
        cls,
        text: str,
        span: Span | None = None,
        words: tuple[str, ...] = (),
        *,
        known: bool = True,
        kind: Literal["launch", "config"] = "launch",
        shown: str = "",
    ) -> Self:
        """Make a flag's text; without words it is its only word."""
        made = super().__new__(cls, text)
        made.span, made.words, made.known, made.kind = span, words or ((text,) if text else ()), known, kind
        made.shown = shown
        return made


# A path below a directory of the machine's: what matters of it is written out.
_ROOTED = re.compile(r"\$\{?\w+\}?(?:/[\w.-]+)+")


def is_told(flag: Flag) -> bool:
    """Return whether a flag's text says what it means without a run of the shell."""
    return flag.known or is_rooted(flag)


def is_rooted(text: str) -> bool:
    """Return whether a text is a path below a variable, such as `$HOME/models/Qwen2.5-3B`."""
    return _ROOTED.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class Launch:
    """One command that starts a script.

    `flags` are the script's own, by name without dashes (`key=value` of hydra among them), and
    `launcher_flags` those before it; `positional` are the script's other words. `processes` is how many
    the launcher starts in all, None where it does not say. `script` is the file or `module` as written; `tool`
    is a command that trains by itself, such as `trl sft`, with the word that says what it does.
    """

    flags: Mapping[str, str] = field(default_factory=dict)
    processes: int | None = None
    launcher: Launcher = "python"
    launcher_flags: Mapping[str, str] = field(default_factory=dict)
    positional: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    script: str = ""
    is_module: bool = False
    tool: str = ""
    directory: str = ""
    command: str = ""
    span: Span | None = None

    @property
    def says(self) -> bool:
        """Return whether the command says anything that could change a setting."""
        return bool(
            self.flags or self.positional or self.launcher_flags or self.environment or self.processes
        )
