"""Data-parallel sharding of weights, gradients and states: FSDP and ZeRO.

A sharded weight has a part of 1/W on each GPU. Where weights are sharded (FSDP, ZeRO-3) a layer's whole
weights exist only around its forward and backward; the next layer's are gathered meanwhile. Weights
outside of the layer stack form the root unit, which stays whole from forward to the end of backward.

Sources: torch/distributed/fsdp (limit_all_gathers, _limiter_utils.py), _composable/fsdp, DeepSpeed
runtime/zero/stage_1_and_2.py and stage3.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vramlint.memory.arena import Key
from vramlint.memory.modules import Buffer, Module, Parameter, Stack
from vramlint.memory.tape import Storage, Tape, Tensor

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vramlint.memory.dtypes import DType


@dataclass(frozen=True, slots=True)
class Scheme:
    """How weights, gradients and states are split over `shards` GPUs; states always are.

    `stored` is the type in which trained weights, gradients and states are kept, None for the weight's
    own; `reduced` the type in which gradients travel. With `has_master_weights` the optimizer works on
    an fp32 copy of the weights and of the gradients. `offloads_*` keep them in host memory. `bucket` is
    the size in elements of the buffer that gradients travel through. `waits`: between two steps gradients are
    summed whole on each GPU (no_sync). `flat`: a unit's weights are one flat parameter, so that one that trains
    gives the frozen ones beside it a gradient too (FSDP with use_orig_params, _flat_param.py). `holds_inputs`: the
    hook that releases a frozen layer after its backward refers to the input that reentrant checkpointing gave it,
    and so to that and its gradient until the whole backward is over (_runtime_utils.py,
    _register_post_backward_reshard_only_hook).
    """

    shards: int
    splits_weights: bool
    splits_gradients: bool
    keeps_gathered: bool = False
    stored: DType | None = None
    reduced: DType | None = None
    has_master_weights: bool = False
    offloads_weights: bool = False
    offloads_states: bool = False
    bucket: int = 0
    waits: bool = False
    flat: bool = False
    holds_inputs: bool = False

    def stored_dtype(self, parameter: Parameter) -> DType:
        """Return the type in which a parameter's part is kept."""
        if self.stored is None or not parameter.trainable:
            return parameter.dtype
        return self.stored


WHOLE = Scheme(1, splits_weights=False, splits_gradients=False)


class ShardedParameter:
    """The part of one parameter that stays on this GPU, and its whole, which comes and goes."""

    def __init__(self, tape: Tape, parameter: Parameter, scheme: Scheme) -> None:
        self.parameter = parameter
        self.scheme = scheme
        self.wholes: list[Storage] = []
        self.parts: list[Storage] = []
        if not scheme.splits_weights:
            parameter.place(tape)
            return
        self._split(tape)

    def _split(self, tape: Tape) -> None:
        parameter, scheme = self.parameter, self.scheme
        keys = parameter.keys(tape.arena)
        self.wholes = [Storage(tape, key._replace(kind="gathered weight")) for key in keys]
        parameter.adopt(self.wholes)
        self.release()
        if scheme.offloads_weights:
            return
        bits = scheme.stored_dtype(parameter).bits if parameter.trainable else None
        self.parts = [
            Storage(tape, key._replace(bits=bits or key.bits, shards=scheme.shards), parameter.copies)
            for key in keys
        ]

    def gather(self) -> None:
        """Make the parameter whole."""
        for whole in self.wholes:
            whole.fill()

    def release(self) -> None:
        """Keep only this GPU's part."""
        for whole in self.wholes:
            whole.empty()

    def scatter_gradient(self, tape: Tape) -> None:
        """Reduce the gradient over the GPUs and keep this GPU's part of it, beside what is there already."""
        parameter, scheme = self.parameter, self.scheme
        if parameter.grad is None or not scheme.splits_gradients:
            return
        if parameter.sharded_grad is None:
            bits = scheme.stored_dtype(parameter).bits
            key = Key("gradients", "gradient", parameter.shape, bits, scheme.shards)
            parameter.sharded_grad = _OFFLOADED if scheme.offloads_states else Storage(tape, key)
        parameter.forget_whole_grad()
        if parameter.scattered is not None:
            parameter.scattered()


_OFFLOADED = object()


