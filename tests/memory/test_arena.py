"""The arena: a repeat region counts what walking its copies one by one counts."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vramlint.memory.arena import Arena, Key, rounded
from vramlint.memory.dtypes import BFLOAT16, FLOAT32, UINT8
from vramlint.memory.families.base import Regime
from vramlint.memory.families.layers import KeyValueCache, attend, split_heads
from vramlint.memory.modules import Linear, Module, Recomputation, RMSNorm, Stack, carry_out, checkpoint
from vramlint.memory.operators.activations import activation
from vramlint.memory.operators.elementwise import dropout, reshape, total
from vramlint.memory.tape import Tape, Tensor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from vramlint.memory.ledger import Phase

WIDTH, HEADS = 64, 4

# What a walk saw: peak and end of each phase, and what was alive at each peak.
Seen: TypeAlias = "tuple[dict[Phase, tuple[int, int]], dict[Phase, Counter[Key]]]"

FAST = settings(derandomize=True, deadline=None, max_examples=150)


def seen(arena: Arena) -> Seen:
    """Return what a walk saw, whatever the labels: copies hand on what they were given under its old label."""
    phases = {name: (record.peak.bytes, record.end) for name, record in arena.phases.items()}
    alive: dict[Phase, Counter[Key]] = {}
    for name, counts in arena.alive_at_peaks().items():
        assert all(count > 0 for count in counts.values())
        alive[name] = Counter()
        for key, count in counts.items():
            alive[name][key._replace(label="")] += count
    return phases, alive


@pytest.mark.parametrize(("size", "block"), [(0, 0), (1, 512), (512, 512), (513, 1024), (4096, 4096)])
def test_blocks(size: int, block: int) -> None:
    """The caching allocator hands out multiples of 512 bytes (kMinBlockSize)."""
    assert block == rounded(size)


def test_a_phase_keeps_its_largest_peak_and_its_last_end() -> None:
    """Over the steps the peak is the largest one with the step it came in, the end is that of the last."""
    arena, key = Arena(), Key("", "activation", (512,), 8)
    for step, count in ((1, 1), (2, 3), (3, 2)):
        arena.enter("forward", step)
        arena.allocate(key, 512, count)
        arena.release(key, 512, count - 1)
    arena.leave()
    record = arena.phases["forward"]
    assert (4 * 512, 2) == (record.peak.bytes, record.peak.step)
    assert 3 * 512 == record.end


def test_what_is_renamed_stays_alive_under_its_new_name() -> None:
    """A gradient is the tensor that backward made: booking it anew neither allocates nor frees."""
    arena, old, new = Arena(), Key("", "temporary", (512,), 8), Key("", "gradient", (512,), 8)
    arena.enter("backward", 1)
    arena.allocate(old, 512)
    arena.rename(old, new, 512)
    arena.allocate(old, 512)
    arena.leave()
    assert {new: 1, old: 1} == arena.alive_at_peaks()["backward"]


def test_the_timeline_begins_and_ends_each_phase() -> None:
    """Moments come in order, and what one phase leaves is where the next begins."""
    arena = Arena()
    arena.enter("forward", 1)
    arena.allocate(Key("", "activation", (512,), 8), 512)
    arena.enter("backward", 1)
    arena.leave()
    labels = [(moment.phase, moment.label.partition(": ")[2]) for moment in arena.moments]
    assert [
        ("forward", "begin"),
        ("forward", "largest"),
        ("forward", "end"),
        ("backward", "begin"),
    ] == labels[2:6]
    assert list(range(len(arena.moments))) == [moment.t for moment in arena.moments]
    assert [512, 512] == [moment.bytes for moment in arena.moments[4:6]]


# A layer as a list of instructions: local tensors that end with the layer, tensors that are kept beyond it,
# the tensor it hands to the next layer, and stacks inside of it.
Instruction: TypeAlias = "tuple[str, int] | tuple[str, int, Program]"
Program: TypeAlias = "list[Instruction]"

leaves = st.tuples(st.sampled_from(["local", "drop", "keep", "carry"]), st.integers(1, 9))
programs: st.SearchStrategy[Program] = st.recursive(
    st.lists(leaves, min_size=1, max_size=6),
    lambda inner: st.lists(
        st.one_of(leaves, st.tuples(st.just("repeat"), st.integers(1, 4), inner)), min_size=1, max_size=5
    ),
    max_leaves=12,
)


class Interpreter:
    """Runs a program on a tape, its stacks one by one or as regions."""

    def __init__(self, copies: Callable[[Tape, int], Iterator[None]]) -> None:
        self.tape = Tape()
        self.copies = copies
        self.kept: list[Tensor] = []

    def tensor(self, blocks: int) -> Tensor:
        """Return a tensor of so many blocks."""
        return self.tape.empty((512 * blocks,), UINT8)

    def layer(self, program: Program, carried: Tensor) -> Tensor:
        """Run the instructions; return what goes on to the next layer."""
        local: list[Tensor] = []
        for instruction in program:
            match instruction:
                case ("local", blocks):
                    local.append(self.tensor(blocks))
                case ("drop", _):
                    del local[:1]
                case ("keep", blocks):
                    self.kept.append(self.tensor(blocks))
                case ("carry", _):
                    carried = self.tensor(2)
                case ("repeat", count, inner):
                    assert isinstance(inner, list)
                    carried = self.stack(count, inner, carried)
        return carried

    def stack(self, count: int, program: Program, carried: Tensor) -> Tensor:
        """Run equal layers."""
        for _ in self.copies(self.tape, count):
            entered = carried.storage.key
            carried = self.layer(program, carried)
            if self.tape.arena.regions:
                carry_out(carried, entered)
        return carried

    def run(self, count: int, program: Program) -> Seen:
        """Run a stack, then release what it kept."""
        arena = self.tape.arena
        arena.enter("forward", 1)
        carried = self.stack(count, program, self.tensor(2))
        arena.enter("backward", 1)
        del carried
        spare = self.tensor(50)
        while self.kept:
            self.kept.pop()
        del spare
        arena.leave()
        assert 0 == arena.total
        return seen(arena)


def one_by_one(_tape: Tape, count: int) -> Iterator[None]:
    """Walk every copy."""
    yield from [None] * count


def as_region(tape: Tape, count: int) -> Iterator[None]:
    """Walk the first copy by itself, since what enters it may be held elsewhere, and one for all the others."""
    yield
    if count > 1:
        with tape.repeat(count - 1):
            yield


@FAST
@given(st.integers(1, 5), programs)
def test_a_region_counts_what_its_copies_count(count: int, program: Program) -> None:
    """Peak, end and what is alive at the peak agree for any layer, nested stacks and kept tensors among them.

    Afterwards everything is released, and what was kept inside of a region is released as often as it
    stands for copies: the total is zero again.
    """
    phases, _ = Interpreter(one_by_one).run(count, program)
    repeated, alive = Interpreter(as_region).run(count, program)
    assert phases == repeated
    for name, (peak, _) in repeated.items():
        assert peak == sum(key.bytes * times for key, times in alive[name].items())


class Block(Module):
    """A transformer layer with everything that makes lifetimes interesting."""

    label = "block"

    def __init__(self) -> None:
        self.norm = RMSNorm(WIDTH)
        self.query, self.key, self.value = (Linear(WIDTH, WIDTH) for _ in range(3))
        self.wide, self.narrow = Linear(WIDTH, 4 * WIDTH), Linear(4 * WIDTH, WIDTH)

    def forward(self, x: Tensor, cache: KeyValueCache | None) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        residual, x = x, self.norm(x)
        query, key, value = (
            split_heads(linear(x), HEADS, WIDTH // HEADS) for linear in (self.query, self.key, self.value)
        )
        if cache is not None:
            key, value = cache.update(key, value)
        attended = attend(query, key, value, None, Regime())
        x = residual + dropout(reshape(attended, *residual.shape), 0.1)
        return x + self.narrow(activation("gelu_new")(self.wide(x)))  # type: ignore[no-any-return]


class Nested(Module):
    """A layer that holds a stack of its own."""

    label = "nested"

    def __init__(self, stack: Callable[[int], Module]) -> None:
        self.blocks = stack(3)
        self.out = Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor, cache: KeyValueCache | None) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        return x + self.out(self.blocks(x, cache))  # type: ignore[no-any-return]


class Listed(Module):
    """Layers that are walked one after the other, each with weights of its own."""

    def __init__(self, count: int, make: Callable[[int], Module]) -> None:
        for index in range(count):
            setattr(self, f"layer{index}", make(index))
        self.checkpointed = False

    def forward(self, x: Tensor, *args: object) -> Tensor:
        """Run all layers on `x`."""
        for _, layer in self.children():
            x = checkpoint(layer, x, *args, how=Recomputation()) if self.checkpointed else layer(x, *args)
        return x


def blocks(stack: Callable[..., Module]) -> Module:
    """Return seven equal layers."""
    return stack(7, lambda _: Block())


def nested(stack: Callable[..., Module]) -> Module:
    """Return four layers that hold three each."""
    return stack(4, lambda _: Nested(lambda count: stack(count, lambda _: Block())))


def alternating(stack: Callable[..., Module]) -> Module:
    """Return layers of two kinds, one after the other, with one at the end that breaks the pattern."""
    kinds = ["wide", "plain", "wide", "plain", "wide", "plain", "wide", "plain", "plain"]

    def make(index: int) -> Module:
        return Nested(lambda _: Block()) if kinds[index] == "wide" else Block()

    return stack(len(kinds), make, kinds) if stack is Stack else stack(len(kinds), make)


MODELS = {"blocks": blocks, "nested": nested, "alternating": alternating}
REGIMES = {"fp32": (FLOAT32, None), "half": (BFLOAT16, None), "autocast": (FLOAT32, BFLOAT16)}


def two_steps(model: Module, regime: str, *, cached: bool) -> Seen:
    """Run two forward and backward passes; a script's variables hold the loss and the cache meanwhile."""
    dtype, autocast = REGIMES[regime]
    tape = Tape()
    tape.arena.kind, tape.arena.label = "weight", "weights"
    for parameter in model.parameters():
        parameter.dtype = dtype
        parameter.place(tape)
    held: tuple[Tensor, KeyValueCache | None] | None = None
    for step in (1, 2):
        tape.arena.enter("forward", step)
        tape.arena.kind, tape.arena.label = "activation", "input"
        cache = KeyValueCache() if cached else None
        with tape.autocast_to(autocast):
            loss = total(model(tape.empty((2, 32, WIDTH), dtype), cache))
        held = (loss, cache)
        tape.arena.enter("backward", step)
        tape.arena.kind = "temporary"
        tape.backward(loss, tape.empty((), loss.dtype))
        del loss, cache
    del held
    tape.arena.enter("optimizer_step", 2)
    tape.arena.leave()
    return seen(tape.arena)


