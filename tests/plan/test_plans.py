"""Plans: reading a document, filling it in, overriding it, and making plans of a run."""

from __future__ import annotations

from typing import Any

import pytest

from vramlint.facts.setting import Known, OneOf, Origin, Setting, Unknown
from vramlint.plan.concrete import concrete
from vramlint.plan.defaults import complete
from vramlint.plan.document import Plan
from vramlint.plan.launch import read_launch
from vramlint.plan.names import SETTINGS
from vramlint.plan.override import override, override_plan, value_of
from vramlint.plan.plain import checked
from vramlint.plan.read import PlanError, read_plan
from vramlint.plan.resolve import join
from vramlint.plan.run import Run
from vramlint.source.spans import Position, Span

HERE = Origin("source", "here")
SPAN = Span("train.py", Position(1, 0), Position(1, 1))


def known(value: object) -> Known[Any]:
    """Return a setting read in the source."""
    return Known(value, HERE)


def run(**settings: Setting[Any]) -> Run:
    """Return a run that says enough for a plan, with some settings replaced."""
    said: dict[str, Setting[Any]] = {
        "model": known({"id": "gpt2"}),
        "optimizer": known({"name": "sgd"}),
        "micro_batch_size": known(2),
        "sequence_length": known(64),
    }
    return Run("train", ("torch",), SPAN, said | settings)


UNKNOWN_KEY = "unknown key 'micro_batchsize' in the plan; did you mean 'micro_batch_size'?"
UNKNOWN_PART = "unknown key 'fussed' in optimizer of the plan; did you mean 'fused'?"
NO_NUMBER = 'micro_batch_size: should be a valid integer, unable to parse string as an integer, got "many"'
NO_PATTERN = 'frozen.0: is no regular expression (unterminated character set at position 0), got "["'


@pytest.mark.parametrize(
    ("line", "data"),
    [
        (UNKNOWN_KEY, {"model": "x", "micro_batchsize": 1}),
        (UNKNOWN_PART, {"model": "x", "optimizer": {"name": "a", "fussed": 1}}),
        ("the plan has no 'model'", {}),
        ("a plan is a JSON object, not a list", []),
        (NO_NUMBER, {"model": "x", "micro_batch_size": "many"}),
        ("micro_batch_size: should be a number, got true", {"model": "x", "micro_batch_size": True}),
        (NO_PATTERN, {"model": "x", "frozen": ["["]}),
        ("extra_models: should be a list, got 5", {"model": "x", "extra_models": 5}),
        ("lora: should be an object, got 8", {"model": "x", "lora": 8}),
    ],
)
def test_a_bad_plan_gets_one_line(line: str, data: object) -> None:
    """What is wrong with a plan is said in one line that names the key and the nearest valid one."""
    with pytest.raises(PlanError) as caught:
        read_plan(data)
    assert line == str(caught.value)


def test_a_plan_of_a_model_alone_is_filled_in() -> None:
    """Every key gets a value, and what was left out an origin."""
    plan, added = complete(read_plan({"model": "gpt2"}))
    assert ("float32", "causal-lm", 1, 1024) == (
        plan.param_dtype, plan.task, plan.micro_batch_size, plan.sequence_length,
    )  # fmt: skip
    assert "assumed" == added["sequence_length"].origin.kind
    assert "torch.optim.AdamW" == (plan.optimizer and plan.optimizer.name)
    assert "model" not in added


def test_what_a_plan_says_is_kept() -> None:
    """Null is a statement: no optimizer step happens."""
    plan, added = complete(read_plan({"model": "gpt2", "optimizer": None, "sequence_length": 7}))
    assert (None, 7) == (plan.optimizer, plan.sequence_length)
    assert not {"optimizer", "sequence_length"} & added.keys()


@pytest.mark.parametrize(
    ("optimizer", "libraries"),
    [
        ("adamw_torch_fused", {"transformers": "5.23.0", "torch": "2.13.0"}),
        ("adamw_torch", {"transformers": "4.57.6", "torch": "2.6.0"}),
        ("adamw_hf", {"transformers": "4.30.2", "torch": "2.0.1"}),
    ],
)
def test_the_trainer_of_a_version(optimizer: str, libraries: dict[str, str]) -> None:
    """The Trainer's optimizer and batch are those of its version."""
    plan, _ = complete(read_plan({"model": "gpt2", "framework": "transformers", "libraries": libraries}))
    assert (optimizer, 8) == (plan.optimizer and plan.optimizer.name, plan.micro_batch_size)


@pytest.mark.parametrize(("dtype", "version"), [("float16", "5.23.0"), ("float32", "4.57.6")])
def test_the_dtype_that_loading_gives(dtype: str, version: str) -> None:
    """Version 5 of transformers keeps the checkpoint's dtype, 4 loads in float32."""
    plan, _ = complete(
        read_plan({"model": "meta-llama/Llama-2-7b-hf", "libraries": {"transformers": version}})
    )
    assert dtype == plan.param_dtype


def test_a_vision_model_reads_images() -> None:
    """A model of torchvision has an image size and no length."""
    plan, _ = complete(read_plan({"model": "torchvision/resnet50"}))
    assert (224, None, "image-classification") == (plan.image_size, plan.sequence_length, plan.task)


