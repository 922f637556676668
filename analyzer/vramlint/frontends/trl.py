"""TRL's trainers: SFT, DPO, GRPO and their kin, with their own configs and defaults.

Sources: the trainers and configs in the wheels of 0.7.4 to 1.16.0; what changes with the version stands
in `knowledge/defaults/trl.json`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vramlint.facts.script import lift
from vramlint.facts.setting import Known, OneOf, Origin, Setting, Unknown
from vramlint.facts.values import Instance, Record, Symbol
from vramlint.frontends import bitsandbytes, hf_trainer, peft, trainer_arguments, trl_beside
from vramlint.frontends.base import Context, Training, settled
from vramlint.frontends.trace import traced
from vramlint.frontends.transformers_models import ATTENTION, DTYPES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_TASKS = {
    "SFTTrainer": None,
    "DPOTrainer": "dpo",
    "GRPOTrainer": "grpo",
    "PPOTrainer": "ppo",
    "PPOv2Trainer": "ppo",
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
# Trainers that sample completions themselves: their sequences are prompt and completion.
_SAMPLING = {"GRPOTrainer": "max_completion_length", "RLOOTrainer": "max_completion_length",
             "AsyncGRPOTrainer": "max_completion_length", "PPOTrainer": "response_length",
             "PPOv2Trainer": "response_length", "OnlineDPOTrainer": "max_new_tokens",
             "NashMDTrainer": "max_new_tokens", "XPOTrainer": "max_new_tokens"}  # fmt: skip
_PREFERENCES = {"DPOTrainer", "KTOTrainer", "ORPOTrainer", "CPOTrainer", "BCOTrainer"}
_TILED_SINCE = {"SFTTrainer", "DPOTrainer", "KTOTrainer", "GRPOTrainer", "RLOOTrainer"}
# What prompts without a limit are taken for: low, expected and high, in tokens.
_PROMPTS = (32, 512, 2048)


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
    return f"trl.{_trainer_class(names).removesuffix('Trainer').replace('PPOv2', 'PPO')}Config"


def _own(context: Context, training: Training) -> Mapping[str, Setting[Any]]:
    """Read what only TRL's configs have: the length, the task, the models beside the trained one."""
    assert training.trainer is not None
    trainer = training.trainer
    name = _trainer_class(trainer.names)
    arguments = trainer_arguments.Arguments(context, trainer, training.arguments, _config(trainer.names))
    found: dict[str, Setting[Any]] = {"sequence_length": _length(context, arguments, name)}
    found |= _task(context, trainer, name)
    found |= _loss(context, arguments, name)
    found |= _named_model(context, arguments, training.model)
    found |= _adapters(context, training, name)
    adapted = _is_adapted(context, training, found.get("lora"))
    found |= trl_beside.models(context, arguments, name, adapted=adapted)
    found |= trl_beside.generation(context, arguments, name, training.settings.get("micro_batch_size"))
    return found


def _task(context: Context, trainer: Instance, name: str) -> dict[str, Setting[Any]]:
    task = _TASKS[name]
    if task is None or trainer.call is None:
        return {}
    return {"task": Known(task, context.script.origin(trainer.call, trainer.place, name))}


def _named_model(
    context: Context, arguments: trainer_arguments.Arguments, model: Setting[Any] | None
) -> dict[str, Setting[Any]]:
    """Return the model that a trainer loads itself by its name, with the dtype that TRL loads it in."""
    model = settled(model, "model")
    if isinstance(model, Known) and model.value is None:
        return {"model": model}
    every = model.alternatives if isinstance(model, OneOf) else (model,)
    if not all(isinstance(one, Known) and isinstance(one.value, str) for one in every):
        return {"model": model} if isinstance(model, Unknown) else {}
    assert model is not None
    found: dict[str, Setting[Any]] = {"model": lift(model, _id) or model}
    found["param_dtype"] = _initial_dtype(context, arguments)
    attention = initial(arguments, "attn_implementation")
    if isinstance(attention, Known) and attention.value in ATTENTION:
        found["attention"] = attention
    quantization = context.script.argument(arguments.trainer, "quantization_config")
    quantization = initial(arguments, "quantization_config") if quantization is None else quantization
    if quantization is not None:
        described = lift(quantization, lambda known: bitsandbytes.config(context, known))
        found |= {} if described is None else {"quantization": described}
    return found


