"""What an expression may evaluate to besides plain scalars: names, structures and the results of calls.

Nothing here is computed ahead of need: containers hold expressions with the place where they stand,
so that a value read out of a dict or a call still knows its own line.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import ast

    from vramlint.facts.names import Place, Scope
    from vramlint.facts.setting import Setting
    from vramlint.source.imports import Found

Scalar: TypeAlias = "bool | int | float | str | None"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Frame:
    """A function body read for one call of it: parameters of `scope` are the arguments of `call`."""

    scope: Scope
    call: Instance
    parent: Frame | None


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Lazy:
    """An expression that was not evaluated yet, with its place."""

    node: ast.expr
    place: Place
    frame: Frame | None = None


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Module:
    """A module of the repository; `scope` is None where it has no code that could be read."""

    name: str
    found: Found
    scope: Scope | None


@dataclass(frozen=True, slots=True)
class Symbol:
    """A dotted name from outside the file, such as `torch.bfloat16`."""

    name: str


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Function:
    """A function of the file or of a module that it imports."""

    node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
    scope: Scope


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Class:
    """A class of the file or of a module that it imports."""

    node: ast.ClassDef
    scope: Scope


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Record:
    """A mapping with string keys; `gaps` says why some keys may be missing from view, None if none are."""

    items: dict[Any, Lazy | Setting[Any]]
    gaps: str | None = None


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Items:
    """A list, tuple or set display; `gaps` says why its length is not known, None if it is."""

    items: tuple[Lazy | Setting[Any], ...]
    gaps: str | None = None


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Instance:
    """The result of a call that is not followed further.

    `names` are the qualified names of what was called, those of a local class's bases included, and
    `(".to",)` for a method of `receiver`. `call` is None for objects that a parser of command-line
    arguments builds; `parsed` marks those.
    """

    names: tuple[str, ...]
    call: ast.Call | None
    place: Place
    frame: Frame | None = None
    receiver: Setting[Any] | None = None
    local: Class | Function | None = None
    parsed: bool = False

    @property
    def method(self) -> str | None:
        """Return the method's name when a method of an object was called, else None."""
        return self.names[0][1:] if self.names and self.names[0].startswith(".") else None


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Element:
    """One part of a result that is not followed further, such as the second of `prepare(a, b)`."""

    of: Instance
    index: int


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Bound:
    """An attribute of a value that only a run would know, such as `model.parameters`."""

    of: Any
    attribute: str


def is_scalar(value: object) -> bool:
    """Return whether a value is plain data that can be compared and printed."""
    return value is None or isinstance(value, bool | int | float | str)


def frame_of(scope: Scope, frame: Frame | None) -> Frame | None:
    """Return the frame in which a scope's bindings are read: the innermost one of that scope or around it."""
    while frame is not None:
        at: Scope | None = scope
        while at is not None:
            if frame.scope is at:
                return frame
            at = at.parent
        frame = frame.parent
    return None
