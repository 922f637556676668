"""Answers that are remembered: an editor asks the same of every keystroke, and a rule of what another has asked."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache, wraps
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from vramlint.knowledge.gpu import Gpu
    from vramlint.plan.document import Plan

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

# An answer holds some 150 kB.
_MOST = 32


class Ask(Protocol[T_co]):
    """What the engine answers about a plan on a GPU."""

    def __call__(self, plan: Plan, gpu: Gpu | None = None) -> T_co:
        """Return the answer."""


@dataclass(frozen=True, slots=True)
class _Question:
    """A plan and a GPU, told apart by the text of the plan: its parts are no keys themselves."""

    text: str
    gpu: Gpu | None
    plan: Plan = field(compare=False)


def remembered(ask: Callable[[Plan, Gpu | None], T]) -> Ask[T]:
    """Return the same function, with its last answers at hand.

    A plan whose model a script builds is asked anew each time: its text does not tell one such model from another.
    """

    @lru_cache(maxsize=_MOST)
    def known(question: _Question) -> T:
        return ask(question.plan, question.gpu)

    @wraps(ask)
    def asked(plan: Plan, gpu: Gpu | None = None) -> T:
        if plan.model.builder is not None:
            return ask(plan, gpu)
        return known(_Question(plan.model_dump_json(), gpu, plan))

    return asked
