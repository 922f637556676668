"""einops: `rearrange`, `repeat` and `reduce` as the views and copies that they come down to."""

from __future__ import annotations

import re
from math import prod
from typing import TYPE_CHECKING, Any

from vramlint.interpret import operations, reductions
from vramlint.interpret.values import Data, NotUnderstood, Unread
from vramlint.memory.modules import Module
from vramlint.memory.operators import views
from vramlint.memory.operators.pooling import mean_over
from vramlint.memory.tape import Tensor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vramlint.interpret.interpreter import Interpreter

_TOKEN = re.compile(r"\([^)]*\)|\S+")


def call(interpreter: Interpreter, name: str, args: list[Any], kwargs: dict[str, Any]) -> Any:
    """Call a function of einops, or make one of its layers."""
    if name in {"Rearrange", "Reduce"}:
        return Rearranged(name.lower(), *args, **kwargs)
    x = args[0]
    if name in {"pack", "unpack"}:
        return _packed(interpreter, name, args)
    if isinstance(x, list | tuple):
        x = operations.apply(interpreter, "stack", [list(x)], {})
    if isinstance(x, Data) and x.tensor is None and interpreter.materials is not None:
        x = interpreter.materials.of_rank(interpreter, x, len(_axes(args[1].partition("->")[0])))
    tensor = interpreter.tensor(x)
    if not isinstance(tensor, Tensor):
        raise NotUnderstood("einops gets what is no tensor")
    return apply(name, tensor, *args[1:], **kwargs)


def _packed(interpreter: Interpreter, name: str, args: list[Any]) -> Any:
    del interpreter, args
    return Unread(f"`einops.{name}` is not walked yet")


class Rearranged(Module):
    """`einops.layers.torch.Rearrange` and `Reduce`."""

    def __init__(self, kind: str, pattern: str, /, *args: Any, **sizes: Any) -> None:
        self.kind, self.pattern, self.args, self.sizes = kind, pattern, args, sizes
        self.rank = len(_axes(pattern.partition("->")[0]))

    def forward(self, x: Tensor) -> Tensor:
        """Apply the pattern."""
        return apply(self.kind, x, self.pattern, *self.args, **self.sizes)


def _axes(side: str) -> list[list[str]]:
    """Return the axes of one side of a pattern, each as the letters that it is made of."""
    return [token.strip("()").split() for token in _TOKEN.findall(side)]


def apply(name: str, x: Tensor, pattern: str, /, *args: Any, **sizes: Any) -> Tensor:
    """Apply a pattern; `name` is rearrange, repeat or reduce."""
    left, right = (_axes(side) for side in pattern.split("->"))
    left, right = _written_out(left, x, left, right), _written_out(right, x, left, right)
    found = _sizes(left, x.shape, {key: value for key, value in sizes.items() if isinstance(value, int)})
    letters = [letter for axis in left for letter in axis if letter != "1"]
    x = views.reshape(x, tuple(found[letter] for letter in letters))
    wanted = [letter for axis in right for letter in axis if letter != "1"]
    if name == "reduce":
        gone = [index for index, letter in enumerate(letters) if letter not in wanted]
        x = _reduced(x, gone, args[0] if args else sizes.get("reduction", "mean"))
        letters = [letter for letter in letters if letter in wanted]
    x = views.permute(x, [letters.index(letter) for letter in wanted if letter in letters])
    new = [letter for letter in wanted if letter not in letters]
    if new:
        x = _repeated(x, wanted, new, found)
    shape = tuple(prod(found[letter] for letter in axis if letter != "1") for axis in right)
    return views.reshape(x, shape)


def _written_out(
    side: list[list[str]], x: Tensor, left: list[list[str]], right: list[list[str]]
) -> list[list[str]]:
    """Write out `...` as names of the axes that it stands for."""
    hidden = [f"_{index}" for index in range(len(x.shape) - (len(left) - 1))] if ["..."] in left else []
    del right
    found: list[list[str]] = []
    for axis in side:
        if axis == ["..."]:
            found.extend([name] for name in hidden)
        elif "..." in axis:
            at = axis.index("...")
            found.append([*axis[:at], *hidden, *axis[at + 1 :]])
        else:
            found.append(axis)
    return found


def _sizes(left: list[list[str]], shape: Sequence[int], given: dict[str, int]) -> dict[str, int]:
    if len(left) != len(shape):
        raise ValueError(f"a pattern of {len(left)} axes meets {list(shape)}")
    found = dict(given)
    for axis, size in zip(left, shape, strict=True):
        open_ = [letter for letter in axis if letter not in found and letter != "1"]
        known = prod(found[letter] for letter in axis if letter in found)
        if len(open_) > 1 or size % max(known, 1):
            raise ValueError(f"an axis of {size} is seen as ({' '.join(axis)})")
        if open_:
            found[open_[0]] = size // known
    return found


def _reduced(x: Tensor, axes: list[int], how: Any) -> Tensor:
    if how == "sum":
        return reductions.add_up(x, tuple(axes))
    if how in {"max", "min"}:
        return reductions.largest_values(x, tuple(axes))
    return mean_over(x, *axes)


def _repeated(x: Tensor, wanted: list[str], new: list[str], found: dict[str, int]) -> Tensor:
    shape = x.shape
    sizes = iter(shape)
    ones = tuple(1 if letter in new else next(sizes) for letter in wanted)
    wide = tuple(found[letter] for letter in wanted)
    return views.expand(views.reshape(x, ones), wide)
