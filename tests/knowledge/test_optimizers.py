"""What optimizers keep and allocate, against runs of the real ones."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from vramlint.knowledge import optimizers
from vramlint.knowledge.optimizer import Optimizer, Parameter, Temporary, Variant
from vramlint.knowledge.optimizers import UnknownOptimizer, hf_names

DATA = Path(__file__).parent / "data"
STATES = json.loads((DATA / "optimizer_states.json").read_text(encoding="utf-8"))["rows"]
STEPS = json.loads((DATA / "optimizer_steps.json").read_text(encoding="utf-8"))["runs"]
INDEX = Path(optimizers.__file__).with_name("index.json")


def on_gpu(optimizer: Optimizer, parameters: list[Parameter], variant: Variant) -> int:
    """Bytes of all states on the GPU, each rounded up to 512 as the caching allocator does."""
    states = [state for parameter in parameters for state in optimizer.states(parameter, variant)]
    return sum(-(-state.bytes // 512) * 512 for state in states if state.where == "gpu")


@pytest.mark.parametrize(("path", "arguments", "fp32", "bf16"), STATES)
def test_states_have_the_measured_size(
    path: str, arguments: dict[str, Any], fp32: float, bf16: float
) -> None:
    """A square parameter gets the states that a run of the real optimizer made, in both dtypes."""
    optimizer = optimizers.find(path)
    for bits, expected in ((32, fp32), (16, bf16)):
        states = optimizer.states(Parameter((512, 512), bits), Variant(**arguments))
        actual = sum(state.bytes for state in states if state.where != "cpu") / 512**2
        assert expected == pytest.approx(actual, abs=0.01), (path, bits)


@pytest.mark.parametrize("run", STEPS, ids=lambda run: run["id"])
def test_a_step_has_the_measured_peak_and_leaves_the_measured_states(run: dict[str, Any]) -> None:
    """First peak, later peak and what stays are those of a whole real step, within 0.1 %."""
    parameters = parameters_of(run["config"])
    weights = sum(parameter.bytes for parameter in parameters)
    optimizer = optimizers.find(run["optimizer"]["name"])
    variant = Variant(
        **{key: run["optimizer"][key] for key in ("momentum", "amsgrad", "fused") if key in run["optimizer"]}
    )
    states = on_gpu(optimizer, parameters, variant)
    moment = temporary(optimizer, variant, run["optimizer"]).bytes(parameters)

    assert run["parameters"] == sum(parameter.elements for parameter in parameters)
    assert run["steady_end"] == pytest.approx(weights + states, rel=1e-3)
    assert run["opt_max"] == pytest.approx(2 * weights + states + moment, rel=1e-3)
    assert run["first_opt_max"] == pytest.approx(
        2 * weights + first_step(optimizer, parameters, variant, moment), rel=1e-3
    )


def first_step(optimizer: Optimizer, parameters: list[Parameter], variant: Variant, moment: int) -> int:
    """States and temporaries at the worst moment of the first step."""
    if optimizer.states_in_constructor:  # the run counted them only from the end of this step on
        return moment
    if not optimizer.states_between_updates:
        return on_gpu(optimizer, parameters, variant) + moment
    turn = temporary(optimizer, variant, {})
    made = [on_gpu(optimizer, parameters[: index + 1], variant) for index in range(len(parameters))]
    return max(states + turn.bytes([parameter]) for states, parameter in zip(made, parameters, strict=True))


def temporary(optimizer: Optimizer, variant: Variant, asked: dict[str, Any]) -> Temporary:
    """The temporaries of the implementation that the run took."""
    if asked.get("fused"):
        return optimizer.temporaries(variant)["fused"]
    if asked.get("foreach") is False:
        return optimizer.temporaries(variant)["for-loop"]
    return optimizer.temporaries(variant)[optimizer.default]


def parameters_of(config: dict[str, Any]) -> list[Parameter]:
    """The fp32 parameters of a Llama or GPT-2 model, in the order of `model.parameters()`."""
    shapes = gpt2_shapes(config) if config["model_type"] == "gpt2" else llama_shapes(config)
    return [Parameter(shape, 32) for shape in shapes]


def llama_shapes(config: dict[str, Any]) -> list[tuple[int, ...]]:
    """Embedding, layers of seven matrices and two norms, norm, untied head."""
    V, D, F = config["vocab_size"], config["hidden_size"], config["intermediate_size"]
    K = D // config["num_attention_heads"] * config["num_key_value_heads"]
    layer = [(D, D), (K, D), (K, D), (D, D), (F, D), (F, D), (D, F), (D,), (D,)]
    return [(V, D), *layer * config["num_hidden_layers"], (D,), (V, D)]


def gpt2_shapes(config: dict[str, Any]) -> list[tuple[int, ...]]:
    """Two embeddings, layers with biases everywhere, norm; the head is tied."""
    V, S, D = config["vocab_size"], config["n_positions"], config["n_embd"]
    norm = [(D,), (D,)]
    attention = [(D, 3 * D), (3 * D,), (D, D), (D,)]
    mlp = [(D, 4 * D), (4 * D,), (4 * D, D), (D,)]
    return [(V, D), (S, D), *[*norm, *attention, *norm, *mlp] * config["n_layer"], *norm]


@pytest.mark.parametrize(
    ("name", "variant", "billions"),
    [
        ("torch.optim.SGD", Variant(), 0),
        ("torch.optim.SGD", Variant(momentum=0.9), 4),
        ("torch.optim.Adam", Variant(), 8),
        ("torch.optim.AdamW", Variant(), 8),
        ("lion_pytorch.Lion", Variant(), 4),
    ],
)
def test_a_billion_fp32_parameters(name: str, variant: Variant, billions: int) -> None:
    """The textbook's table for a billion fp32 parameters is what torch does."""
    parameter = Parameter((1000, 1000, 1000), 32)
    states = optimizers.find(name).states(parameter, variant)
    assert billions * 10**9 == sum(state.bytes for state in states if state.shape)