def _id(known: Known[Any]) -> Setting[Any] | None:
    return Known({"id": known.value}, known.origin) if isinstance(known.value, str) else None


def initial(arguments: trainer_arguments.Arguments, *names: str) -> Setting[Any] | None:
    """Return an entry of `model_init_kwargs`, from the config or, in old releases, from the trainer."""
    given = arguments.given("model_init_kwargs")
    if given is None:
        given = arguments.context.script.argument(arguments.trainer, "model_init_kwargs")
    if not (isinstance(given, Known) and isinstance(given.value, Record)):
        return given if isinstance(given, Unknown) else None
    for name in names:
        if name in given.value.items:
            return arguments.context.script.evaluator.force(given.value.items[name])
    return None


def _initial_dtype(context: Context, arguments: trainer_arguments.Arguments) -> Setting[Any]:
    given = initial(arguments, "dtype", "torch_dtype")
    default = context.default("trl.string_model", "dtype") or Unknown(
        "TRL loads the model; its dtype depends on the version"
    )
    if given is None or (isinstance(given, Known) and given.value is None):
        return default
    return lift(given, _dtype) or default


def _dtype(known: Known[Any]) -> Setting[Any]:
    value = known.value.name if isinstance(known.value, Symbol) else known.value
    short = DTYPES.get(str(value).removeprefix("torch."))
    if short is None:
        why = f"the dtype `{known.origin.detail}` is known only at run time; name it with --set param_dtype=…"
        return Unknown(why, known.origin)
    return Known(short, known.origin)


def _length(context: Context, arguments: trainer_arguments.Arguments, name: str) -> Setting[Any]:
    if name in _SAMPLING:
        return _prompt_and_completion(context, arguments, _SAMPLING[name])
    script, trainer = context.script, arguments.trainer
    direct = (script.argument(trainer, field) for field in ("max_seq_length", "max_length"))
    given = next((one for one in direct if one is not None), None)
    given = arguments.given("max_length", "max_seq_length") if given is None else given
    found = settled(given, "sequence_length") if given is not None else _default_length(arguments, name)
    if found is None:
        return arguments.opaque("the length")
    if isinstance(found, Known) and found.value is None:
        return _unlimited(context, name, found)
    return found


def _default_length(arguments: trainer_arguments.Arguments, name: str) -> Setting[Any] | None:
    fields = ("max_seq_length", "max_length") if name == "SFTTrainer" else ("max_length",)
    found = [one for field in fields if (one := arguments.field(field)) is not None]
    return next((one for one in found if not (isinstance(one, Known) and one.value is None)), None) or (
        found[0] if found else None
    )


def _unlimited(context: Context, name: str, found: Known[Any]) -> Setting[Any]:
    """Return what a trainer takes for no length: a limit of its own in old releases, none in new ones."""
    if name in _PREFERENCES:
        own = context.default("trl.trainer", "default_max_length")
    else:
        own = context.default("trl.SFTTrainer", "default_max_seq_length") if name == "SFTTrainer" else None
    if isinstance(own, Known) and own.value is not None:
        return own
    why = "max_length=None: the longest sample decides; name it with --set sequence_length=…"
    return Unknown(why, found.origin)


