"""What an expression of the user's code may be worth, beside plain Python values and tensors."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import ast
    from collections.abc import Callable

    from vramlint.facts import values as facts
    from vramlint.facts.names import Place, Scope


class NotUnderstood(Exception):  # noqa: N818  it is an answer, not an error of ours
    """Something that decides the memory cannot be read; `line` is where, in the file of `path`."""

    @property
    def place(self) -> str:
        """Return the file and line, as far as they are known."""
        if self.line is None:
            return ""
        return f"{self.path}:{self.line}" if self.path else f"line {self.line}"

    def __init__(self, reason: str, line: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.line = line
        self.path = ""


class Unread:
    """A value that nobody knows, and why; attributes, items and calls of it are not known either."""

    __slots__ = ("derived", "parts", "reason", "tensor")

    def __init__(self, reason: str) -> None:
        self.reason = reason
        self.parts: dict[Any, Unread] = {}
        self.tensor: Any = None  # what it became when an operator took it for a tensor
        self.derived = False  # something that is not read made it of the batch

    def part(self, key: Any) -> Unread:
        """Return an attribute or item: the same one each time."""
        if key not in self.parts:
            self.parts[key] = type(self)(self.reason)
            self.parts[key].derived = self.derived
        return self.parts[key]


class Data(Unread):
    """A tensor of the batch, or a structure of them; what shape it has is decided by the first that needs it."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Library:
    """A name out of a library, such as `torch.nn.Linear`."""

    name: str

    @property
    def last(self) -> str:
        """Return the part behind the last dot."""
        return self.name.rpartition(".")[2]


@dataclass(slots=True, eq=False)
class Frame:
    """The variables of one call; names that it lacks are looked up in `outer`, then in the module `scope`."""

    scope: Scope | None
    locals: dict[str, Any] = field(default_factory=dict)
    outer: Frame | None = None
    owner: UserClass | None = None
    place: Place | None = None
    within: facts.Frame | None = None
    lenient: bool = False
    globals: set[str] = field(default_factory=set)


@dataclass(slots=True, eq=False)
class Function:
    """A function of the user's; `outer` holds the variables around it, `owner` the class it is a method of."""

    node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
    scope: Scope | None
    outer: Frame | None = None
    owner: UserClass | None = None

    def __deepcopy__(self, _: object) -> Function:
        return self


@dataclass(slots=True, eq=False)
class UserClass:
    """A class of the user's, with the classes and libraries' names that it derives from, nearest first."""

    name: str
    node: ast.ClassDef
    scope: Scope | None
    outer: Frame
    lineage: tuple[UserClass, ...] = ()
    bases: tuple[str, ...] = ()
    attributes: dict[str, Any] = field(default_factory=dict)

    def __deepcopy__(self, _: object) -> UserClass:
        return self


@dataclass(slots=True, eq=False)
class Method:
    """A function bound to an object."""

    function: Function
    of: Any


@dataclass(slots=True, eq=False)
class Partial:
    """`functools.partial(function, …)`."""

    function: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


@dataclass(slots=True, eq=False)
class Super:
    """`super()` inside of a method of `owner`, for an object."""

    owner: UserClass
    of: Any


@dataclass(slots=True, eq=False)
class Native:
    """A function of ours that stands for one of a library's or of an object's."""

    name: str
    call: Callable[..., Any]


@dataclass(slots=True, eq=False)
class Namespace:
    """A module of the repository."""

    module: facts.Module


@dataclass(slots=True, eq=False)
class Parsed:
    """An object that the script's evaluator knows by its attributes, such as parsed arguments."""

    value: Any
    place: Place
    within: facts.Frame | None = None


@dataclass(slots=True, eq=False)
class Object:
    """An object of a class of the user's that is no module."""

    cls: UserClass
    attributes: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class Record:
    """A plain object with attributes: SimpleNamespace, what a library's function returns."""

    attributes: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class Slice:
    """`start:stop:step` in a subscript."""

    start: Any
    stop: Any
    step: Any


class Reached(Exception):  # noqa: N818  no error: the loop has come to its backward
    """`loss.backward()` was reached."""

    def __init__(self, loss: Any) -> None:
        super().__init__()
        self.loss = loss