class Unit:
    """Parameters that are gathered and released together: one layer, or the root."""

    def __init__(self, tape: Tape, parameters: Iterable[Parameter], scheme: Scheme) -> None:
        self.tape = tape
        self.scheme = scheme
        self.members = [ShardedParameter(tape, parameter, scheme) for parameter in parameters]
        self.waiting = False
        trains = any(member.parameter.trainable for member in self.members)
        self.padding = [m for m in self.members if scheme.flat and trains and not m.parameter.trainable]
        self.padded: list[Storage] = []

    def gather(self) -> None:
        """Make all parameters whole."""
        for member in self.members:
            member.gather()

    def release(self) -> None:
        """Keep only the parts."""
        for member in self.members:
            member.release()

    def gather_ahead(self) -> list[Storage]:
        """Return the whole weights of the next unit, which is gathered while this one computes."""
        return [
            Storage(self.tape, whole.key._replace(kind="gathered weight"))
            for member in self.members
            for whole in member.wholes
        ]

    def scatter_gradients(self) -> None:
        """Reduce and scatter: the gradients exist once more in the type they travel in."""
        if not self.scheme.splits_gradients:
            return
        if self.padding and not self.padded:
            self.padded = self._zeros(1)
        if self.waiting:
            return
        whole, self.padded = self.padded, self._zeros(self.scheme.shards)
        del whole
        traveling = [
            Storage(self.tape, Key("gradients", "gathered gradient", grad.shape, self._traveling_bits(grad)))
            for member in self.members
            if self.scheme.splits_weights and (grad := member.parameter.grad) is not None
        ]
        for member in self.members:
            member.scatter_gradient(self.tape)
        del traveling

    def _zeros(self, shards: int) -> list[Storage]:
        """Return the gradients of frozen weights in a flat parameter."""
        return [
            Storage(self.tape, key._replace(label="gradients", kind="gradient", shards=shards))
            for member in self.padding
            for key in member.parameter.keys(self.tape.arena)
        ]

    def forget_padding(self) -> None:
        """Drop them with the other gradients."""
        self.padded = []

    def _traveling_bits(self, grad: Tensor) -> int:
        return (self.scheme.reduced or grad.dtype).bits


class LayerSharding:
    """What a stack does around each of its layers where weights are sharded."""

    def __init__(self, unit: Unit) -> None:
        self.unit = unit
        self.ahead: list[Storage] = []
        self.held: list[Storage] = []
        self.input: Key | None = None
        frozen = any(not member.parameter.trainable for member in unit.members)
        self.holds = unit.scheme.holds_inputs and frozen

    def before_forward(self, x: Tensor) -> None:
        """Gather, and note what backward does at the layer's other end."""
        self.input = Key("FSDP", "held input", x.shape, x.dtype.bits)
        self.unit.gather()
        self.ahead = self.unit.gather_ahead()
        self.unit.tape.when_backward_passes(self._after_backward)

    def after_forward(self) -> None:
        """Release, unless weights stay whole until backward."""
        self.ahead = []
        if not self.unit.scheme.keeps_gathered:
            self.unit.release()
        self.unit.tape.when_backward_passes(self._before_backward)

    def _before_backward(self) -> None:
        self.unit.gather()
        self.ahead = self.unit.gather_ahead()

    def _after_backward(self) -> None:
        self.unit.scatter_gradients()
        self.ahead = []
        self.unit.release()
        if self.holds and self.input is not None:
            self.held = [Storage(self.unit.tape, self.input._replace()) for _ in ("input", "its gradient")]

    def let_go(self) -> None:
        """Free what hooks held, after the whole backward."""
        self.held = []


class ShardedModel:
    """A whole model placed under a scheme: its layers' units and the root."""

    def __init__(self, tape: Tape, model: Module, scheme: Scheme) -> None:
        tape.arena.kind, tape.arena.label = "weight", "weights"
        layered: set[int] = set()
        self.units: list[Unit] = []
        self.layers: list[LayerSharding] = []
        for stack in _stacks(model):
            for part in stack.parts:
                parameters = list(part.layer.parameters())
                layered.update(map(id, parameters))
                unit = Unit(tape, parameters, scheme)
                part.around = layer = LayerSharding(unit)
                self.layers.append(layer)
                self.units.append(unit)
        self.root = Unit(tape, [p for p in model.parameters() if id(p) not in layered], scheme)
        for _, tensor in model.named_tensors():
            if isinstance(tensor, Buffer) and tensor.tensor is None:
                tensor.place(tape)
        self.buffers = [
            Storage(tape, Key("bucket", "communication buffer", (scheme.bucket,), 16))
            for _ in range(scheme.bucket > 0)
        ]

        self.units.append(self.root)

    def expect(self, *, last: bool) -> None:
        """Say whether the next backward is the last before the update; gradients may wait for that one."""
        for unit in self.units:
            unit.waiting = unit.scheme.waits and not last

    def forget_gradients(self) -> None:
        """Drop what the gradients of flat parameters hold beyond those of the parameters."""
        for unit in self.units:
            unit.forget_padding()

    def before_forward(self) -> None:
        """Gather the root."""
        self.root.gather()

    def after_backward(self) -> None:
        """Scatter the root's gradients and release it."""
        for layer in self.layers:
            layer.let_go()
        self.root.scatter_gradients()
        self.root.release()


def _stacks(module: Module) -> Iterable[Stack]:
    for _, child in module.children():
        if isinstance(child, Stack):
            yield child
        else:
            yield from _stacks(child)
