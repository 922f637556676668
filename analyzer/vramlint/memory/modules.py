"""Modules: the layers that model families are built of, with parameters named as in the real libraries.

A family's classes look like the code they stand for, so that a local variable there is a local variable
here, and a tensor lives as long as it does there.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any, Protocol, cast

from vramlint.memory.arena import Arena, Key, rounded
from vramlint.memory.dtypes import FLOAT32, DType
from vramlint.memory.offload import SAVE_ON_CPU, Offload
from vramlint.memory.operators import normalization
from vramlint.memory.operators.elementwise import dropout
from vramlint.memory.operators.matmul import embedding, linear, linear_transposed
from vramlint.memory.selective import Selection
from vramlint.memory.tape import Entry, Gradients, Leaf, Node, Shape, Storage, Tape, Tensor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from vramlint.memory.tape import Backward


class Parameter:
    """A weight: its shape and type, whether it trains, and, once it is placed, its tensor.

    `copies` is the number of layers that this one stands for. `sharded_grad` stands for the gradient
    where it is split over GPUs, and `scattered` is run when that is there. `keeps_fp32`: the model is
    made with it in fp32, whatever its own type.
    """

    __slots__ = (
        *("copies", "dtype", "is_embedding", "keeps_fp32", "scattered", "shape", "sharded_grad", "tensor"),
        "trainable",
    )

    def __init__(self, *shape: int, is_embedding: bool = False) -> None:
        self.shape: Shape = shape
        self.dtype: DType = FLOAT32
        self.trainable = True
        self.copies = 1
        self.is_embedding = is_embedding
        self.keeps_fp32 = False
        self.tensor: Tensor | None = None
        self.sharded_grad: object = None
        self.scattered: Callable[[], None] | None = None

    def keys(self, arena: Arena) -> list[Key]:
        """Return what it is stored as."""
        return [Key(arena.label, arena.kind, self.shape, self.dtype.bits)]

    def place(self, tape: Tape) -> None:
        """Allocate it, in every layer it stands for."""
        self.adopt([Storage(tape, key, self.copies) for key in self.keys(tape.arena)])

    def adopt(self, storages: list[Storage]) -> None:
        """Let the parameter's tensor be these storages."""
        self.tensor = Tensor(self.shape, self.dtype, storages[0])
        if self.trainable:
            self.tensor.node = Leaf()

    @property
    def numel(self) -> int:
        """Return how many numbers one copy holds."""
        return prod(self.shape)

    @property
    def grad(self) -> Tensor | None:
        """Return the whole gradient that backward has left, if any."""
        leaf = self._leaf()
        return leaf.grad if leaf is not None else None

    @property
    def has_grad(self) -> bool:
        """Return whether the optimizer will find a gradient, whole or in parts."""
        return self.grad is not None or self.sharded_grad is not None

    def forget_whole_grad(self) -> None:
        """Free the whole gradient."""
        leaf = self._leaf()
        if leaf is not None:
            leaf.grad = None

    def forget_grad(self) -> None:
        """Free the gradient: `zero_grad(set_to_none=True)`."""
        self.forget_whole_grad()
        self.sharded_grad = None

    def when_grad_arrives(self, run: Callable[[], None]) -> None:
        """Do something each time that backward has made the gradient."""
        leaf = self._leaf()
        if leaf is not None:
            leaf.arrived = run

    def _leaf(self) -> Leaf | None:
        node = self.tensor.node if self.tensor is not None else None
        return node if isinstance(node, Leaf) else None


class Buffer:
    """A tensor of a module that is no parameter."""

    __slots__ = ("copies", "dtype", "shape", "tensor")

    def __init__(self, *shape: int, dtype: DType = FLOAT32) -> None:
        self.shape: Shape = shape
        self.dtype = dtype
        self.copies = 1
        self.tensor: Tensor | None = None

    def place(self, tape: Tape) -> None:
        """Allocate it."""
        key = Key(tape.arena.label, "buffer", self.shape, self.dtype.bits)
        self.tensor = Tensor(self.shape, self.dtype, Storage(tape, key, self.copies))


class FloatBuffer(Buffer):
    """A buffer that is made, and moved, in the type of a parameter."""

    __slots__ = ("like",)

    def __init__(self, *shape: int, like: Parameter) -> None:
        super().__init__(*shape)
        self.like = like

    def place(self, tape: Tape) -> None:
        """Allocate it in the parameter's type."""
        self.dtype = self.like.dtype
        super().place(tape)


