"""Optimizer states, gradients and the step's temporaries through a whole training loop."""

from __future__ import annotations

from typing import Any

import pytest
from tests.memory.plans import LLAMA, plan, run, term_bytes

from vramlint.memory.arena import rounded
from vramlint.memory.assemble import assemble

N = 665_376  # numbers of LLAMA
ADAMW = "torch.optim.AdamW"


def blocks(copies: int, *, matrices_only: bool = False) -> int:
    """Return the bytes of so many fp32 copies of all parameters, each in blocks of 512 bytes."""
    parameters = assemble(plan()).parameters()
    chosen = (p for p in parameters if len(p.shape) > 1 or not matrices_only)
    return copies * sum(rounded(4 * p.numel) * p.copies for p in chosen)


def largest() -> int:
    """Return the bytes of the largest fp32 parameter."""
    return 4 * 1000 * 96


def test_states_come_in_the_first_step() -> None:
    """Forward and backward of step 1 are without them, those of step 2 not: 8 B per parameter more."""
    answer = run()
    ends = {moment.step: moment.bytes for moment in answer.timeline if moment.phase == "forward"}
    assert blocks(2) == pytest.approx(ends[2] - ends[1], abs=512 * 100)
    assert ends[1] < ends[2]


@pytest.mark.parametrize(
    ("optimizer", "copies"),
    [
        ({"name": ADAMW}, 1),
        ({"name": ADAMW, "fused": True}, 0),
        ({"name": ADAMW, "amsgrad": True}, 1),
        ({"name": "torch.optim.SGD"}, 0),
        ({"name": "torch.optim.RMSprop"}, 1),
        ({"name": "torch.optim.Adagrad"}, 2),
        ({"name": "torch.optim.Adadelta"}, 2),
    ],
    ids=str,
)
def test_temporaries_of_a_foreach_step(optimizer: dict[str, Any], copies: int) -> None:
    """In steady state the step adds so many copies of all parameters for a moment, and drops them."""
    answer = run(optimizer=optimizer, micro_batch_size=1, sequence_length=1)
    assert copies * 4 * N == term_bytes(answer, "optimizer step temporaries")


def test_a_for_loop_step_holds_tensors_of_one_parameter() -> None:
    """The largest parameter decides, not all of them: two or three copies of V·D."""
    answer = run(optimizer={"name": ADAMW, "foreach": False}, micro_batch_size=1, sequence_length=1)
    copies = term_bytes(answer, "optimizer step temporaries") / largest()
    assert 2 <= copies <= 3


def test_groups_are_stepped_one_after_the_other() -> None:
    """Transformers' Trainer parts biases and norms from the rest: the temporary is that of the larger group."""
    optimizer = {"name": ADAMW, "foreach": True}
    small = {"micro_batch_size": 1, "sequence_length": 1, "optimizer": optimizer}
    whole, parted = run(**small), run(**small, framework="transformers")
    norms = 4 * 11 * 96
    assert norms == term_bytes(whole, "optimizer step temporaries") - term_bytes(
        parted, "optimizer step temporaries"
    )


@pytest.mark.parametrize(
    ("name", "names"),
    [
        (ADAMW, {"exp_avg", "exp_avg_sq", "step"}),
        ("torch.optim.SGD", set()),
        ("torch.optim.Adagrad", {"sum"}),
        ("torch.optim.RMSprop", {"square_avg"}),
        ("lion_pytorch.Lion", {"exp_avg"}),
    ],
)
def test_states_have_the_names_that_torch_gives_them(name: str, names: set[str]) -> None:
    """A term is called as in `optimizer.state[p]`; scalars on the CPU are not on the GPU."""
    answer = run(optimizer={"name": name, "fused": name == ADAMW})
    assert names == {term.name for term in answer.ledger.terms if term.group == "optimizer"}


def test_adagrad_makes_its_states_in_the_constructor() -> None:
    """Then they are there in the first forward pass already."""
    late, early = (
        run(optimizer={"name": "torch.optim.RMSprop"}),
        run(optimizer={"name": "torch.optim.Adagrad"}),
    )
    first = [
        [moment.bytes for moment in answer.timeline if (moment.phase, moment.step) == ("forward", 1)][-1]
        for answer in (late, early)
    ]
    assert blocks(1) <= first[1] - first[0] <= blocks(1) + 512 * 100


def test_adafactor_keeps_rows_and_columns() -> None:
    """A matrix has a state of its rows and one of its columns: next to nothing."""
    answer = run(optimizer={"name": "torch.optim.Adafactor"})
    assert 0 < sum(term.bytes for term in answer.ledger.terms if term.group == "optimizer") < 0.05 * 4 * N


def test_a_frozen_parameter_has_no_gradient_and_no_states() -> None:
    """What the patterns find is frozen; the optimizer never sees it."""
    answer = run(frozen=["embed_tokens"])
    assert N - 1000 * 96 == answer.trainable_parameters
    assert 4 * answer.trainable_parameters == term_bytes(answer, "exp_avg") == term_bytes(answer, "gradients")