@pytest.mark.parametrize("optimizer", optimizers.all_optimizers(), ids=lambda optimizer: optimizer.names[0])
def test_every_optimizer_answers_for_every_shape(optimizer: Optimizer) -> None:
    """States and temporaries exist for scalars, vectors, matrices and kernels, and the default exists."""
    for variant in (
        Variant(),
        Variant(momentum=0.9, nesterov=True, centered=True, amsgrad=True, weight_decay=0.1, rank=8),
    ):
        assert optimizer.default in optimizer.temporaries(variant)
        for shape in ((), (64,), (64, 32), (64, 32, 3, 3)):
            parameters = [Parameter(shape, bits) for bits in (32, 16)]
            assert all(
                state.bytes >= 0 for parameter in parameters for state in optimizer.states(parameter, variant)
            )
            assert all(part.bytes(parameters) >= 0 for part in optimizer.temporaries(variant).values())
    assert optimizer.citation


@pytest.mark.parametrize("optimizer", optimizers.all_optimizers(), ids=lambda optimizer: optimizer.names[0])
def test_more_elements_never_need_fewer_bytes(optimizer: Optimizer) -> None:
    """Twice the rows never take less memory, apart from 8-bit states that begin at 4096 elements."""
    sizes = [
        sum(state.bytes for state in optimizer.states(Parameter((rows, 512), 32), Variant()))
        for rows in (512, 1024)
    ]
    assert sizes == sorted(sizes)


def test_the_index_is_current() -> None:
    """The names in index.json are those that the files give."""
    assert optimizers.build_index() == json.loads(INDEX.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("name", "canonical"),
    [
        ("AdamW", "torch.optim.AdamW"),
        ("ADAMW", "torch.optim.AdamW"),
        ("torch.optim.adamw.AdamW", "torch.optim.AdamW"),
        ("adamw8bit", "bitsandbytes.optim.AdamW8bit"),
        ("Lion", "lion_pytorch.Lion"),
        ("lion_pytorch.Lion", "lion_pytorch.Lion"),
        ("Adafactor", "torch.optim.Adafactor"),
        ("adafactor", "transformers.Adafactor"),
        ("adamw_hf", "transformers.AdamW"),
        ("paged_adamw_8bit", "bitsandbytes.optim.PagedAdamW8bit"),
        ("deepspeed.ops.adam.DeepSpeedCPUAdam", "deepspeed.ops.adam.DeepSpeedCPUAdam"),
    ],
)
def test_names_are_understood(name: str, canonical: str) -> None:
    """Dotted paths, Trainer strings and bare class names find their class; a bare name prefers torch."""
    assert canonical == optimizers.find(name).names[0]


def test_an_unknown_name_brings_the_nearest() -> None:
    """A slip of the finger is answered with what was meant."""
    with pytest.raises(UnknownOptimizer, match=r"unknown optimizer 'AdmW'; did you mean .*adamw"):
        optimizers.find("AdmW")


def test_a_name_like_nothing_has_no_suggestion() -> None:
    """Nothing is suggested where nothing is near."""
    with pytest.raises(UnknownOptimizer, match=r"^unknown optimizer 'zzzzzzzzzzzz'$"):
        optimizers.find("zzzzzzzzzzzz")


