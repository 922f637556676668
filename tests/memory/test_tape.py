"""The tape: when gradients are summed in place, what lives how long, and when casts are made and dropped."""

from __future__ import annotations

import pytest
from tests.memory.tapes import Bench, nothing_before

from vramlint.memory.arena import rounded
from vramlint.memory.dtypes import BFLOAT16, FLOAT32, INT64
from vramlint.memory.engine import estimate
from vramlint.memory.modules import Linear, Module, Parameter, Recomputation, checkpoint
from vramlint.memory.operators.activations import activation
from vramlint.memory.operators.elementwise import total
from vramlint.memory.operators.matmul import embedding, linear
from vramlint.memory.tape import Node, Tape, Tensor
from vramlint.plan.document import Plan

KIB = 1024


def node() -> Node:
    """Return a node that waits for gradients."""
    return Node(nothing_before)


def buffer(target: Node) -> Tensor:
    """Return the sum that a node has received."""
    assert target.grads is not None
    assert target.grads[0] is not None
    return target.grads[0]


def test_a_second_gradient_is_added_in_place() -> None:
    """input_buffer.cpp, accumulate: with nobody else holding the first one, it becomes the sum."""
    tape, target = Tape(), node()
    first = tape.empty((256,), FLOAT32)
    target.receive(0, first)
    target.receive(0, tape.empty((256,), FLOAT32))
    assert first.storage is buffer(target).storage
    del first
    assert KIB == tape.arena.total


def test_a_shared_gradient_is_not_written_to() -> None:
    """Addition hands one tensor to both inputs; where it meets another gradient a third tensor is made."""
    tape, target, other = Tape(), node(), node()
    shared = tape.empty((256,), FLOAT32)
    target.receive(0, shared)
    other.receive(0, shared)
    target.receive(0, tape.empty((256,), FLOAT32))
    assert shared.storage is not buffer(target).storage
    assert shared.storage is buffer(other).storage
    del shared
    assert 2 * KIB == tape.arena.total


def test_x_plus_x_makes_a_sum() -> None:
    """Both contributions are one tensor, and it cannot be added to itself in place."""
    bench = Bench(FLOAT32)
    assert KIB == bench.backward(bench.wanting("x", 256) + bench.given["x"])


def test_a_sum_takes_the_wider_type() -> None:
    """Where a half and an fp32 gradient meet and neither may be written to, the sum is fp32."""
    tape, target, other = Tape(), node(), node()
    half = tape.empty((256,), BFLOAT16)
    target.receive(0, half)
    other.receive(0, half)
    target.receive(0, tape.empty((256,), FLOAT32))
    assert FLOAT32 is buffer(target).dtype


def test_saved_tensors_go_as_backward_comes_by() -> None:
    """A chain of n activations holds n tensors; each is dropped once its node has run."""
    tape, count = Tape(), 16
    arena = tape.arena
    arena.enter("forward", 1)
    x = tape.empty((256,), FLOAT32)
    x.node = node()
    for _ in range(count):
        x = activation("silu")(x)
    loss = total(x)
    del x
    assert count * KIB == arena.total - rounded(4)  # silu saves its input, and sum nothing
    arena.enter("backward", 1)
    tape.backward(loss, tape.empty((), FLOAT32))
    arena.leave()
    # a gradient takes the place of each tensor that goes; one more is being made of it
    assert (count + 2) * KIB == arena.phases["backward"].peak.bytes - 2 * rounded(4)
    del loss
    assert 0 == arena.total


def test_a_graph_that_is_dropped_frees_what_it_saved() -> None:
    """Reference counting, as in torch: without a variable for the loss nothing keeps the tensors of a graph."""
    tape = Tape()
    with tape.fresh_graph():
        x = tape.empty((256,), FLOAT32)
        x.node = node()
        loss = total(activation("silu")(x))
        del x
        assert 0 < tape.arena.total
    del loss
    assert 0 == tape.arena.total


