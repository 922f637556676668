"""A setting is known, one of several, or unknown; and it always says where it comes from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Literal, TypeAlias, TypeVar

if TYPE_CHECKING:
    from vramlint.source.spans import Span

T_co = TypeVar("T_co", covariant=True)

OriginKind = Literal[
    "source",
    "config",
    "launch",
    "argument-default",
    "framework-default",
    "assumed",
    "plan",
    "override",
    "pragma",
    "catalogue",
    "hub",
    "measured",
]


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value comes from: a place in a file, a default with its version range, or an assumption.

    `detail` is the short text a person reads, such as `AdamW(lr=1e-4)` or `default of --batch-size`.
    """

    kind: OriginKind
    detail: str
    span: Span | None = None


@dataclass(frozen=True, slots=True)
class Known(Generic[T_co]):
    """Exactly this value."""

    value: T_co
    origin: Origin


@dataclass(frozen=True, slots=True)
class OneOf(Generic[T_co]):
    """One of several values, the likeliest first; `reason` says what decides."""

    alternatives: tuple[Known[T_co], ...]
    reason: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """No value can be said; `reason` tells a person what decides and what would settle it.

    `bounds` are an assumed low, expected and high value where the truth is bounded: they widen the
    estimate and are never shown as facts.
    """

    reason: str
    origin: Origin | None = None
    bounds: tuple[int, int, int] | None = None


Setting: TypeAlias = Known[T_co] | OneOf[T_co] | Unknown


def alternatives(setting: Setting[T_co]) -> tuple[T_co, ...]:
    """Return every value the setting may have, the likeliest first; nothing for an unknown."""
    if isinstance(setting, Known):
        return (setting.value,)
    if isinstance(setting, OneOf):
        return tuple(known.value for known in setting.alternatives)
    return ()


def origins_of(setting: Setting[T_co]) -> tuple[Origin | None, ...]:
    """Return where each alternative comes from, or what an unknown points to."""
    if isinstance(setting, OneOf):
        return tuple(known.origin for known in setting.alternatives)
    return (setting.origin,)
