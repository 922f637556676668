"""Parts of other libraries inside of a user's model: timm's blocks, torchvision's and transformers' whole models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vramlint.interpret.interpreter import Interpreter
    from vramlint.interpret.values import Library


def call(interpreter: Interpreter, function: Library, args: list[Any], kwargs: dict[str, Any]) -> Any:
    """Make a part of another library, None where it is not known."""
    del interpreter, function, args, kwargs
