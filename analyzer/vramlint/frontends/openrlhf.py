"""OpenRLHF: the flags of `deepspeed --module openrlhf.cli.train_sft` and of its other trainers.

Source: OpenRLHF at commit 3c3be62 (0.11.0), `cli/train_*.py`, `models/actor.py` and `utils/deepspeed/`; the names
before 0.10 (`--pretrain`, `--micro_train_batch_size`) are read too. Defaults stand in
`knowledge/defaults/openrlhf.json`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from vramlint.facts.setting import Known, OneOf, Setting, Unknown, alternatives
from vramlint.frontends import recipe
from vramlint.frontends.recipe import Fields, Recipe
from vramlint.frontends.world import sharded

if TYPE_CHECKING:
    from vramlint.facts.setting import Origin
    from vramlint.frontends.base import Context
    from vramlint.source.config_file import ConfigFile

_COMMAND = re.compile(r"(?:^|\.)openrlhf\.cli\.train_(sft|dpo|rm|ppo|ppo_ray|kto|kd)$")
_TASKS = {"sft": "causal-lm", "dpo": "dpo", "rm": "reward", "ppo": "ppo", "ppo_ray": "ppo", "kto": "kto"}
_MODEL = ("model.model_name_or_path", "actor.model_name_or_path", "pretrain")
_MICRO = ("train.micro_batch_size", "micro_train_batch_size")
_WHOLE = ("train.batch_size", "train_batch_size")
_LENGTH = ("data.max_len", "max_len")
_CHECKPOINTING = (
    "model.gradient_checkpointing_enable",
    "actor.gradient_checkpointing_enable",
    "gradient_checkpointing",
)
_REENTRANT = (
    "model.gradient_checkpointing_reentrant",
    "actor.gradient_checkpointing_reentrant",
    "gradient_checkpointing_use_reentrant",
)
_REFERENCE = ("ref.model_name_or_path", "ref_pretrain")
# What DeepSpeed builds of its configuration with the type AdamW (runtime/engine.py, `_configure_basic_optimizer`).
_OPTIMIZERS = {"adam": "deepspeed.ops.adam.FusedAdam", "muon": "muon"}


def command_of(context: Context, file: ConfigFile) -> Recipe | None:
    """Return the run of one of OpenRLHF's trainers."""
    started = _COMMAND.search(file.command)
    task = _TASKS.get(started[1]) if started is not None else None
    if started is None or task is None:
        return None
    trainer = started[1].removesuffix("_ray")
    fields = Fields(context, file, "openrlhf")
    return Recipe("deepspeed", ("openrlhf", "deepspeed"), fields.top(), _settings(fields, trainer, task))


def _settings(fields: Fields, trainer: str, task: str) -> dict[str, Setting[Any]]:
    sharding = _sharding(fields, trainer)
    dtype = _dtype(fields)
    found: dict[str, Setting[Any]] = {
        "model": _model(fields),
        "task": fields.default(task, f"train_{trainer}"),
        "param_dtype": dtype,
        "mixed_precision": _mixed(dtype),
        "micro_batch_size": _field(fields, _MICRO, f"{trainer}.micro_batch_size"),
        "sequence_length": _length(fields, trainer),
        "gradient_accumulation_steps": _accumulated(fields, trainer, sharding),
        "optimizer": _optimizer(fields),
        "gradient_checkpointing": _checkpointing(fields),
        "lora": _lora(fields),
        "quantization": _quantization(fields),
        "attention": _attention(fields),
        "sharding": sharding,
        "extra_models": _beside(fields, trainer),
    }
    liger = fields.on("ds.use_liger_kernel") or fields.on("use_liger_kernel")
    return found | ({"loss": Known("liger", liger.origin)} if liger is not None else {})


def _field(fields: Fields, names: tuple[str, ...], default: str) -> Setting[Any]:
    """Return a flag by one of its names, else the trainer's default."""
    given = fields.given(*names)
    found = given if given is not None else fields.context.default("openrlhf", default)
    return found if found is not None else Unknown(f"--{names[0]} is not given; name it with --launch")


