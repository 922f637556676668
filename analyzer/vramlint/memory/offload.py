"""Activations in host memory: what leaves the GPU when it is saved, and comes back when backward wants it.

Sources: torch/autograd/graph.py (save_on_cpu), torchtune/training/_activation_offloading.py and
trl/models/activation_offloading.py (OffloadActivations), unsloth_zoo/gradient_checkpointing.py.
"""

from __future__ import annotations

from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vramlint.memory.dtypes import DType
    from vramlint.memory.tape import Backward, Gradients, Node, Shape, Tape, Tensor

_PARAMETERS = frozenset({"weight", "gathered weight", "buffer"})


@dataclass(frozen=True, slots=True)
class Policy:
    """What is offloaded.

    `keeps_parameters`: weights and buffers stay. `least`: smaller tensors, in bytes, stay. `stash`: of the
    newest so many saved tensors those that are offloaded are still on the GPU, for the copying stream; what
    came back is kept until the next one has run. `keeps_shared`: a storage that is saved twice stays.
    `spares_head`, `spares_loss`: what the output layer and the loss save stays.
    """

    keeps_parameters: bool = False
    least: int = 0
    stash: int = 0
    keeps_shared: bool = False
    spares_head: bool = False
    spares_loss: bool = False


SAVE_ON_CPU = Policy()
# both: min_offload_size=1024, max_fwd_stash_size=5, streams on; torchtune computes the loss outside of the context
TORCHTUNE = Policy(keeps_parameters=True, least=1024, stash=5, spares_head=True, spares_loss=True)
TRL = Policy(keeps_parameters=True, least=1024, stash=5, keeps_shared=True, spares_head=True)


class _Away:
    """A tensor that is in host memory."""

    __slots__ = ("contiguous", "dtype", "shape", "tape")

    def __init__(self, tensor: Tensor) -> None:
        self.tape: Tape = tensor.tape
        self.shape: Shape = tensor.shape
        self.dtype: DType = tensor.dtype
        self.contiguous = tensor.contiguous

    def back(self) -> Tensor:
        """Copy it to the GPU again."""
        return self.tape.empty(self.shape, self.dtype, contiguous=self.contiguous)


class Offload:
    """One forward and backward pass under a policy."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self._stash: deque[Tensor | None] = deque(maxlen=policy.stash)
        self._previous: list[Tensor] = []
        self._seen: set[int] = set()

    def forget(self) -> None:
        """Let go of what is held for the copying stream only."""
        self._stash.clear()
        self._previous = []
        self._seen = set()

    def wrap(self, backward: Backward, saved: tuple[Tensor, ...]) -> Backward:
        """Return a backward that first brings back what of these tensors is offloaded here."""
        packed = [self._pack(tensor) for tensor in saved]

        def run(node: Node, grads: Gradients) -> Gradients:
            brought = [part.back() for part in packed if isinstance(part, _Away)]
            waiting = iter(brought)
            node.saved = tuple(next(waiting) if isinstance(part, _Away) else part for part in packed)
            packed.clear()
            outputs = backward(node, grads)
            self._stash.clear()
            self._previous = brought if self.policy.stash else []
            return outputs

        return run

    def _pack(self, tensor: Tensor) -> Tensor | _Away:
        leaves = self._leaves(tensor)
        self._stash.append(tensor if leaves else None)
        return _Away(tensor) if leaves else tensor

    def _leaves(self, tensor: Tensor) -> bool:
        size, key = prod(tensor.shape) * tensor.dtype.bits // 8, tensor.storage.key
        if size > key.bytes:  # a quantized weight, which is no tensor that autograd saves
            return False
        if self.policy.keeps_parameters and key.kind in _PARAMETERS:
            return False
        if size < self.policy.least:
            return False
        known = id(tensor.storage) in self._seen
        self._seen.add(id(tensor.storage))
        return not (self.policy.keeps_shared and known)


@contextmanager
def offloading(tape: Tape, *, on: bool = True) -> Iterator[None]:
    """Offload what is saved here, or save it on the GPU."""
    before, tape.offloads = tape.offloads, on and tape.offload is not None
    yield
    tape.offloads = before


@contextmanager
def sparing_head(tape: Tape) -> Iterator[None]:
    """Save on the GPU what the output layer saves, where the policy spares that."""
    with offloading(tape, on=tape.offloads and not (tape.offload and tape.offload.policy.spares_head)):
        yield


@contextmanager
def sparing_loss(tape: Tape) -> Iterator[None]:
    """Save on the GPU what the loss saves, where the policy spares that."""
    with offloading(tape, on=tape.offloads and not (tape.offload and tape.offload.policy.spares_loss)):
        yield
