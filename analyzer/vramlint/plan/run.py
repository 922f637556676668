"""A run: one training (or inference) that a script starts, with every setting and where it was read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vramlint.facts.launch import Launch
    from vramlint.facts.setting import Setting
    from vramlint.frontends.base import Remark
    from vramlint.frontends.construction import Construction
    from vramlint.source.spans import Span


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a script.

    `span` is the training call or loop. `launch` is the command that it is read with, None where no command
    is known. `settings` has every key of the public contract
    (`vramlint.plan.names.SETTINGS`); a value has the shape that the key has in the plan document.
    `remarks` are what the frontends saw for the rules.
    `construction` is how a model of the user's own class is made.
    """

    kind: Literal["train", "inference"]
    frameworks: tuple[str, ...]
    span: Span
    settings: Mapping[str, Setting[Any]]
    launch: Launch | None = None
    remarks: tuple[Remark, ...] = ()
    construction: Construction | None = None