def _model(fields: Fields) -> Setting[Any]:
    if fields.given(*_MODEL) is None:
        why = f"comes from --{_MODEL[0]}, which has no default; name it with --set model=… or --launch"
        return Unknown(why, fields.origin(_MODEL[0]))
    return recipe.model(fields, *_MODEL)


def _dtype(fields: Fields) -> Setting[Any]:
    """Return the dtype of the weights; `--bf16` of the older releases is what `--ds.param_dtype` is now."""
    on = fields.on("bf16")
    given = on and Known("bf16", on.origin)
    return recipe.dtype(given or fields.given("ds.param_dtype", "param_dtype")) or fields.default(
        "bfloat16", "--ds.param_dtype bf16"
    )


def _mixed(dtype: Setting[Any]) -> Setting[Any]:
    """Return the precision that DeepSpeed's bf16 or fp16 section switches on."""
    if not isinstance(dtype, Known):
        return dtype
    return Known({"bfloat16": "bf16", "float16": "fp16"}.get(dtype.value, "no"), dtype.origin)


def _length(fields: Fields, trainer: str) -> Setting[Any]:
    prompt, answer = fields.given("prompt_max_len"), fields.given("generate_max_len")
    if trainer == "ppo" and prompt is not None and answer is not None:
        return Known(prompt.value + answer.value, answer.origin)
    return _field(fields, _LENGTH, f"{trainer}.max_len")


