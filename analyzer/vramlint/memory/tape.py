"""The tape: symbolic tensors, what autograd saves for them, and the backward pass.

A tensor has a shape, an element type and a storage, and no numbers. A node of the tape holds what
torch's autograd saves for one operator (tools/autograd/derivatives.yaml) and the function that turns
the gradient of its output into those of its inputs. The backward pass runs the nodes in reverse order,
drops what a node saved once it has run, and accumulates gradients in place exactly where
torch/csrc/autograd/input_buffer.cpp does.
"""

from __future__ import annotations

from contextlib import contextmanager
from math import prod
from typing import TYPE_CHECKING, Self, TypeAlias

from vramlint.memory.arena import Arena, Key, Region, rounded
from vramlint.memory.dtypes import DType, promoted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from vramlint.memory.adapters.prompts import Prefix
    from vramlint.memory.offload import Offload
    from vramlint.memory.selective import Selection

Shape: TypeAlias = tuple[int, ...]


class Dim(int):
    """A size with the letter that formulas show for it (scaling-book notation: B, T, D, F, N, K, H, V)."""

    symbol: str

    def __new__(cls, size: int, symbol: str) -> Self:
        """Name a size."""
        dim = super().__new__(cls, size)
        dim.symbol = symbol
        return dim

    def __deepcopy__(self, _: object) -> Dim:
        return self


class Storage:
    """A block of memory, freed when nothing refers to it any more."""

    __slots__ = ("count", "filled", "held", "key", "regions", "size", "tape")

    def __init__(self, tape: Tape, key: Key, count: int = 1) -> None:
        self.tape = tape
        self.key = key
        self.count = count
        self.held = 0  # how many gradient buffers hold it; only one that is held once is added to in place
        self.size = size = rounded(key.bytes)
        self.filled = True
        arena = tape.arena
        self.regions: tuple[Region, ...] = arena.regions
        arena.allocate(key, size, count)

    def fill(self) -> None:
        """Take the memory again, if the storage was emptied."""
        if self.filled:
            return
        self.filled = True
        arena = self.tape.arena
        self.regions = arena.regions
        arena.allocate(self.key, self.size, self.count)

    def empty(self) -> None:
        """Give the memory back, though tensors still refer to the storage."""
        if not self.filled:
            return
        self.filled = False
        count = self.count
        for region in self.regions:
            if not region.open:
                count *= region.copies
        self.tape.arena.release(self.key, self.size, count)

    def __del__(self) -> None:
        self.empty()


class Tensor:
    """A symbolic tensor; `slot` is its place among the outputs of the node that made it.

    `strides` are those of a tensor that is not contiguous, where somebody keeps account of them.
    """

    __slots__ = ("contiguous", "dtype", "node", "shape", "slot", "storage", "strides")

    def __init__(self, shape: Shape, dtype: DType, storage: Storage, *, contiguous: bool = True) -> None:
        self.shape = shape
        self.dtype = dtype
        self.storage = storage
        self.contiguous = contiguous
        self.strides: tuple[int, ...] | None = None
        self.node: Node | None = None
        self.slot = 0

    @property
    def tape(self) -> Tape:
        """Return the tape it lives on."""
        return self.storage.tape

    @property
    def requires_grad(self) -> bool:
        """Return whether backward will compute a gradient for it."""
        return self.node is not None

    def view(self, *shape: int) -> Tensor:
        """Return the same storage under another shape; gradients pass through without a copy."""
        return self._alias(shape, contiguous=self.contiguous)

    def transposed(self, first: int, second: int) -> Tensor:
        """Return the same storage with two dimensions swapped; swapped twice, a whole one is contiguous again."""
        shape = list(self.shape)
        shape[first], shape[second] = shape[second], shape[first]
        whole = prod(shape) == prod(self.storage.key.shape)
        return self._alias(tuple(shape), contiguous=whole and not self.contiguous)

    def detached(self) -> Tensor:
        """Return the same storage, cut off from the graph."""
        out = Tensor(self.shape, self.dtype, self.storage, contiguous=self.contiguous)
        out.strides = self.strides
        return out

    def _alias(self, shape: Shape, *, contiguous: bool) -> Tensor:
        alias = Tensor(shape, self.dtype, self.storage, contiguous=contiguous)
        alias.node, alias.slot = self.node, self.slot
        return alias

    def __mul__(self, other: Tensor | float) -> Tensor:
        from vramlint.memory.operators import elementwise  # noqa: PLC0415  operators build on the tape

        return elementwise.multiply(self, other)

    def __add__(self, other: Tensor | float) -> Tensor:
        from vramlint.memory.operators import elementwise  # noqa: PLC0415

        return elementwise.add(self, other)

    __rmul__ = __mul__
    __radd__ = __add__