def test_a_parameter_used_twice_sums_before_it_has_a_gradient() -> None:
    """AccumulateGrad runs when every use has sent its part; until then the sum waits in its buffer.

    An embedding tied to the output layer: the first gradient waits while the second is made, then takes it
    in, and one tensor of V·D is left.
    """
    bench = Bench(FLOAT32)
    table = bench.weight("table", 1000, 64)
    indices = bench.tensor("indices", 4, dtype=INT64)
    loss = total(linear(embedding(indices, table), table))
    tape = bench.tape
    tape.arena.enter("backward", 1)
    before = tape.arena.total
    tape.backward(loss, tape.empty((), FLOAT32))
    tape.arena.leave()
    size = 1000 * 64 * 4
    peak = tape.arena.phases["backward"].peak.bytes - before
    assert 2 * size <= peak < 2.1 * size
    grad = bench.gradient("table")
    assert grad is not None
    assert "gradient" == grad.storage.key.kind
    assert size == grad.storage.size


def test_tied_embeddings_in_a_whole_step() -> None:
    """A run of transformers 5.23's Llama (two layers, V 64,000, tied, fp32, 16 tokens) had this backward peak.

    All gradients and one more of the embedding: 435,214,848 B, counted on fake CUDA tensors. The loss of the
    step before may count one block more.
    """
    config = {
        "model_type": "llama", "hidden_size": 512, "intermediate_size": 1024, "num_hidden_layers": 2,
        "num_attention_heads": 8, "num_key_value_heads": 8, "vocab_size": 64000, "tie_word_embeddings": True,
    }  # fmt: skip
    plan = {
        "model": {"config": config}, "task": "causal-lm", "param_dtype": "float32", "micro_batch_size": 1,
        "sequence_length": 16, "optimizer": {"name": "torch.optim.SGD"},
    }  # fmt: skip
    answer = estimate(Plan.model_validate(plan))
    assert 435_214_848 <= answer.allocated.expected <= 435_214_848 + 512
    assert 157_445_632 <= answer.phases["forward"].end <= 157_445_632 + 512


def test_gradients_of_a_second_micro_batch_are_added_in_place() -> None:
    """accumulate_grad.h: `.grad` takes the new gradient in, so accumulation keeps no second copy."""
    bench = Bench(FLOAT32)
    weight, left = bench.weight("weight", 256, 256), []
    for _ in range(3):
        loss = total(linear(bench.tape.empty((4, 256), FLOAT32), weight))
        bench.tape.backward(loss, bench.tape.empty((), FLOAT32))
        del loss
        left.append(bench.tape.arena.total)
    assert [2 * 256 * KIB] * 3 == left


def _two_products(bench: Bench) -> list[Tensor]:
    x, weight = bench.given["x"], bench.given["weight"]
    return [linear(x, weight), linear(x, weight)]


@pytest.mark.parametrize(
    ("trainable", "caches", "copies"),
    [(True, True, 1), (True, False, 2), (False, True, 2)],
    ids=["trained", "trained, no cache", "frozen"],
)
def test_casts_of_a_weight_under_autocast(trainable: bool, caches: bool, copies: int) -> None:  # noqa: FBT001
    """autocast_mode.cpp, cached_cast: the copy of an fp32 leaf that trains is made once, any other each time."""
    bench = Bench(FLOAT32, BFLOAT16)
    bench.tape.autocast_cache = caches
    bench.wanting("x", 4, 256)
    bench.weight("weight", 256, 256, trainable=trainable)
    with bench.tape.autocast_to(BFLOAT16):
        outs = _two_products(bench)
    saved = [tensor for out in outs if out.node for tensor in out.node.saved]
    assert copies == len({id(tensor.storage) for tensor in saved if tensor.shape == (256, 256)})


def test_the_cast_cache_ends_with_the_block() -> None:
    """Without a graph only the cache holds the copy, to the end of the outermost block."""
    bench = Bench(FLOAT32)
    x, weight = bench.tensor("x", 4, 256), bench.weight("weight", 256, 256)
    arena, size = bench.tape.arena, 2 * 256 * 256
    before = arena.total
    with bench.tape.autocast_to(BFLOAT16):
        with bench.tape.no_grad():
            linear(x, weight)  # also a pass without gradient fills the cache
            assert size == arena.total - before
            with bench.tape.autocast_to(BFLOAT16):
                linear(x, weight)
        assert size == arena.total - before
    assert before == arena.total


def test_a_frozen_weight_is_cast_for_a_moment() -> None:
    """Without gradient the half copy of a frozen weight goes as soon as the product is done."""
    bench = Bench(FLOAT32)
    x, weight = bench.tensor("x", 4, 256), bench.weight("weight", 256, 256, trainable=False)
    before = bench.tape.arena.total
    with bench.tape.autocast_to(BFLOAT16):
        linear(x, weight)
        assert before == bench.tape.arena.total