class Module:
    """A part of a model; `label` names it in the ledger, and None means the surrounding name."""

    label: str | None = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the forward pass under this module's label."""
        if self.label is None:
            return self.forward(*args, **kwargs)
        arena = _arena_of(args)
        before, arena.label = arena.label, self.label
        result = self.forward(*args, **kwargs)
        arena.label = before
        return result

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Compute the output; every module has its own."""
        raise NotImplementedError

    def children(self) -> Iterator[tuple[str, Module]]:
        """Yield direct parts with their names; a stack's name carries the layer index as `*`."""
        for name, value in vars(self).items():
            if isinstance(value, Module):
                yield name, value

    def put(self, name: str, part: Module) -> None:
        """Put another module in the place of a part."""
        setattr(self, name, part)

    def named_tensors(self, prefix: str = "") -> Iterator[tuple[str, Parameter | Buffer]]:
        """Yield parameters and buffers with their full names, tied ones again under each name."""
        for name, value in vars(self).items():
            if isinstance(value, (Parameter, Buffer)):
                yield prefix + name, value
            elif isinstance(value, Module):
                yield from value.named_tensors(f"{prefix}{name}.")

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """Yield parameters with their full names."""
        for name, tensor in self.named_tensors():
            if isinstance(tensor, Parameter):
                yield name, tensor

    def parameters(self) -> Iterator[Parameter]:
        """Yield every parameter once."""
        seen: set[int] = set()
        for _, parameter in self.named_parameters():
            if id(parameter) not in seen:
                seen.add(id(parameter))
                yield parameter


def _arena_of(args: tuple[Any, ...]) -> Any:
    for arg in args:
        if isinstance(arg, Tensor):
            return arg.storage.tape.arena
    raise AssertionError("a labelled module takes a tensor")


class Stem(Module):
    """A layer that maps `inputs` features to `outputs`: what adapters and quantizers replace."""

    weight: Parameter

    def __init__(self, inputs: int, outputs: int) -> None:
        self.inputs, self.outputs = inputs, outputs