Gradients: TypeAlias = "Sequence[Tensor | None]"
Backward: TypeAlias = "Callable[[Node, Gradients], Gradients]"


class Node:
    """One step of the graph: what it saved, and the nodes that its inputs came from.

    `lasting` is set on few: what lives as long as the node, and not only until backward has passed it.
    """

    __slots__ = ("backward", "extra", "grads", "inputs", "lasting", "outputs", "regions", "saved")
    lasting: object

    def __init__(  # noqa: PLR0917  made for every operator: keywords would cost a tenth of the walk
        self,
        backward: Backward,
        inputs: Sequence[Tensor] = (),
        saved: tuple[Tensor, ...] = (),
        extra: object = None,
        outputs: int = 1,
        regions: tuple[Region, ...] = (),
    ) -> None:
        self.backward = backward
        self.inputs = tuple((tensor.node, tensor.slot, tensor.shape, tensor.dtype) for tensor in inputs)
        self.saved = saved
        self.extra = extra
        self.outputs = outputs
        self.regions = regions
        self.grads: list[Tensor | None] | None = None
        for tensor in inputs:
            if isinstance(tensor.node, Leaf):
                tensor.node.pending += 1

    def needs(self, index: int) -> bool:
        """Return whether the input at `index` wants a gradient."""
        return self.inputs[index][0] is not None

    def receive(self, slot: int, grad: Tensor) -> None:
        """Take one more contribution to the gradient of the output at `slot`.

        The sum goes in place if nothing else holds the first contribution and it is not an expanded view
        (input_buffer.cpp, accumulate and can_accumulate_inplace).
        """
        if self.grads is None:
            self.grads = [None] * self.outputs
        old = self.grads[slot]
        if old is None:
            self._hold(slot, grad)
        elif old.storage.held > 1 or old.storage is grad.storage or (old.strides and 0 in old.strides):
            old.storage.held -= 1
            self._hold(slot, old.tape.empty(old.shape, promoted(old.dtype, grad.dtype)))

    def _hold(self, slot: int, grad: Tensor) -> None:
        storage = grad.storage
        storage.held += 1
        if storage.regions != self.regions:  # it leaves a region: outside there is only the last copy's
            storage.regions = _shared(storage.regions, self.regions)
        assert self.grads is not None
        self.grads[slot] = grad

    def take(self) -> Gradients:
        """Give up the gradients received so far."""
        grads, self.grads = self.grads or (), None
        for grad in grads:
            if grad is not None:
                grad.storage.held -= 1
        return grads

    def skip(self) -> None:
        """Drop what was saved: no gradient ever came."""
        self.saved = ()
        for source, *_ in self.inputs:
            if isinstance(source, Leaf):
                source.expect_less()


class Leaf(Node):
    """Where the gradients of a parameter arrive: summed over its uses, then added to `grad`.

    `pending` counts the uses whose gradient has not come yet (engine.cpp runs AccumulateGrad only when
    all have). `arrived` is run after that (register_post_accumulate_grad_hook).
    """

    __slots__ = ("arrived", "grad", "pending")

    def __init__(self) -> None:
        super().__init__(_no_backward)
        self.pending = 0
        self.grad: Tensor | None = None
        self.arrived: Callable[[], None] | None = None

    def receive(self, slot: int, grad: Tensor) -> None:
        """Take the gradient of one use."""
        self.regions = grad.storage.regions  # every copy of a layer has a gradient of its own
        super().receive(slot, grad)
        del grad
        self.expect_less()

    def expect_less(self) -> None:
        """Note that one use is done; after the last, the sum becomes the gradient or is added to it."""
        self.pending -= 1
        if self.pending or self.grads is None:
            return
        (total,) = self.take()
        if self.grad is None and total is not None:
            self.grad = self.keep(total)
        del total
        if self.arrived is not None:
            self.arrived()

    def keep(self, total: Tensor) -> Tensor:
        """Return the tensor that becomes the gradient."""
        return total.tape.as_gradient(total)


