"""The ledger: terms add up to the peak, formulas say their bytes, and the same plan gives the same ledger."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from itertools import pairwise
from math import prod
from typing import Any

import pytest
from tests.memory.plans import GPT2, LLAMA, plan, run

from vramlint.memory.dtypes import BFLOAT16, FLOAT32
from vramlint.memory.ledger import Dimension, Ledger, Line, Term
from vramlint.memory.tape import Dim, Tape
from vramlint.memory.terms import ledger_of

LETTERS = {"B": 3, "T": 40, "D": 96, "F": 200, "N": 6, "V": 1000, "L": 5}
FAMILIES = {"llama": (LLAMA, LETTERS | {"K": 2, "H": 24}), "gpt2": (GPT2, LETTERS | {"H": 16, "P": 256})}

HALF = {"param_dtype": "bfloat16"}
AUTOCAST = {"mixed_precision": "bf16"}
PLANS: dict[str, dict[str, Any]] = {
    "fp32": {},
    "half": HALF,
    "autocast": AUTOCAST,
    "eager": HALF | {"attention": "eager"},
    "checkpointed": AUTOCAST | {"gradient_checkpointing": True},
    "accumulating": {"gradient_accumulation_steps": 4},
    "lora": HALF | {"lora": {"r": 4, "target_modules": "all-linear", "dropout": 0.1}},
    "qlora": AUTOCAST | {"lora": {"r": 4}, "quantization": {"kind": "nf4", "double": True}},
    "clipped": {"loop": {"clip_grad_norm": 1.0, "keeps_outputs": True}},
    "zero2": AUTOCAST | {"sharding": {"kind": "zero2", "world_size": 4}, "framework": "deepspeed"},
    "fsdp": AUTOCAST | {"sharding": {"kind": "fsdp", "world_size": 3}},
    "dpo": AUTOCAST | {"task": "dpo", "extra_models": [{"role": "reference"}]},
    "in two groups": {"framework": "transformers"},
    "generation": HALF | {"mode": "inference", "generation": {"prompt_length": 40, "new_tokens": 9, "batch": 3}},
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(PLANS))
def test_terms_at_the_peak_add_up_to_it(name: str) -> None:
    """Nothing is left over and nothing is counted twice: the sum is the allocated peak to the byte."""
    answer = run(**PLANS[name])
    assert answer.allocated.expected == answer.ledger.peak
    assert answer.allocated.expected == sum(term.bytes for term in answer.ledger.terms if term.at_peak)


@pytest.mark.parametrize("name", sorted(PLANS))
def test_every_term_says_what_it_is(name: str) -> None:
    """A term has tensors, bytes, phases and a citation; a name occurs once among those at the peak."""
    answer = run(**PLANS[name])
    for term in answer.ledger.terms:
        assert term.citation
        assert term.phases <= frozenset(answer.phases)
        assert (answer.phase in term.phases) == term.at_peak
        assert term.bytes > 0 or term.name.startswith("rounding")
        assert all(line.count > 0 for line in term.lines)
    names = [(term.name, term.group) for term in answer.ledger.terms]
    assert sorted(set(names)) == sorted(names)


def value(formula: str, letters: dict[str, int]) -> int:
    """Return what a formula's text comes to: `32 × B·T·D × 2 B / 8`, terms joined by +."""
    return sum(_product(part, letters) for part in formula.split(" + "))