def test_states_follow_the_type_of_the_weights() -> None:
    """torch.optim makes its moments like the parameter: 2 B each beside bf16 weights."""
    assert 2 * N == term_bytes(run(param_dtype="bfloat16"), "exp_avg")


def test_gradients_are_alive_in_the_next_forward() -> None:
    """With accumulation, with zeroed instead of dropped gradients, and where zero_grad comes after forward."""
    plain = run().phases["forward"].peak
    kept = [
        run(gradient_accumulation_steps=2),
        run(loop={"set_to_none": False}),
        run(loop={"zero_grad": "before_backward"}),
        run(framework="lightning"),
    ]
    for answer in kept:
        assert blocks(1) == pytest.approx(answer.phases["forward"].peak - plain, abs=2048)


def test_accumulation_keeps_no_second_copy() -> None:
    """Four micro batches need what two need: a gradient is added to in place."""
    two, four = (run(gradient_accumulation_steps=count) for count in (2, 4))
    assert two.allocated == four.allocated
    assert two.phases == four.phases


def test_no_optimizer_no_step() -> None:
    """`optimizer` null: gradients, and nothing of a step."""
    answer = run(optimizer=None)
    assert [] == [term.name for term in answer.ledger.terms if term.group == "optimizer"]
    assert answer.phases["optimizer_step"].peak <= answer.phases["backward"].peak


def test_an_optimizer_that_nobody_knows_gives_a_wide_range() -> None:
    """From no state to three in the parameters' type, two expected; and it is said."""
    small = {"micro_batch_size": 1, "sequence_length": 1}
    unknown = run(optimizer={"name": "mylib.Wonder"}, **small)
    none, two = (
        run(optimizer={"name": "torch.optim.SGD"}, **small),
        run(optimizer={"name": ADAMW, "fused": True}, **small),
    )
    three = run(optimizer={"name": ADAMW, "amsgrad": True}, **small)
    assert two.allocated.expected == unknown.allocated.expected
    assert (none.allocated.low, three.allocated.high) == (unknown.allocated.low, unknown.allocated.high)
    assert "mylib.Wonder" in unknown.assumptions[0]


def test_held_outputs_keep_the_logits() -> None:
    """A variable for the outputs holds B·T·V numbers to the next forward pass."""
    changes = {"loop": {"keeps_outputs": True}}
    logits = 4 * 3 * 40 * 1000
    held = run(**changes).phases["backward"].peak - run().phases["backward"].peak
    assert logits <= held <= logits + 3 * 40 * 48 * 2 * 4 * 5 + 4096  # and the keys and values of its cache


@pytest.mark.parametrize("model", [LLAMA])
def test_the_steady_state_is_weights_and_states(model: dict[str, Any]) -> None:
    """After the last step: 12 B per parameter, and scalars."""
    end = run(model).phases["optimizer_step"].end
    assert 3 * blocks(1) <= end <= 3 * blocks(1) + 512 * 100


def test_an_optimizer_of_ones_own_keeps_what_it_says() -> None:
    """Its states are sized by the parameter: whole, by rows, by columns, in the type that the class gives them."""
    states = [
        {"name": "average", "dtype": "float32"},
        {"name": "row", "shape": "rows", "dtype": "float32"},
        {"name": "hosted", "device": "cpu"},
    ]
    found = run(param_dtype="bfloat16", optimizer={"name": "Sign", "states": states})
    assert term_bytes(found, "average") == 4 * found.parameters
    assert 0 < term_bytes(found, "row") < 0.05 * term_bytes(found, "average")
    assert term_bytes(found, "hosted") == 0
    assert not any("nobody knows" in said for said in found.assumptions)


def test_a_low_rank_optimizer_projects_the_named_layers_only() -> None:
    """GaLore's states of a projected weight are those of a matrix of its rank; every other weight has whole moments."""
    width, inner, layers = LLAMA["hidden_size"], LLAMA["intermediate_size"], LLAMA["num_hidden_layers"]
    whole = run(optimizer={"name": "galore_torch.GaLoreAdamW"})
    found = run(optimizer={"name": "galore_adamw", "rank": 4, "target_modules": ["down_proj"]})
    spared = layers * 4 * (width * inner - 4 * inner)
    assert term_bytes(whole, "exp_avg") - term_bytes(found, "exp_avg") == spared
    assert term_bytes(found, "ortho_matrix") == layers * 4 * 4 * width


def test_a_trainers_low_rank_optimizer_has_its_own_rank() -> None:
    """Without targets attention and MLP are projected, with 128 ranks where the plan names none."""
    found = run(LLAMA | {"hidden_size": 384, "intermediate_size": 512}, optimizer={"name": "galore_adamw"})
    assert term_bytes(found, "ortho_matrix") > 0