class Layer(Module):
    """Two wide linear layers with an activation between."""

    label = "layer"

    def __init__(self) -> None:
        self.wide, self.narrow = Linear(64, 1024, bias=False), Linear(1024, 64, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(…, 64) to (…, 64)."""
        return self.narrow(activation("silu")(self.wide(x)))  # type: ignore[no-any-return]


def _run(layers: int, *, checkpointed: bool, autocast: bool = False, rows: int = 8) -> Tape:
    tape = Tape()
    stack = [Layer() for _ in range(layers)]
    for layer in stack:
        _place(layer, tape)
    tape.arena.enter("forward", 1)
    x = tape.empty((rows, 64), FLOAT32)
    x.node = node()
    with tape.autocast_to(BFLOAT16 if autocast else None):
        for layer in stack:
            x = checkpoint(layer, x, how=Recomputation()) if checkpointed else layer(x)
        loss = total(x)
        del x
    tape.arena.enter("backward", 1)
    tape.backward(loss, tape.empty((), loss.dtype))
    del loss
    tape.arena.leave()
    return tape


def _place(module: Module, tape: Tape) -> None:
    for parameter in module.parameters():
        parameter.place(tape)


WEIGHTS, WIDE, INPUT = 2 * 64 * 1024 * 4, 8 * 1024 * 4, 8 * 64 * 4


def test_checkpointing_saves_inputs_and_recomputes_one_layer() -> None:
    """torch/utils/checkpoint.py: a layer leaves its input; in backward one layer's tensors exist at a time."""
    layers = 6
    plain, lean = _run(layers, checkpointed=False), _run(layers, checkpointed=True)
    ends = [tape.arena.phases["forward"].end - layers * WEIGHTS for tape in (plain, lean)]
    assert [layers * (2 * WIDE + INPUT), layers * INPUT] == [end // 512 * 512 - 512 for end in ends]
    begin = lean.arena.phases["forward"].end
    gradients = layers * WEIGHTS
    # the last of the backwards: all gradients, one input, and a layer's three wide tensors at most
    assert lean.arena.phases["backward"].peak.bytes - begin - gradients <= 3 * WIDE + 3 * INPUT
    assert [2 * layers * WEIGHTS] * 2 == [tape.arena.phases["backward"].end for tape in (plain, lean)]


def test_recomputed_tensors_are_named() -> None:
    """What exists only because a layer runs again is booked as that."""
    alive = _run(2, checkpointed=True, rows=4096).arena.alive_at_peaks()
    assert "recomputed activation" in {key.kind for key in alive["backward"]}
    assert "recomputed activation" not in {key.kind for key in alive["forward"]}


def test_checkpointing_leaves_the_cast_cache_full() -> None:
    """Checkpointed layers save no casts, but the cache keeps all of them to the end of the forward pass."""
    layers = 6
    lean = _run(layers, checkpointed=True, autocast=True)
    copies = layers * WEIGHTS // 2
    forward = lean.arena.phases["forward"]
    assert copies <= forward.peak.bytes - layers * WEIGHTS - layers * INPUT < copies + 3 * WIDE
    assert forward.end - layers * WEIGHTS < layers * INPUT + 2 * INPUT


def test_only_what_is_recorded_is_kept() -> None:
    """Under no_grad a layer leaves its result alone."""
    tape, layer = Tape(), Layer()
    _place(layer, tape)
    with tape.no_grad():
        out = layer(tape.empty((8, 64), FLOAT32))
    assert not out.requires_grad
    assert WEIGHTS + INPUT == tape.arena.total


def test_a_parameter_reports_its_gradient() -> None:
    """`grad` is None before backward, whole behind it, and None again when it is forgotten."""
    tape, parameter = Tape(), Parameter(256, 256)
    parameter.place(tape)
    assert parameter.tensor is not None
    left = [parameter.has_grad]
    loss = total(linear(tape.empty((4, 256), FLOAT32), parameter.tensor))
    tape.backward(loss, tape.empty((), FLOAT32))
    left.append(parameter.has_grad)
    parameter.forget_grad()
    left.append(parameter.has_grad)
    assert [False, True, False] == left
    del loss
    assert 256 * KIB == tape.arena.total