def _accumulated(fields: Fields, trainer: str, sharding: Setting[Any]) -> Setting[Any]:
    """Return how many micro batches make the batch of all GPUs (`accumulated_gradient` of the strategy)."""
    micro = _field(fields, _MICRO, f"{trainer}.micro_batch_size")
    whole = _field(fields, _WHOLE, "batch_size")
    ring = fields.value("ds.ring_attn_size", "ring_attn_size") or 1
    sides = [known.value for known in (micro, whole) if isinstance(known, Known)]
    if len(sides) < 2 or not all(isinstance(one, int) and one > 0 for one in (*sides, ring)):  # noqa: PLR2004  both
        return Unknown("the batch of all GPUs over the micro batch; name it with --launch")
    sizes = [value["world_size"] for value in alternatives(sharding)]
    origin = whole.origin if isinstance(whole, Known) else fields.origin(_WHOLE[0])
    known = tuple(
        Known(steps, origin)
        for steps in dict.fromkeys(sides[1] * ring // sides[0] // size for size in sizes)
        if steps > 0
    )
    if len(known) == 1:
        return known[0]
    why = f"{sides[1]} samples a step over micro batches of {sides[0]} on every GPU; say how many with --world-size"
    return OneOf(known, why) if known else Unknown(why, origin)


def _optimizer(fields: Fields) -> Setting[Any]:
    given = _field(fields, ("optim", "actor.optim"), "optim")
    if not isinstance(given, Known) or given.value not in _OPTIMIZERS:
        return given
    return Known({"name": _OPTIMIZERS[given.value]}, given.origin)


def _checkpointing(fields: Fields) -> Setting[Any]:
    on = next((one for name in _CHECKPOINTING if (one := fields.on(name)) is not None), None)
    if on is None:
        given = fields.given(*_CHECKPOINTING)
        return Known(None, given.origin) if given else fields.default(None, f"--{_CHECKPOINTING[0]} is off")
    return Known({"use_reentrant": fields.value(*_REENTRANT) is True}, on.origin)


def _lora(fields: Fields) -> Setting[Any]:
    rank = fields.given("ds.lora.rank", "lora_rank")
    if rank is None or not rank.value:
        return Known(None, rank.origin) if rank else fields.default(None, "--ds.lora.rank 0")
    targets = fields.value("ds.lora.target_modules", "target_modules") or "all-linear"
    if targets != "all-linear":
        targets = recipe.names_of_modules(targets)
    dropout = fields.value("ds.lora.dropout", "lora_dropout") or 0.0
    return Known(
        {"kind": "lora", "r": rank.value, "target_modules": targets, "dropout": dropout}, rank.origin
    )


def _quantization(fields: Fields) -> Setting[Any]:
    """Return the NF4 of `--load_in_4bit`, with which nothing prepares the model for it."""
    on = fields.on("ds.load_in_4bit") or fields.on("load_in_4bit")
    if on is None:
        return fields.default(None, "--ds.load_in_4bit is off")
    spec = {"kind": "nf4", "double": True, "compute_dtype": "bfloat16", "prepared_for_kbit": False}
    return Known(spec, on.origin)


def _attention(fields: Fields) -> Setting[Any]:
    flash = fields.on("flash_attn")
    if flash is not None:
        return Known("flash_attention_2", flash.origin)
    return _field(fields, ("ds.attn_implementation", "attn_implementation"), "attn_implementation")


def _sharding(fields: Fields, trainer: str) -> Setting[Any]:
    """Return ZeRO's stage; of PPO the actor's own GPUs share its states."""
    stage = _field(fields, ("ds.zero_stage", "zero_stage"), "zero_stage")
    if not isinstance(stage, Known):
        return stage
    spec: dict[str, Any] = {"kind": f"zero{stage.value}" if stage.value in {1, 2, 3} else "ddp"}
    if fields.on("ds.adam_offload") or fields.on("adam_offload"):
        spec["offload_optimizer"] = "cpu"
    for flag, part in (
        ("ds.tensor_parallel_size", "tensor_parallel"),
        ("ds.ring_attn_size", "context_parallel"),
    ):
        size = fields.value(flag, flag.removeprefix("ds."))
        spec |= {part: size} if isinstance(size, int) and size > 1 else {}
    own = _own_gpus(fields) if trainer == "ppo" else None
    return (
        Known({**spec, "world_size": own}, stage.origin)
        if own
        else sharded(fields.context, spec, stage.origin)
    )


def _own_gpus(fields: Fields) -> int | None:
    count = fields.value("actor.num_gpus_per_node", "actor_num_gpus_per_node")
    nodes = fields.value("actor.num_nodes", "actor_num_nodes") or 1
    return count * nodes if isinstance(count, int) and isinstance(nodes, int) else None


def _beside(fields: Fields, trainer: str) -> Setting[Any]:
    """Return the models on the trained one's GPUs: DPO's reference; of PPO all that are placed together."""
    if trainer in {"sft", "rm"}:
        return fields.default([], f"train_{trainer} keeps no other model")
    if trainer == "dpo":
        return Known([_reference(fields)], _place(fields, _REFERENCE))
    together = fields.on("train.colocate_all") or fields.on("colocate_all_models")
    if together is None:
        return fields.default([], "the other models have GPUs of their own")
    found = [_reference(fields)] if _field_value(fields, "algo.kl.init_coef", "init_kl_coef") != 0 else []
    reward = fields.value("reward.model_name_or_path", "reward_pretrain")
    found += (
        [{"role": "reward", "model": {"id": reward}, "device": "cuda"}] if isinstance(reward, str) else []
    )
    estimator = fields.value("algo.advantage.estimator", "advantage_estimator")
    found += [{"role": "value", "model": None, "device": "cuda"}] if estimator in {None, "gae"} else []
    return Known(found, together.origin)


def _field_value(fields: Fields, *names: str) -> Any:
    given = fields.given(*names)
    return None if given is None else given.value


def _place(fields: Fields, names: tuple[str, ...]) -> Origin:
    given = fields.given(*names)
    return given.origin if given is not None else fields.default(None, "train_dpo keeps a reference").origin


def _reference(fields: Fields) -> dict[str, Any]:
    named = fields.value(*_REFERENCE)
    offloads = fields.on("ref.offload") or fields.on("ref_offload")
    model = {"id": named} if isinstance(named, str) else None
    return {"role": "reference", "model": model, "device": "cpu" if offloads else "cuda"}
