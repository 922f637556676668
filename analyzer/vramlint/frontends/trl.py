"""TRL's trainers: SFT, DPO, GRPO and their kin, with their own configs and defaults."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vramlint.facts.script import is_from, lift
from vramlint.facts.setting import Known, OneOf, Origin, Setting, Unknown
from vramlint.facts.values import Instance
from vramlint.frontends import hf_trainer, peft, trainer_arguments
from vramlint.frontends.base import Context, Training, settled

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_TASKS = {
    "SFTTrainer": None,
    "DPOTrainer": "dpo",
    "GRPOTrainer": "grpo",
    "PPOTrainer": "ppo",
    "RLOOTrainer": "rloo",
    "RewardTrainer": "reward",
    "KTOTrainer": "kto",
    "ORPOTrainer": "orpo",
    "CPOTrainer": "cpo",
    "PRMTrainer": "prm",
    "GKDTrainer": "gkd",
    "OnlineDPOTrainer": "online-dpo",
    "NashMDTrainer": "nash-md",
    "XPOTrainer": "xpo",
    "BCOTrainer": "bco",
    "AsyncGRPOTrainer": "grpo",
    "IterativeSFTTrainer": None,
}


def trainings(context: Context) -> Iterator[Training]:
    """Find TRL's trainers whose `.train()` is called."""
    for found in hf_trainer.trained(context, {"trl"}, set(_TASKS), "trl", _config):
        assert found.trainer is not None
        yield Training(
            "trl",
            found.call,
            found.model,
            "train",
            found.arguments,
            found.trainer,
            {**found.settings, **_own(context, found)},
        )


def _trainer_class(names: tuple[str, ...]) -> str:
    return next((last for name in names if (last := name.rpartition(".")[2]) in _TASKS), "SFTTrainer")


def _config(names: tuple[str, ...]) -> str:
    return f"trl.{_trainer_class(names).removesuffix('Trainer')}Config"


def _own(context: Context, training: Training) -> Mapping[str, Setting[Any]]:
    """Read what only TRL's configs have: the length, the task, the models beside the trained one."""
    assert training.trainer is not None
    trainer = training.trainer
    name = _trainer_class(trainer.names)
    arguments = trainer_arguments.Arguments(context, trainer, training.arguments, _config(trainer.names))
    length = _length(context, arguments, name)
    origin = training.trainer.call
    found: dict[str, Setting[Any]] = {"sequence_length": length}
    task = _TASKS[name]
    if task is not None and origin is not None:
        found["task"] = Known(task, context.script.origin(origin, trainer.place, name))
    if isinstance(training.model, Known) and isinstance(training.model.value, str):
        found["model"] = Known({"id": training.model.value}, training.model.origin)
        found["param_dtype"] = context.default("trl.string_model", "dtype") or Unknown(
            "TRL loads the model; its dtype depends on the version"
        )
    elif isinstance(training.model, OneOf) and all(
        isinstance(one.value, str) for one in training.model.alternatives
    ):
        found["model"] = lift(training.model, _id) or training.model
    elif isinstance(training.model, Known) and training.model.value is None:
        found["model"] = settled(training.model, "model") or training.model
    adapters = context.script.argument(trainer, "peft_config")
    if adapters is not None and not (isinstance(adapters, Known) and adapters.value is None):
        found["lora"] = _adapters(context, adapters)
    if name not in {"SFTTrainer", "RewardTrainer"}:
        found["extra_models"] = _beside(context, trainer, name, found.get("lora"))
    return found


def _id(known: Known[Any]) -> Setting[Any] | None:
    return Known({"id": known.value}, known.origin) if isinstance(known.value, str) else None


def _length(context: Context, arguments: trainer_arguments.Arguments, name: str) -> Setting[Any]:
    trainer = arguments.trainer
    old = context.script.argument(trainer, "max_seq_length")
    given = old if old is not None else arguments.given("max_length", "max_seq_length")
    if name in {"GRPOTrainer", "RLOOTrainer", "AsyncGRPOTrainer"}:
        return _prompt_and_completion(arguments)
    found = settled(given, "sequence_length") if given is not None else arguments.field("max_length")
    if found is None:
        return arguments.opaque("the length")
    if isinstance(found, Known) and found.value is None:
        return Unknown(
            "max_length=None: the longest sample decides; name it with --set sequence_length=…", found.origin
        )
    return found


def _prompt_and_completion(arguments: trainer_arguments.Arguments) -> Setting[Any]:
    prompt, completion = arguments.field("max_prompt_length"), arguments.field("max_completion_length")
    if (
        isinstance(prompt, Known)
        and isinstance(completion, Known)
        and isinstance(prompt.value, int)
        and isinstance(completion.value, int)
    ):
        origin = completion.origin if completion.origin.kind == "source" else prompt.origin
        return Known(
            prompt.value + completion.value,
            Origin(origin.kind, f"prompt {prompt.value} + completion {completion.value}", origin.span),
        )
    where = completion.origin if isinstance(completion, Known) else None
    return Unknown("the prompts' length is not bounded; name it with --set sequence_length=…", where)


def _beside(context: Context, trainer: Instance, name: str, lora: Setting[Any] | None) -> Setting[Any]:
    """Return the reference model of preference training; reinforcement learning is not read yet."""
    origin = context.script.origin(trainer.call, trainer.place, name) if trainer.call else None
    if isinstance(lora, Known) and lora.value is not None:
        return Known([], Origin("framework-default", "with adapters the base model is the reference"))
    if name in {"DPOTrainer", "KTOTrainer", "BCOTrainer"} and origin is not None:
        return Known([{"role": "reference", "model": None, "device": "cuda"}], origin)
    if name in {"ORPOTrainer", "CPOTrainer"} and origin is not None:
        return Known([], origin)
    return Unknown(
        f"what TRL's {name} keeps beside the model is not read yet; name it with --set extra_models=…",
        origin,
    )


def _adapters(context: Context, setting: Setting[Any]) -> Setting[Any]:
    return lift(setting, lambda known: _adapter(context, known)) or Unknown(
        "the PEFT config is known only at run time"
    )


def _adapter(context: Context, known: Known[Any]) -> Setting[Any] | None:
    """Return a PEFT config; `get_peft_config(model_args)` gives one only with `--use_peft`."""
    made = known.value
    if not (isinstance(made, Instance) and is_from(made.names, {"trl"}, {"get_peft_config"})):
        return peft.described(context, known)
    flags = context.script.evaluator.flags
    if "use_peft" not in flags:
        return Known(None, Origin("argument-default", "default of --use_peft", known.origin.span))
    rank = flags.get("lora_r", "16")
    origin = Origin("launch", "--use_peft")
    return (
        Known({"kind": "lora", "r": int(rank)}, origin)
        if rank.isdigit()
        else Unknown(f"--lora_r {rank} is no number", origin)
    )
