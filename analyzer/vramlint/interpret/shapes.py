"""Sizes as torch takes them: one number or several, spread or in a tuple, one of them left open."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

from vramlint.interpret.values import NotUnderstood, Unread

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vramlint.memory.tape import Tensor


class Pair(tuple[Any, ...]):
    """Values and indices, which also go by those names."""

    __slots__ = ()

    @property
    def values(self) -> Any:
        """Return the values."""
        return self[0]

    @property
    def indices(self) -> Any:
        """Return the indices."""
        return self[1]


def flat(sizes: Sequence[Any]) -> tuple[int, ...]:
    """Return sizes that are given one by one or as one sequence."""
    if len(sizes) == 1 and isinstance(sizes[0], list | tuple):
        return flat(sizes[0])
    for one in sizes:
        if isinstance(one, Unread):
            raise NotUnderstood(f"a size is not known: {one.reason}")
        if not isinstance(one, int):
            raise NotUnderstood(
                f"a size is no whole number: {one!r}" if isinstance(one, float) else "a size is no number"
            )
    return tuple(sizes)


def completed(x: Tensor, sizes: tuple[int, ...]) -> tuple[int, ...]:
    """Return sizes with -1 filled in; raises ValueError where they do not fit x."""
    if -1 in sizes:
        rest = prod(size for size in sizes if size != -1)
        if rest == 0 or prod(x.shape) % rest:
            raise ValueError(f"{list(x.shape)} is seen as {list(sizes)}")
        sizes = tuple(prod(x.shape) // rest if size == -1 else size for size in sizes)
    if prod(sizes) != prod(x.shape):
        raise ValueError(f"{list(x.shape)} is seen as {list(sizes)}")
    return sizes


def several(value: Any, count: int) -> tuple[Any, ...]:
    """Return one value `count` times, or a sequence as it is."""
    if isinstance(value, Unread):
        raise NotUnderstood(f"a size is not known: {value.reason}")
    if isinstance(value, list | tuple):
        return tuple(value) if len(value) == count else tuple(value) * count
    return (value,) * count


def pair(value: Any) -> tuple[Any, ...]:
    """Return one value twice, or a pair as it is."""
    return several(value, 2)