@pytest.mark.parametrize("cached", [False, True], ids=["", "cache"])
@pytest.mark.parametrize("checkpointed", [False, True], ids=["", "checkpointed"])
@pytest.mark.parametrize("regime", sorted(REGIMES))
@pytest.mark.parametrize("name", sorted(MODELS))
def test_a_stack_counts_what_its_layers_count(
    name: str,
    regime: str,
    checkpointed: bool,  # noqa: FBT001  a table's column
    cached: bool,  # noqa: FBT001
) -> None:
    """Forward and backward of a stack equal those of its layers one by one, to the byte and tensor by tensor."""
    figures = []
    for kind in (Listed, Stack):
        model = MODELS[name](kind)
        model.checkpointed = checkpointed  # type: ignore[attr-defined]
        figures.append(two_steps(model, regime, cached=cached))
    assert figures[0] == figures[1]


def test_a_stack_has_the_names_and_counts_of_its_layers() -> None:
    """A stack of seven walks two layers; the second stands for six, and parameters say so."""
    stack = Stack(7, lambda _: Block())
    assert [range(1), range(1, 7)] == [part.indices for part in stack.parts]
    assert [1, 6] == sorted({parameter.copies for parameter in stack.parameters()})
    assert {"0", "1"} == {name.partition(".")[0] for name, _ in stack.named_parameters()}
    listed = Listed(7, lambda _: Block())
    assert sum(p.numel for p in listed.parameters()) == sum(p.numel * p.copies for p in stack.parameters())


def test_a_pattern_of_layers_is_walked_once() -> None:
    """Five sliding layers and a full one, again and again: the first alone, then one round, then the rest."""
    kinds = (["sliding"] * 5 + ["full"]) * 4 + ["sliding"] * 2
    stack = Stack(len(kinds), lambda _: Block(), kinds)
    walked = sorted(index for part in stack.parts for index in part.indices)
    assert list(range(26)) == walked
    assert len(stack.parts) <= 1 + 6 + 6 + 2
    for part in stack.parts:
        assert 1 == len({kinds[index] for index in part.indices})