class Linear(Stem):
    """`nn.Linear`; the weight has shape (out, in)."""

    def __init__(self, inputs: int, outputs: int, *, bias: bool = True) -> None:
        super().__init__(inputs, outputs)
        self.weight = Parameter(outputs, inputs)
        if bias:
            self.bias = Parameter(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(…, in) to (…, out)."""
        bias = vars(self).get("bias")
        return linear(x, parameter_tensor(self.weight), None if bias is None else parameter_tensor(bias))


class TransposedLinear(Stem):
    """transformers' `Conv1D`: a linear layer whose weight has shape (in, out)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs)
        self.weight = Parameter(inputs, outputs)
        self.bias = Parameter(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(…, in) to (…, out)."""
        return linear_transposed(x, parameter_tensor(self.weight), parameter_tensor(self.bias))


class Embedding(Module):
    """`nn.Embedding`."""

    label = "embedding"

    def __init__(self, rows: int, width: int) -> None:
        self.weight = Parameter(rows, width, is_embedding=True)
        self.output_requires_grad = False

    def forward(self, indices: Tensor) -> Tensor:
        """(…) to (…, width)."""
        out = embedding(indices, parameter_tensor(self.weight))
        if self.output_requires_grad and out.node is None and out.tape.grad_enabled:
            # a leaf of its own: whoever holds the graph holds it and its gradient
            out.node = Node(_unreachable, saved=(out.detached(),))
        return out


class LayerNorm(Module):
    """`nn.LayerNorm`."""

    label = "norm"

    def __init__(self, width: int, *, bias: bool = True) -> None:
        self.weight = Parameter(width)
        if bias:
            self.bias = Parameter(width)

    def forward(self, x: Tensor) -> Tensor:
        """Normalize the last dimension."""
        bias = vars(self).get("bias")
        return normalization.layer_norm(
            x, parameter_tensor(self.weight), None if bias is None else parameter_tensor(bias)
        )


class BareLayerNorm(Module):
    """`nn.LayerNorm` without parameters."""

    label = "norm"

    def forward(self, x: Tensor) -> Tensor:
        """Normalize the last dimension."""
        return normalization.layer_norm(x, None)


class RMSNorm(Module):
    """Llama's RMS norm."""

    label = "norm"

    def __init__(self, width: int) -> None:
        self.weight = Parameter(width)

    def forward(self, x: Tensor) -> Tensor:
        """Normalize the last dimension."""
        return normalization.rms_norm(x, parameter_tensor(self.weight))


class Dropout(Module):
    """`nn.Dropout`."""

    def __init__(self, p: float) -> None:
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """Drop elements; nothing happens for p = 0."""
        return dropout(x, self.p)


def parameter_tensor(parameter: Parameter) -> Tensor:
    """Return the tensor of a placed parameter."""
    assert parameter.tensor is not None, "a model is placed on a tape before it runs"
    return parameter.tensor


# No public decoder mixes its kinds of layers with a longer period (Jamba: 8).
_LONGEST_PATTERN = 12


class Around(Protocol):
    """Something that happens around each layer of a stack."""

    def before_forward(self, x: Tensor) -> None:
        """Run before the layer, which takes x."""

    def after_forward(self) -> None:
        """Run after it."""


@dataclass(slots=True)
class Part:
    """Equal layers of a stack: the one that is walked, the indices it stands for, and what happens around it."""

    layer: Module
    indices: range
    around: Around | None = None


class Checkpointable(Module):
    """Layers that gradient checkpointing runs a second time; of them every `every`-th is."""

    checkpointed = False
    every = 1
    selective = False
    reentrant = False
    offloads = False

    @property
    def how(self) -> Recomputation:
        """Return how a layer is run again."""
        return Recomputation(self.reentrant, self.selective, self.offloads)


def checkpointable(module: Module) -> Iterator[Checkpointable]:
    """Yield what gradient checkpointing runs again."""
    for _, child in module.children():
        if isinstance(child, Checkpointable):
            yield child
        if not isinstance(child, Stack):
            yield from checkpointable(child)


@contextmanager
def without_checkpoints(module: Module) -> Iterator[None]:
    """Run a model without its gradient checkpointing for a while."""
    switched = [one for one in checkpointable(module) if one.checkpointed]
    for one in switched:
        one.checkpointed = False
    yield
    for one in switched:
        one.checkpointed = True


class Stack(Checkpointable):
    """`nn.ModuleList` of layers that are run one after the other.

    Equal layers are walked once and multiplied; the first is walked on its own, since what enters it
    may differ (another type, no gradient). `kinds` names the kind of each layer where they are not all
    equal; then a pattern of layers that repeats is walked once and multiplied.
    """

    def __init__(self, count: int, make: Callable[[int], Module], kinds: Sequence[object] = ()) -> None:
        self.make = make
        self.kinds = tuple(kinds or (None,) * count)
        self._group(self.kinds)

    def regroup(self, differs: Callable[[int], object]) -> None:
        """Group the layers anew, so that only those are walked as one for which `differs` says the same."""
        self._group(tuple((kind, differs(index)) for index, kind in enumerate(self.kinds)))

    def _group(self, kinds: Sequence[object]) -> None:
        self.groups = [
            [Part(self.make(start), range(start, stop, period)) for start in range(first, first + period)]
            for first, stop, period in _patterns(kinds)
        ]
        self.parts = [part for group in self.groups for part in group]
        for part in self.parts:
            for _, tensor in part.layer.named_tensors():
                tensor.copies *= len(part.indices)

    def forward(self, x: Tensor, *args: Any) -> Tensor:
        """Run all layers on `x`."""
        for group in self.groups:
            entered = x.storage.key
            with x.tape.repeat(len(group[0].indices)):
                for part in group:
                    x = self._run(part, x, *args)
                carry_out(x, entered)
        return x

    def _run(self, part: Part, x: Tensor, *args: Any) -> Tensor:
        if part.around is not None:
            part.around.before_forward(x)
        if self.checkpointed and (part.indices.start + 1) % self.every == 0:
            x = checkpoint(part.layer, x, *args, how=self.how)
        else:
            x = part.layer(x, *args)
        if part.around is not None:
            part.around.after_forward()
        return x

    def named_tensors(self, prefix: str = "") -> Iterator[tuple[str, Parameter | Buffer]]:
        """Yield the tensors of the walked layers, under the index of the first layer each stands for."""
        for part in self.parts:
            yield from part.layer.named_tensors(f"{prefix}{part.indices.start}.")


def _patterns(kinds: Sequence[object]) -> Iterator[tuple[int, int, int]]:
    """Split layers into (start, stop, period): from start to stop the kinds repeat with that period."""
    start, count = 0, len(kinds)
    while start < count:
        period, repeats = (1, 1) if start == 0 else _pattern(kinds[start:])
        yield start, start + period * repeats, period
        start += period * repeats


def _pattern(kinds: Sequence[object]) -> tuple[int, int]:
    """Return the period, and how often it repeats, that cover most of the beginning; the shortest of equals."""
    best = (1, _repeats(kinds, 1))
    for period in range(2, min(_LONGEST_PATTERN, len(kinds) // 2) + 1):
        repeats = _repeats(kinds, period)
        if repeats > 1 and period * repeats > best[0] * best[1]:
            best = period, repeats
    return best


def _repeats(kinds: Sequence[object], period: int) -> int:
    pattern, repeats = kinds[:period], 1
    while kinds[repeats * period : (repeats + 1) * period] == pattern:
        repeats += 1
    return repeats


def carry_out(x: Tensor, entered: Key) -> None:
    """Mark the tensor that one copy of a region hands to the next: outside there is only the last one.

    It is booked as what entered the copy was, since that is what the next copy will release.
    """
    storage, arena = x.storage, x.tape.arena
    if storage.regions != arena.regions:
        return
    storage.regions = arena.regions[:-1]
    if arena.regions[-1].copies > 1 and storage.size == rounded(entered.bytes):
        arena.rename(storage.key, entered, storage.size)
        storage.key = entered


_Rerun = tuple[Module, tuple[Any, ...], "DType | None", "Selection | None"]


@dataclass(frozen=True, slots=True)
class Recomputation:
    """How a layer is computed again: inside a call of the engine or not, with outputs kept, its input offloaded."""

    reentrant: bool = False
    selective: bool = False
    offloads: bool = False


def checkpoint(layer: Module, x: Tensor, *args: Any, how: Recomputation) -> Tensor:
    """Run a layer without saving anything but its input, and run it again in backward (torch/utils/checkpoint.py).

    Tensors among `args` take their gradient directly, as they do without reentrant calls of the engine.
    """
    tape = x.tape
    if not tape.grad_enabled:
        return cast("Tensor", layer(x, *args))
    selection = Selection() if how.selective else None
    with tape.no_grad(), tape.selecting(selection):
        out = layer(x.detached(), *args)
    trained = [parameter_tensor(parameter) for parameter in layer.parameters() if parameter.trainable]
    recompute: Backward = _recompute_reentrant if how.reentrant else _recompute
    saved: tuple[Tensor, ...] = (x.detached(),)
    if how.offloads:
        recompute, saved = Offload(SAVE_ON_CPU).wrap(recompute, saved), ()
    out = tape.record(out, (x, *trained[:1]), recompute, saved, (layer, args, tape.autocast, selection))
    if how.reentrant and out.node is not None:  # ctx.run_function is the layer with its keyword arguments
        out.node.lasting = tuple(arg for arg in args if getattr(arg, "by_keyword", False))
    return out


def _recompute(node: Node, grads: Gradients) -> Gradients:
    x = node.saved[0].detached()
    entry = x.node = Node(_unreachable, regions=x.tape.arena.regions)
    with x.tape.fresh_graph():
        out = _run_again(node, x)
        last, slot = out.node, out.slot
        del out  # recomputation stops before the layer's output is needed
        assert last is not None
        assert isinstance(grads, list)
        x.tape.backward_from(last, slot, grads.pop())  # the gradient is the first node's alone
    taken = entry.take()
    return (taken[0] if taken else None, *(None for _ in node.inputs[1:]))


def _recompute_reentrant(node: Node, grads: Gradients) -> Gradients:
    x = node.saved[0].detached()
    entry = x.node = Entry()
    outer, x.tape.other_outputs = x.tape.other_outputs, []
    with x.tape.fresh_graph():
        out = _run_again(node, x)
        assert out.node is not None
        assert grads[0] is not None
        x.tape.backward_from(out.node, out.slot, grads[0])
    x.tape.other_outputs = outer
    return (entry.grad, *(None for _ in node.inputs[1:]))


def _run_again(node: Node, x: Tensor) -> Tensor:
    layer, args, autocast, selection = cast("_Rerun", node.extra)
    arena = x.tape.arena
    before, arena.kind = arena.kind, "recomputed activation"
    with x.tape.autocast_to(autocast), x.tape.selecting(selection and selection.replay()):
        out = layer(x, *args)
    arena.kind = before
    return cast("Tensor", out)


def _unreachable(node: Node, grads: Gradients) -> Gradients:
    raise AssertionError((node, grads))
