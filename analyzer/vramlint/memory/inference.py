"""Generation: the prompt goes through once, then the key-value cache grows token by token."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vramlint.memory.families.base import Model, Regime, Sizes
from vramlint.memory.inputs import make_batch
from vramlint.memory.modules import without_checkpoints
from vramlint.memory.tape import Storage, Tape, Tensor

if TYPE_CHECKING:
    from vramlint.memory.dtypes import DType


@dataclass(frozen=True, slots=True)
class Decoding:
    """A placed model, the prompt's sizes, how many tokens follow, and how the model is run."""

    model: Model
    prompt: Sizes
    new_tokens: int
    attention: str
    autocast: DType | None


def generate(tape: Tape, decoding: Decoding) -> None:
    """Walk prefill and decoding; the tape's arena then knows both phases."""
    regime = Regime(attention=decoding.attention, generates=True)
    tape.arena.enter("prefill", 1)
    tape.arena.kind = "input"
    batch = make_batch(tape, decoding.model.inputs(decoding.prompt))
    tape.arena.kind = "activation"
    with tape.no_grad(), tape.autocast_to(decoding.autocast):
        output = decoding.model(batch, regime)
    cache = output.held
    output.logits = None
    del batch
    tape.arena.enter("decode", 1)
    tape.arena.kind, tape.arena.label = "cache", "key-value cache"
    _grow(cache, decoding.new_tokens)
    tape.arena.leave()


def roll_out(tape: Tape, decoding: Decoding, step: int) -> None:
    """Walk the sampling of completions before a step: as `generate`, in one phase, without checkpointing (TRL)."""
    tape.arena.enter("rollout", step)
    tape.arena.kind = "input"
    batch = make_batch(tape, decoding.model.inputs(decoding.prompt))
    tape.arena.kind = "activation"
    regime = Regime(attention=decoding.attention, generates=True)
    with tape.no_grad(), tape.autocast_to(decoding.autocast), without_checkpoints(decoding.model):
        cache = decoding.model(batch, regime).held
    tape.arena.kind, tape.arena.label = "cache", "key-value cache"
    _grow(cache, decoding.new_tokens)


def _grow(cache: list[Tensor], new_tokens: int) -> None:
    """Replace every cached tensor by its last and longest form.

    DynamicCache concatenates (cache_utils.py, DynamicLayer.update): while one layer's tensor grows, its
    old and its new form exist.
    """
    grown: list[Storage] = []
    while cache:
        old = cache.pop(0)
        *before, length, size = old.shape
        key = old.storage.key._replace(shape=(*before, length + new_tokens, size), kind="cache")
        layers = 1
        for region in old.storage.regions:
            layers *= region.copies
        one, tape = Storage(old.tape, key), old.tape
        del old
        grown += [one, Storage(tape, key, layers - 1)]