def _product(text: str, letters: dict[str, int]) -> int:
    text, _, shards = text.partition(" / ")
    *counts, dimensions, item = text.split(" × ")
    amount, unit = item.split()
    elements = prod(_factor(factor, letters) for factor in dimensions.split("·"))
    bits = int(amount) * (8 if unit == "B" else 1)
    return -(-elements * bits // (8 * int(shards or 1))) * (int(counts[0]) if counts else 1)


def _factor(text: str, letters: dict[str, int]) -> int:
    """Work out `T`, `2F`, `(N+2K)` or `128`."""
    summands = [re.fullmatch(r"(\d*)([A-Z]?)", part) for part in text.strip("()").split("+")]
    return sum(int(match[1] or 1) * (letters[match[2]] if match[2] else 1) for match in summands if match)


@pytest.mark.parametrize("family", sorted(FAMILIES))
@pytest.mark.parametrize(
    "name", ["fp32", "half", "autocast", "checkpointed", "eager", "fsdp", "lora", "zero2"]
)
def test_the_formula_comes_to_the_bytes(name: str, family: str) -> None:
    """Read as text and worked out with the config's sizes, each formula gives its term's bytes.

    All sizes of the config differ, so a wrong letter gives a wrong number.
    """
    config, letters = FAMILIES[family]
    changes = dict(PLANS[name])
    if name == "lora":
        changes["lora"] = {"r": 4, "target_modules": ["q_proj", "v_proj", "c_attn"]}
    for term in run(config, **changes).ledger.terms:
        if not term.name.startswith("rounding"):
            assert term.bytes == value(term.formula, letters), term


def test_a_line_of_packed_weights_counts_bits() -> None:
    """Two 4-bit numbers share a byte, and an odd one takes a whole one."""
    line = Line((Dimension("F", 7),), 4, count=3)
    assert ("3 × F × 4 bit", 12) == (line.formula, line.bytes)
    assert 2 == Line((Dimension("F", 7),), 4, shards=2).bytes
    assert ("1 × 4 B", 4) == (Line((), 32).formula, Line((), 32).bytes)


def test_letters_of_equal_sizes_are_not_mixed_up() -> None:
    """A size that two letters stand for keeps its own where it has one, and its number where it has none."""
    tape = Tape()
    tape.arena.enter("forward", 1)
    held = [tape.empty((Dim(64, "T"), Dim(8, "D")), FLOAT32), tape.empty((Dim(64, "H"),), BFLOAT16)]
    held += [tape.empty((64, 8), BFLOAT16)]
    tape.arena.leave()
    (term, _) = ledger_of(tape.arena, "forward").terms
    assert {"T·D × 4 B", "H × 2 B", "64·D × 2 B"} == set(term.formula.split(" + "))
    assert 3 == len(held)


def test_only_terms_at_the_peak_count_for_it() -> None:
    """What lives in other phases is shown with its own largest size and left out of the sum."""
    line = Line((Dimension("P", 10),), 32)
    always = frozenset({"forward"})
    terms = tuple(
        Term(name, "weights", (line,), always, at_peak=at_peak, citation="-")  # type: ignore[arg-type]
        for name, at_peak in (("weights", True), ("logits", False))
    )
    assert 40 == Ledger(terms).peak


def test_terms_of_other_phases_are_shown() -> None:
    """With large states the peak is the optimizer's step; the logits of forward are listed beside it."""
    answer = run({**LLAMA, "vocab_size": 50_000, "num_hidden_layers": 2}, micro_batch_size=1)
    assert "optimizer_step" == answer.phase
    (logits,) = (term for term in answer.ledger.terms if term.name == "logits")
    assert not logits.at_peak
    assert {"forward"} <= logits.phases


SCRIPT = """
import json, sys
from vramlint.memory.engine import estimate
from vramlint.plan.document import Plan
answer = estimate(Plan.model_validate_json(sys.stdin.read()))
print(json.dumps([[t.name, t.group, t.formula, t.bytes, sorted(t.phases), t.at_peak] for t in answer.ledger.terms]))
print([(m.phase, m.bytes, m.label) for m in answer.timeline], answer.assumptions, list(answer.phases))
"""


def test_the_hash_seed_changes_nothing() -> None:
    """Invariant 3: terms, their order, formulas and timeline are the same in every process."""
    document = plan(**PLANS["dpo"], lora={"r": 4, "target_modules": "all-linear"}).model_dump_json(
        exclude_unset=True, by_alias=True
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", SCRIPT],
            input=document,
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "4242")
    }
    assert 1 == len(outputs)
    assert len(json.loads(outputs.pop().splitlines()[0])) > 10


@pytest.mark.parametrize("name", ["fp32", "accumulating", "fsdp", "dpo", "generation"])
def test_the_timeline_is_a_line_through_the_phases(name: str) -> None:
    """Its largest point is the peak, each phase begins where the one before it ended, and steps count up."""
    answer = run(**PLANS[name])
    points = answer.timeline
    assert answer.allocated.expected == max(point.bytes for point in points)
    assert list(answer.phases) == list(dict.fromkeys(point.phase for point in points))
    assert list(range(len(points))) == [point.t for point in points]
    assert sorted(point.step for point in points) == [point.step for point in points]
    for before, after in pairwise(points):
        if after.label.endswith("begin"):
            assert before.bytes == after.bytes
            assert before.label.endswith("end")