@pytest.mark.parametrize("name", hf_names.all_names())
def test_every_trainer_string_is_known(name: str) -> None:
    """Each `TrainingArguments.optim` string leads to an optimizer with what the Trainer passes."""
    trainer = hf_names.find(name)
    assert trainer is not None
    assert name == trainer.name
    assert optimizers.find(trainer.optimizer).names[0] == optimizers.find(name).names[0]


def test_what_trainer_strings_say_beyond_the_class() -> None:
    """Fused, rank, layerwise and 32-bit embeddings are read from the string."""
    assert optimizers.find("adamw_torch_fused").default == "fused"
    assert optimizers.find("adamw_torch").default == "foreach"
    assert not optimizers.find("galore_adamw_layerwise").keeps_gradients
    galore, eight_bit = hf_names.find("galore_adamw"), hf_names.find("adamw_8bit")
    assert galore is not None
    assert galore.variant.rank == 128
    assert eight_bit is not None
    assert eight_bit.variant.embeddings_in_32_bit


def test_8_bit_states_of_small_tensors_and_embeddings() -> None:
    """Under 4096 elements bitsandbytes keeps 32 bits, and for embeddings if the Trainer registers them."""
    states = optimizers.find("AdamW8bit").states
    through_trainer = Variant(embeddings_in_32_bit=True)
    assert 8 * 4095 == sum(state.bytes for state in states(Parameter((4095,), 16), Variant()))
    assert 2 * 4096 + 2 * 4 * 16 == sum(state.bytes for state in states(Parameter((4096,), 16), Variant()))
    embedding = Parameter((1000, 64), 16, is_embedding=True)
    assert 8 * 64_000 == sum(state.bytes for state in states(embedding, through_trainer))
    assert 2 * 64_000 + 2 * 4 * 250 == sum(state.bytes for state in states(embedding, Variant()))


def test_paged_states_are_outside_torchs_counters() -> None:
    """Large states of a paged optimizer are in unified memory; block maxima and small states are not."""
    states = optimizers.find("paged_adamw_8bit").states
    large = {state.name: state.where for state in states(Parameter((512, 512), 16), Variant())}
    assert large == {
        "state1": "paged",
        "state2": "paged",
        "absmax of state1": "gpu",
        "absmax of state2": "gpu",
    }
    assert {"gpu"} == {state.where for state in states(Parameter((100,), 16), Variant())}


def test_step_counts_are_on_the_gpu_only_when_fused_or_capturable() -> None:
    """A fused AdamW keeps one fp32 scalar per tensor on the GPU, a foreach one in host memory."""
    states = optimizers.find("AdamW").states
    parameter = Parameter((8, 8), 32)
    for variant, where in (
        (Variant(), "cpu"),
        (Variant(fused=True), "gpu"),
        (Variant(capturable=True), "gpu"),
    ):
        assert [where] == [state.where for state in states(parameter, variant) if state.name == "step"]


def test_a_loop_holds_the_previous_tensors_temporary() -> None:
    """Two copies for the tensor in turn and one of the tensor before it: three where they are equal."""
    loop = optimizers.find("AdamW").temporaries(Variant())["for-loop"]
    small, large = Parameter((10, 10), 32), Parameter((100, 100), 32)
    assert 2 * 40_000 == loop.bytes([large])
    assert 3 * 40_000 == loop.bytes([large, large])
    assert 2 * 40_000 + 400 == loop.bytes([small, large])
    assert 0 == loop.bytes([])


def test_foreach_copies_the_group() -> None:
    """The temporary of a foreach AdamW is one copy of all parameters of the group."""
    parameters = [Parameter((100, 100), 16), Parameter((10,), 16)]
    assert 2 * 10_010 == optimizers.find("AdamW").temporaries(Variant())["foreach"].bytes(parameters)


def test_finding_one_imports_one_file() -> None:
    """A look-up reads the index and one optimizer's file, none of the other hundred."""
    code = (
        "import sys; from vramlint.knowledge import optimizers; optimizers.find('AdamW');"
        "prefix = optimizers.__name__ + '.';"
        "print(*sorted(name.removeprefix(prefix) for name in sys.modules if name.startswith(prefix)))"
    )
    path = str(Path(optimizers.__file__).parents[3])
    output = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": path}, capture_output=True, text=True, check=True
    )
    assert ["errors", "hf_names", "parts", "torch_adamw"] == output.stdout.split()
