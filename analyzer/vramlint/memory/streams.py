"""Layers with two inputs and outputs, an image's tokens and a text's, run one after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from vramlint.memory.convolutional import ModuleList
from vramlint.memory.modules import Checkpointable, Module, parameter_tensor
from vramlint.memory.tape import Node

if TYPE_CHECKING:
    from vramlint.memory.dtypes import DType
    from vramlint.memory.tape import Gradients, Tensor

    Pair = tuple[Tensor, Tensor]


class Streams(ModuleList, Checkpointable):
    """`nn.ModuleList` of layers that take and return two tensors."""

    def run(self, layer: Module, x: Tensor, text: Tensor, around: object) -> Pair:
        """Run one of the layers."""
        if self.checkpointed:
            return checkpoint_pair(layer, x, text, around)
        return cast("Pair", layer(x, text, around))


def checkpoint_pair(layer: Module, x: Tensor, text: Tensor, around: object) -> Pair:
    """Run a layer without saving anything but its inputs, and run it again in backward."""
    tape = x.tape
    if not tape.grad_enabled:
        return cast("Pair", layer(x, text, around))
    given = (x.detached(), text.detached())
    with tape.no_grad():
        outputs = layer(*given, around)
    trained = [parameter_tensor(parameter) for parameter in layer.parameters() if parameter.trainable]
    extra = (layer, given, around, tape.autocast)
    tape.record_many(outputs, (x, text, *trained[:1]), _recompute, extra)
    return cast("Pair", outputs)


def _recompute(node: Node, grads: Gradients) -> Gradients:
    layer, given, around, autocast = cast("tuple[Module, Pair, object, DType | None]", node.extra)
    x, text = (tensor.detached() for tensor in given)
    tape = x.tape
    entries = [Node(_unreachable, regions=tape.arena.regions) for _ in given]
    for index, tensor in enumerate((x, text)):
        tensor.node = entries[index] if node.needs(index) else None
    with tape.fresh_graph():
        before, tape.arena.kind = tape.arena.kind, "recomputed activation"
        with tape.autocast_to(autocast):
            outputs = layer(x, text, around)
        tape.arena.kind = before
        ends = [(out.node, out.slot) for out in outputs]
        del outputs, x, text, tensor
        _run_back(tape, ends, cast("list[Tensor | None]", grads))
    taken = [entry.take() for entry in entries]
    return (*(grads[0] if grads else None for grads in taken), *(None for _ in node.inputs[2:]))


def _run_back(tape: Any, ends: list[tuple[Node | None, int]], grads: list[Tensor | None]) -> None:
    """Hand the gradients to the layer's outputs, and run backward through it."""
    last: tuple[Node, int, Tensor] | None = None
    for (node, slot), grad in zip(ends, grads, strict=True):
        if node is None or grad is None:
            continue
        if last is not None:
            last[0].receive(last[1], last[2])
        last = node, slot, grad
    assert last is not None
    grads.clear()
    del node, grad
    tape.backward_from(*last)


def _unreachable(node: Node, grads: Gradients) -> Gradients:
    raise AssertionError((node, grads))
