"""Defaults of a script that every launch line replaces, for the rule that speaks of them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from vramlint.facts.setting import Known
from vramlint.frontends.base import Remark

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vramlint.facts.setting import Setting
    from vramlint.plan.run import Run

_KEY = "micro_batch_size"
_FAR = 4  # times as many samples: a run that needs another GPU


def with_remarks(told: Sequence[Run], own: Sequence[Run], path: str) -> tuple[Run, ...]:
    """Return the launched runs, the first with a remark where none of them has the script's own batch size."""
    default = _number(own[0].settings[_KEY] if own else None, "argument-default")
    given = [_number(run.settings[_KEY], "launch") for run in told]
    known = [one for one in given if one is not None]
    if default is None or len(known) != len(told) or not known:
        return tuple(told)
    span = default.origin.span
    if span is None or span.path != path or any(_is_near(one.value, default.value) for one in known):
        return tuple(told)
    values = " or ".join(str(value) for value in sorted({one.value for one in known}))
    message = f"the batch size {default.value} is not what runs: launch lines give {values}"
    remark = Remark("overridden-batch-size", message, span, known[0].origin)
    return (replace(told[0], remarks=(*told[0].remarks, remark)), *told[1:])


def _is_near(one: int, other: int) -> bool:
    return max(one, other) <= _FAR * max(min(one, other), 1)


def _number(setting: Setting[object] | None, kind: str) -> Known[int] | None:
    """Return a number whose origin is of a kind, None for any other setting."""
    if not isinstance(setting, Known) or setting.origin.kind != kind or not isinstance(setting.value, int):
        return None
    return Known(setting.value, setting.origin)