class Entry(Leaf):
    """The detached input of a layer that is recomputed: its gradient goes on from there."""

    __slots__ = ()

    def keep(self, total: Tensor) -> Tensor:
        """Return the gradient as it is."""
        return total


def _shared(inner: tuple[Region, ...], outer: tuple[Region, ...]) -> tuple[Region, ...]:
    """Return the regions that both lie in."""
    return tuple(a for a, b in zip(inner, outer, strict=False) if a is b)


def _no_backward(node: Node, grads: Gradients) -> Gradients:
    raise AssertionError((node, grads))


class _Begin:
    """Marks where a repeat region begins on the tape."""

    __slots__ = ("region",)

    def __init__(self, region: Region) -> None:
        self.region = region


class _Hook:
    """Something to do when backward comes by."""

    __slots__ = ("run",)

    def __init__(self, run: Callable[[], None]) -> None:
        self.run = run


class _End(_Begin):
    """Marks where a repeat region ends on the tape."""

    __slots__ = ()


class Tape:
    """A walk in progress: the arena, the graph so far, and the modes torch keeps per thread."""

    def __init__(self, *, has_cuda_kernels: bool = True, softmax_saves_input: bool = False) -> None:
        self.arena = Arena()
        self.softmax_saves_input = softmax_saves_input  # as torch before 1.11 did
        self.has_cuda_kernels = has_cuda_kernels  # False: what CUDA does in one kernel is written out
        self.grad_enabled = True
        self.autocast: DType | None = None
        self.autocast_cache = True
        self.selection: Selection | None = None  # what selective checkpointing keeps of the layer being run
        self.offload: Offload | None = None  # takes what is saved to host memory, while `offloads` is set
        self.offloads = False
        self.prefix: Prefix | None = None  # virtual tokens that stand before the keys of every layer
        # What CheckpointFunction.backward holds beside a recomputed layer's first output: the other outputs, and zeros
        # as their gradients (torch/utils/checkpoint.py; set_materialize_grads). None outside of one.
        self.other_outputs: list[Tensor] | None = None
        self.doubts: set[str] = set()  # choices of a kernel that another version or GPU makes otherwise
        self._nodes: list[Node | _Begin | _Hook] = []
        self._casts: dict[int, Tensor] = {}

    def empty(self, shape: Shape, dtype: DType, *, contiguous: bool = True) -> Tensor:
        """Allocate a tensor."""
        arena = self.arena
        key = Key(arena.label, arena.kind, shape, dtype.bits)
        return Tensor(shape, dtype, Storage(self, key), contiguous=contiguous)

    def as_gradient(self, grad: Tensor) -> Tensor:
        """Take over a gradient tensor as a parameter's `.grad`, booked as such from here on."""
        storage = grad.storage
        if storage.held:  # another buffer still needs it: accumulate_grad.h copies
            grad = self.empty(grad.shape, grad.dtype)
            storage = grad.storage
        key = Key(storage.key.label, "gradient", grad.shape, grad.dtype.bits)
        self.arena.rename(storage.key, key, storage.size)
        storage.key = key
        return grad.detached()

    def record(
        self,
        out: Tensor,
        inputs: Sequence[Tensor],
        backward: Backward,
        saved: tuple[Tensor, ...] = (),
        extra: object = None,
    ) -> Tensor:
        """Put an operator with one output on the tape if any input wants a gradient, and return the output."""
        if self.grad_enabled:
            for tensor in inputs:
                if tensor.node is not None:
                    if self.offloads and saved and self.offload is not None:
                        backward, saved = self.offload.wrap(backward, saved), ()
                    out.node = Node(backward, inputs, saved, extra, 1, self.arena.regions)
                    self._nodes.append(out.node)
                    break
        return out

    def record_many(
        self, outputs: Sequence[Tensor], inputs: Sequence[Tensor], backward: Backward, extra: object = None
    ) -> None:
        """Put an operator with several outputs on the tape; its backward finds all gradients in `node.grads`."""
        if not self.grad_enabled or all(tensor.node is None for tensor in inputs):
            return
        node = Node(backward, inputs, (), extra, len(outputs), self.arena.regions)
        self._nodes.append(node)
        for slot, out in enumerate(outputs):
            out.node, out.slot = node, slot

    @contextmanager
    def no_grad(self) -> Iterator[None]:
        """Walk without recording."""
        before, self.grad_enabled = self.grad_enabled, False
        yield
        self.grad_enabled = before

    @contextmanager
    def selecting(self, selection: Selection | None) -> Iterator[None]:
        """Walk a layer of which a selection keeps outputs, or takes them back."""
        before, self.selection = self.selection, selection
        yield
        self.selection = before

    @contextmanager
    def autocast_to(self, dtype: DType | None) -> Iterator[None]:
        """Walk under autocast; the cache of weight copies is dropped when the outermost block ends."""
        before, self.autocast = self.autocast, dtype
        yield
        self.autocast = before
        if before is None:
            self._casts.clear()

    def cached_cast(self, parameter: Tensor, make: Callable[[], Tensor]) -> Tensor:
        """Return the weight's copy in the autocast type, made once per block (ATen/autocast_mode.cpp)."""
        cast = self._casts.get(id(parameter))
        if cast is None:
            cast = self._casts[id(parameter)] = make()
        return cast

    @contextmanager
    def repeat(self, copies: int) -> Iterator[None]:
        """Walk one of `copies` equal stretches; backward will do the same."""
        region = Region(copies)
        recording = self.grad_enabled
        if recording:
            self._nodes.append(_Begin(region))
        self._forget_offloaded()
        with self.arena.repeat(region):
            yield
            self._forget_offloaded()
        if recording:
            self._nodes.append(_End(region))

    def _forget_offloaded(self) -> None:
        """Let no tensor that waits for its copy pass a region's border: there it would count once for each copy."""
        if self.offload is not None:
            self.offload.forget()

    def when_backward_passes(self, run: Callable[[], None]) -> None:
        """Do something when backward comes back to this place."""
        if self.grad_enabled:
            self._nodes.append(_Hook(run))

    @contextmanager
    def fresh_graph(self) -> Iterator[None]:
        """Record into a graph of its own: what a checkpointed layer does when it is recomputed."""
        nodes, self._nodes = self._nodes, []
        yield
        self._nodes = nodes

    def backward(self, out: Tensor, grad: Tensor) -> None:
        """Run backward from `out` and forget the graph."""
        assert out.node is not None
        self.backward_from(out.node, out.slot, grad)

    def backward_from(self, node: Node, slot: int, grad: Tensor) -> None:
        """Run backward from the output `slot` of a node, and forget the graph."""
        node.receive(slot, grad)
        del grad
        self._run_until(None)

    def _run_until(self, region: Region | None) -> None:
        while self._nodes:
            entry = self._nodes.pop()
            if isinstance(entry, _End):
                self._forget_offloaded()
                with self.arena.repeat(entry.region):
                    self._run_until(entry.region)
                    self._forget_offloaded()
            elif isinstance(entry, _Begin):
                assert entry.region is region
                return
            elif isinstance(entry, _Hook):
                entry.run()
            else:
                run_node(entry)