@pytest.mark.parametrize(
    ("key", "value", "field", "expected"),
    [
        ("sharding.kind", "zero1", "sharding.kind", "zero1"),
        ("sharding", "zero2", "sharding.kind", "zero2"),
        ("world_size", 4, "sharding.world_size", 4),
        ("world_size", 4, "sharding.kind", "ddp"),
        ("world_size", 1, "sharding", None),
        ("offload", "cpu", "sharding.offload_optimizer", "cpu"),
        ("model", "gpt2-xl", "model.id", "gpt2-xl"),
        ("gradient_checkpointing", True, "gradient_checkpointing.use_reentrant", False),
        ("micro_batch_size", 3, "micro_batch_size", 3),
        ("lora.r", 4, "lora.r", 4),
    ],
)
def test_overrides_of_a_plan(key: str, value: object, field: str, expected: object) -> None:
    """A key, a dotted path or a shorthand replaces its part of a plan."""
    found: Any = override_plan(read_plan({"model": "gpt2"}), key, value)
    for part in field.split("."):
        found = getattr(found, part)
    assert expected == found


def test_the_kind_of_sharding_keeps_the_number_of_gpus() -> None:
    """`--world-size 8 --set sharding=fsdp` is FSDP on eight GPUs."""
    said = run(sharding=known({"kind": "ddp", "world_size": 8})).settings
    changed = override(said, "sharding", "fsdp", HERE)["sharding"]
    assert isinstance(changed, Known)
    assert {"kind": "fsdp", "world_size": 8} == changed.value


def test_trainable_freezes_the_rest() -> None:
    """Naming what is trained freezes every other parameter."""
    changed = override(run().settings, "trainable", ["classifier"], Origin("override", "--set"))
    frozen = changed["frozen"]
    assert isinstance(frozen, Known)
    assert ["^(?!.*(?:classifier))"] == frozen.value


def test_an_unknown_setting_names_the_nearest() -> None:
    """A misspelt setting is an error with the nearest valid one."""
    with pytest.raises(PlanError, match="did you mean 'micro_batch_size'"):
        override(run().settings, "micro_batchsize", 1, HERE)


@pytest.mark.parametrize(
    ("expected", "text"), [(8, "8"), (None, "null"), ("bf16", "bf16"), (True, "True"), ([1], "[1]")]
)
def test_values_of_overrides(expected: object, text: str) -> None:
    """A value is JSON, else the text itself."""
    assert expected == value_of(text)


def test_every_plan_key_is_a_setting() -> None:
    """Whatever a plan has, `--set` takes."""
    assert set(Plan.model_fields) <= set(SETTINGS)


def test_one_plan_where_all_is_known() -> None:
    """A run without open questions is one plan."""
    made = concrete(run())
    assert (1, None, 2) == (len(made.plans), made.why_not, made.plans[0].micro_batch_size)


def test_a_bounded_unknown_spans_a_range() -> None:
    """The expected value comes first; each further plan says which setting decides."""
    made = concrete(run(sequence_length=Unknown("open", None, (16, 512, 1024))))
    assert [512, 1024, 16] == [plan.sequence_length for plan in made.plans]
    assert {1: ("sequence_length",), 2: ("sequence_length",)} == made.deciding


def test_alternatives_are_combined() -> None:
    """Two settings with two values each are four plans, at most sixteen in all."""
    batch = OneOf((known(1), known(2)), "depends")
    made = concrete(
        run(micro_batch_size=batch, param_dtype=OneOf((known("float32"), known("bfloat16")), "depends"))
    )
    assert {(1, "float32"), (2, "float32"), (1, "bfloat16"), (2, "bfloat16")} == {
        (plan.micro_batch_size, plan.param_dtype) for plan in made.plans
    }
    many = OneOf(tuple(known(n) for n in range(1, 9)), "depends")
    assert 16 >= len(concrete(run(micro_batch_size=many, sequence_length=many, num_labels=many)).plans)


@pytest.mark.parametrize("key", ["model", "optimizer", "micro_batch_size", "sharding", "lora"])
def test_no_plan_without_what_is_necessary(key: str) -> None:
    """An unknown model, optimizer or batch gives no plan but the reason."""
    made = concrete(run(**{key: Unknown("nobody says")}))
    assert ((), f"{key}: nobody says") == (made.plans, made.why_not)


def test_the_surest_statement_counts() -> None:
    """Code stands above an argument's default, which stands above the framework's."""
    default = Known(8, Origin("framework-default", "8"))
    argument = Known(4, Origin("argument-default", "default of --n"))
    assert known(2) == join([default, argument, known(2)])
    assert argument == join([default, argument])


def test_conflicts_become_alternatives() -> None:
    """Two lines of code that disagree are both kept, and the reason names them."""
    joined = join([Known(1, Origin("source", "A(n=1)")), Known(2, Origin("source", "B(n=2)"))])
    assert isinstance(joined, OneOf)
    assert "A(n=1) and B(n=2) disagree" == joined.reason


@pytest.mark.parametrize("value", [-1, 0, "auto", True, 2.5, object()])
def test_a_count_is_a_positive_number(value: object) -> None:
    """A batch of -1 or "auto" is decided at run time."""
    assert isinstance(checked("micro_batch_size", known(value)), Unknown)


@pytest.mark.parametrize(
    ("flags", "processes", "command"),
    [
        ({"lr": "1e-4", "bf16": ""}, None, "python train.py --lr 1e-4 --bf16"),
        ({"batch_size": "4"}, 8, "torchrun --nproc_per_node=8 train.py --batch-size=4"),
        ({}, 16, "torchrun --nnodes=2 --nproc-per-node 8 train.py"),
        ({}, 4, "accelerate launch --num_machines 2 --num_processes 4 train.py"),
        ({"model": "gpt2"}, None, "python train.py model=gpt2"),
        ({}, None, "python 'train.py"),
        ({}, None, ""),
    ],
)
def test_launch_lines(flags: dict[str, str], processes: int | None, command: str) -> None:
    """A command gives the script's flags and the number of processes."""
    launch = read_launch(command)
    assert (flags, processes) == (launch.flags, launch.processes)