def _prompt_and_completion(
    context: Context, arguments: trainer_arguments.Arguments, field: str
) -> Setting[Any]:
    prompt, completion = arguments.field("max_prompt_length"), arguments.field(field)
    if prompt is None:
        prompt = context.script.argument(arguments.trainer, "max_prompt_length")
    if not isinstance(completion, Known) or not isinstance(completion.value, int):
        why = f"the completions' length ({field}) is not known; name it with --set sequence_length=…"
        return completion if isinstance(completion, Unknown) else Unknown(why)
    if isinstance(prompt, Known) and isinstance(prompt.value, int) and prompt.value > 0:
        origin = completion.origin if completion.origin.kind == "source" else prompt.origin
        total, said = (
            prompt.value + completion.value,
            f"prompt {prompt.value} + completion {completion.value}",
        )
        return Known(total, Origin(origin.kind, said, origin.span))
    low, expected, high = (completion.value + one for one in _PROMPTS)
    why = f"completions have up to {completion.value} tokens, but nothing bounds the prompts"
    return Unknown(f"{why}; name it with --set sequence_length=…", completion.origin, (low, expected, high))


def _loss(context: Context, arguments: trainer_arguments.Arguments, name: str) -> dict[str, Setting[Any]]:
    """Return "chunked" where TRL computes the loss in tiles without whole logits, and Liger's where it is on."""
    liger = arguments.field("use_liger_kernel", "use_liger", "use_liger_loss")
    if isinstance(liger, Known) and liger.value is True:
        return {"loss": Known("liger", liger.origin)}
    tiled = context.default("trl.SFTTrainer", "loss")
    if name not in _TILED_SINCE or not isinstance(tiled, Known):
        return {}
    given = arguments.given("loss_type") if name == "SFTTrainer" else None
    asked = isinstance(given, Known) and given.value == "chunked_nll"
    if asked:
        assert isinstance(given, Known)
        return {"loss": Known("chunked", given.origin)}
    whole = isinstance(given, Known) and given.value in {"nll", "dft"}
    if _always_tiles(tiled) or (name == "SFTTrainer" and tiled.value == "chunked_nll" and not whole):
        return {"loss": Known("chunked", tiled.origin)}
    return {}


def _always_tiles(tiled: Known[Any]) -> bool:
    """Return whether the release is one whose `nll` itself works in tiles, 1.16.0 and later."""
    return tiled.value == "nll" and "trl >=1.16.0" in tiled.origin.detail


def _is_adapted(context: Context, training: Training, lora: Setting[Any] | None) -> bool | None:
    """Return whether the trained model has adapters; None where that depends on the run."""
    passed = (
        name for one in traced(context.script, training.model) for step in one.through for name in step.names
    )
    if lora is None and any(name.endswith("get_peft_model") for name in passed):
        return True
    found = lora if lora is not None else peft.settings(context, training).get("lora")
    if isinstance(found, Known):
        return found.value is not None
    return None if found is not None else False


def _adapters(context: Context, training: Training, name: str) -> dict[str, Setting[Any]]:
    """Read `peft_config`, and what the trainer does to a quantized model that gets adapters."""
    assert training.trainer is not None
    given = context.script.argument(training.trainer, "peft_config")
    if given is None or (isinstance(given, Known) and given.value is None):
        return {}
    lora = lift(given, lambda known: peft.described(context, known)) or Unknown(
        "the PEFT config is known only at run time; name it with --set lora=…"
    )
    quantization = bitsandbytes.settings(context, training).get("quantization")
    is_quantized = isinstance(quantization, Known) and quantization.value is not None
    found: dict[str, Setting[Any]] = {"lora": lora}
    if not (is_quantized and isinstance(lora, Known) and isinstance(lora.value, dict)):
        return found
    assert isinstance(quantization, Known)
    prepares = context.default(f"trl.{name}", "prepares_for_kbit")
    if prepares is None or (isinstance(prepares, Known) and prepares.value is True):
        spec = {**quantization.value, "prepared_for_kbit": True}
        found["quantization"] = Known(spec, quantization.origin)
    dtype = context.default("trl.qlora", "adapter_dtype")
    if isinstance(dtype, Known) and dtype.value != "float32":
        found["lora"] = Known({**lora.value, "dtype": dtype.value}, lora.origin)
    return found
