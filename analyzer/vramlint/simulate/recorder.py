"""Sees every storage that a training step allocates and frees, and who asked for it."""

from __future__ import annotations

import sys
import weakref
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from vramlint.simulate.scratch import scratch_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import FrameType

BLOCK = 512  # bytes; c10/cuda/CUDACachingAllocator.cpp rounds every block to a multiple of it

Group: TypeAlias = Literal[
    "weights",
    "buffers",
    "gradients",
    "optimizer",
    "activations",
    "temporaries",
    "inputs",
    "recomputed activations",
]

aten = torch.ops.aten

# Values that a tensor without data does not have: every mask is full, and no number is special.
_TRUTH = {torch.bool: True}
_ENGINE = "_engine_run_backward"
_WRAPPERS = (
    "vramlint/simulate/recorder.py",
    "torch/_dynamo/",
    "torch/_compile.py",
    "torch/utils/_python_dispatch.py",
)
_LOOP = ("vramlint/simulate/loop.py", "vramlint/simulate/run.py", "vramlint/simulate/batch.py")
_OURS = "vramlint/simulate/"
_ELSEWHERE = (
    "torch/", f"{_OURS}recorder.py", f"{_OURS}attention.py", "contextlib.py", "functools.py",
    "transformers/utils/generic.py",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Allocation:
    """One storage: its bytes, the tensor it was made for, the operator, and the line of model code (`path:line`)."""

    bytes: int
    shape: tuple[int, ...]
    dtype: str
    operator: str
    line: str
    phase: str
    step: int

    @property
    def rounded(self) -> int:
        """Return the bytes that the caching allocator hands out."""
        return -(-self.bytes // BLOCK) * BLOCK


@dataclass(frozen=True, slots=True)
class Event:
    """An allocation (positive), a release (negative) of `number`, or with 0 the entry into a phase."""

    sign: int
    number: int
    phase: str
    step: int


class Recorder(TorchDispatchMode):
    """Keeps a log of storages while it is entered; `phase` and `step` say what the training loop is at."""

    def __init__(self, device: str) -> None:
        super().__init__()
        self.device = device
        self.phase, self.step = "load", 0
        self.allocations: list[Allocation] = []
        self.groups: dict[int, Group] = {}
        self.events: list[Event] = []
        self._alive: dict[int, tuple[int, weakref.ref[Any]]] = {}
        self._pending: tuple[int, int] | None = None

    def enter(self, phase: str, step: int) -> None:
        """Note that the loop enters a phase."""
        self.phase, self.step = phase, step
        self.events.append(Event(0, 0, phase, step))

    def mark(self, tensors: Iterable[Any], group: Group) -> None:
        """Say what tensors are; those that are not known yet are allocated now."""
        for tensor in tensors:
            if isinstance(tensor, torch.Tensor):
                for part in _parts(tensor):
                    number = self._see(part, group)
                    if number is not None:
                        self.groups[number] = group

    def alive(self) -> Counter[int]:
        """Return how many storages of each size are alive."""
        return Counter(self.allocations[number].rounded for number, _ in self._alive.values())

    def group_of(self, number: int) -> Group:
        """Return what an allocation is: as it was marked, else after the phase that made it."""
        marked = self.groups.get(number)
        if marked is not None:
            return marked
        return "activations" if self.allocations[number].phase == "forward" else "temporaries"

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operator and note the storages that its results are in."""
        if func is aten._local_scalar_dense.default and getattr(args[0], "constant", None) is None:  # noqa: SLF001
            return _TRUTH.get(args[0].dtype, 1.0 if args[0].is_floating_point() else 1)
        if func is aten.nonzero.default:
            return args[0].new_empty((args[0].numel(), args[0].dim()), dtype=torch.int64)
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, torch.Tensor):
                self._see(leaf, str(func))
        self._note_sum(func, args, kwargs, result)
        self._note_scratch(func, args)
        return result

    def _see(self, tensor: torch.Tensor, operator: str) -> int | None:
        """Note a tensor's storage if it is new; return its number, None for one that is not on the device."""
        if tensor.device.type != self.device:
            return None
        storage = tensor.untyped_storage()
        known = self._alive.get(storage._cdata)  # noqa: SLF001  the storage's identity; its wrapper may be new
        if known is not None:
            return known[0]
        line = _line_of_model_code(sys._getframe(2))  # noqa: SLF001  who called the operator
        number = self._allocate(storage.nbytes(), tensor, operator, line)
        key = storage._cdata  # noqa: SLF001
        self._alive[key] = (number, weakref.ref(storage, lambda _: self._release(key, number)))
        return number

    def _allocate(self, size: int, tensor: torch.Tensor, operator: str, line: str) -> int:
        number = len(self.allocations)
        dtype = str(tensor.dtype).removeprefix("torch.")
        self.allocations.append(
            Allocation(size, tuple(tensor.shape), dtype, operator, line, self.phase, self.step)
        )
        if self.phase == "backward" and torch.is_grad_enabled():
            self.groups[number] = "recomputed activations"
        self.events.append(Event(1, number, self.phase, self.step))
        return number

    def _release(self, key: int, number: int) -> None:
        self._alive.pop(key, None)
        event = Event(-1, number, self.phase, self.step)
        pending, self._pending = self._pending, None
        if pending is None or pending[1] != number or pending[0] != len(self.allocations) - 1:
            self.events.append(event)
            self._pending = pending
            return
        place = next(i for i in range(len(self.events) - 1, -1, -1) if self.events[i].sign == 1)
        self.events.insert(place, event)

    def _note_sum(self, func: Any, args: Any, kwargs: Any, result: Any) -> None:
        """Expect that a sum of two gradients reuses the first.

        Autograd adds to a gradient in place if nobody else holds it (torch/csrc/autograd/input_buffer.cpp), but not
        to tensors without data. If the first is released right after, nobody held it: then the sum takes its place.
        """
        self._pending = None
        if func is not aten.add.Tensor or kwargs or not _is_autograd(sys._getframe(1)):  # noqa: SLF001
            return
        first, second = args
        if isinstance(second, torch.Tensor) and first.dtype == second.dtype and first.shape == second.shape:
            old, new = self._number(first), self._number(result)
            if old is not None and new == len(self.allocations) - 1:
                self._pending = (new, old)

    def _number(self, tensor: torch.Tensor) -> int | None:
        known = self._alive.get(tensor.untyped_storage()._cdata)  # noqa: SLF001
        return None if known is None else known[0]

    def _note_scratch(self, func: Any, args: Any) -> None:
        numbers = [self._allocate(size, args[1], f"inside {func}", "") for size in scratch_of(func, args)]
        self.events.extend(Event(-1, number, self.phase, self.step) for number in numbers)


def _parts(tensor: torch.Tensor) -> Iterable[torch.Tensor]:
    """Return the tensors that hold a tensor's data: itself, or the inner ones of a wrapper."""
    if not torch.utils._python_dispatch.is_traceable_wrapper_subclass(tensor):  # noqa: SLF001
        return (tensor,)
    names, _ = tensor.__tensor_flatten__()
    return tuple(part for name in names for part in _parts(getattr(tensor, name)))


def _is_autograd(frame: FrameType | None) -> bool:
    """Return whether autograd's engine called the operator itself, and not Python code on its behalf."""
    while frame is not None and any(part in frame.f_code.co_filename for part in _WRAPPERS):
        frame = frame.f_back
    return frame is not None and frame.f_code.co_name == _ENGINE


def _line_of_model_code(frame: FrameType | None) -> str:
    """Return `path:line` of the innermost frame of model code; empty where the loop or autograd is at work itself."""
    while frame is not None and not frame.f_code.co_filename.endswith(_LOOP):
        path = frame.f_code.co_filename
        if not any(part in path for part in _ELSEWHERE):
            return f"{path}:{frame.f_lineno}"
        frame = frame.f_back
    return ""