def run_node(node: Node) -> None:
    """Compute the gradients of a node's inputs, hand them on, and drop what the node saved."""
    if node.grads is None:
        node.skip()
        return
    outputs = _outputs(node)
    node.saved, node.extra, node.backward = (), None, _no_backward
    for index, (source, slot, _, _) in enumerate(node.inputs):
        grad, outputs[index] = outputs[index], None
        if source is None:
            continue
        if grad is not None:
            source.receive(slot, grad)
            del grad
        elif isinstance(source, Leaf):
            source.expect_less()


def _outputs(node: Node) -> list[Tensor | None]:
    """Run a node; the gradients it was given live until all of its results are validated (call_function)."""
    grads = node.take()
    outputs = list(node.backward(node, grads))
    for index, (source, _, shape, dtype) in enumerate(node.inputs):
        if source is not None and outputs[index] is not None:
            outputs[index] = _validated(outputs, index, shape, dtype)
    return outputs


def _validated(outputs: list[Tensor | None], index: int, shape: Shape, dtype: DType) -> Tensor:
    """Reduce a broadcast gradient to its input's shape and type (engine.cpp, validate_outputs)."""
    grad = outputs[index]
    outputs[index] = None
    assert grad is not None
    if prod(grad.shape) != prod(shape):
        grad = grad.tape.empty(shape, grad.dtype)
    if grad.dtype is not dtype:
        grad = grad.tape.empty(shape, dtype)
    return grad
