"""What the tests of the tape need: tensors that want a gradient, and a look at what a graph holds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vramlint.memory.dtypes import BFLOAT16, FLOAT32
from vramlint.memory.modules import Parameter
from vramlint.memory.tape import Leaf, Node, Tape, Tensor, run_node

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from vramlint.memory.dtypes import DType
    from vramlint.memory.tape import Gradients


REGIMES = {"fp32": (FLOAT32, None), "half": (BFLOAT16, None), "autocast": (FLOAT32, BFLOAT16)}


@dataclass
class Bench:
    """A tape in one regime, and the tensors that lie on it before an operator runs, by name."""

    dtype: DType = FLOAT32
    autocast: DType | None = None
    tape: Tape = field(default_factory=Tape)
    given: dict[str, Tensor] = field(default_factory=dict)

    @classmethod
    def of(cls, regime: str) -> Bench:
        """Return a fresh tape in the regime of that name."""
        return cls(*REGIMES[regime])

    def tensor(self, name: str, *shape: int, dtype: DType | None = None) -> Tensor:
        """Put a tensor without gradient on the tape."""
        self.given[name] = tensor = self.tape.empty(shape, dtype or self.dtype)
        return tensor

    def wanting(self, name: str, *shape: int, dtype: DType | None = None) -> Tensor:
        """Put a tensor on the tape whose gradient is wanted, such as another operator's result."""
        tensor = self.tensor(name, *shape, dtype=dtype)
        tensor.node = Node(nothing_before)
        return tensor

    def weight(self, name: str, *shape: int, trainable: bool = True) -> Tensor:
        """Put a parameter on the tape."""
        parameter = Parameter(*shape)
        parameter.dtype, parameter.trainable = self.dtype, trainable
        parameter.place(self.tape)
        assert parameter.tensor is not None
        self.given[name] = parameter.tensor
        return parameter.tensor

    def run(self, operator: Callable[..., Tensor], *args: object, **kwargs: object) -> Tensor:
        """Run an operator in an autocast block of its own, if the regime has one."""
        with self.tape.autocast_to(self.autocast):
            return operator(*args, **kwargs)

    def backward(self, out: Tensor) -> int:
        """Run the backward of one operator; return the most bytes that it adds to what is alive before."""
        assert out.node is not None
        out.node.receive(out.slot, self.tape.empty(out.shape, out.dtype))
        arena = self.tape.arena
        arena.enter("backward", 1)
        run_node(out.node)
        arena.leave()
        begin, largest, _ = arena.moments[-3:]
        return largest.bytes - begin.bytes

    def gradient(self, name: str) -> Tensor | None:
        """Return the gradient that has come for a given tensor."""
        node = self.given[name].node
        if isinstance(node, Leaf):
            return node.grad
        return node.grads[0] if node is not None and node.grads else None

    def saved(self, out: Tensor) -> list[str]:
        """Return what the graph holds, each storage once: a name that was given, `out`, or type and shape.

        Whatever is alive must be one of these: an operator that leaves anything else behind is wrong.
        """
        names = {id(tensor.storage): name for name, tensor in [*self.given.items(), ("out", out)]}
        sizes = {id(tensor.storage): tensor.storage.size for tensor in [*self.given.values(), out]}
        held: dict[int, str] = {}
        for tensor in self._held():
            key = tensor.storage.key
            held[id(tensor.storage)] = names.get(id(tensor.storage), f"{tensor.dtype.name} {key.shape}")
            sizes[id(tensor.storage)] = tensor.storage.size
        assert sum(sizes.values()) == self.tape.arena.total
        return sorted(held.values())

    def _held(self) -> Iterator[Tensor]:
        for node in self.tape._nodes:
            if isinstance(node, Node):
                yield from node.saved


def nothing_before(node: Node, grads: Gradients) -> Gradients:
    """Stand for the operators before the one under test, whose backward is never run."""
    raise AssertionError((node, grads))
