"""verl: the overrides of `python -m verl.trainer.main_ppo actor_rollout_ref.model.path=…` and of its SFT trainer.

Source: verl 0.7, `trainer/config/` and `workers/fsdp_workers.py`. What `param_offload` and `optimizer_offload`
move away between updates is on the GPU during one, so that neither changes the peak of an update.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

from vramlint.facts.setting import Known, Setting, Unknown
from vramlint.frontends import recipe
from vramlint.frontends.recipe import Fields, Recipe
from vramlint.frontends.world import sharded

if TYPE_CHECKING:
    from vramlint.frontends.base import Context
    from vramlint.source.config_file import ConfigFile

_ACTOR = "actor_rollout_ref.actor"
_ROLLOUT = "actor_rollout_ref.rollout"
_MODEL = "actor_rollout_ref.model"
_SFT_MODEL = ("model.partial_pretrain", "model.path")
# Defaults of trainer/config: trainer, data, actor.
_GPUS, _PROMPT, _ANSWER, _MINI = 8, 512, 512, 256
_SFT_LENGTH, _SFT_MICRO, _SFT_BATCH = 1024, 4, 256
_SHARE = 0.5  # rollout.gpu_memory_utilization


def command_of(context: Context, file: ConfigFile) -> Recipe | None:
    """Return the run of a command with the overrides of verl's trainers, or of a recipe built on them."""
    fields = Fields(context, file, "verl")
    if fields.given(f"{_MODEL}.path") is not None:
        task = "ppo" if fields.value("algorithm.adv_estimator") in {None, "gae"} else "grpo"
        settings = _reinforced(fields, task)
        return Recipe(_framework(fields), ("verl",), fields.begin(f"{_MODEL}.path"), settings)
    if "verl.trainer" in file.command and fields.given(*_SFT_MODEL) is not None:
        return Recipe("fsdp", ("verl",), fields.begin(_SFT_MODEL[0]), _supervised(fields))
    return None


def _framework(fields: Fields) -> str:
    return "megatron" if _is_megatron(fields) else "fsdp"


def _is_megatron(fields: Fields) -> bool:
    named = str(fields.value("config_name"))
    return "megatron" in named or fields.value(f"{_ACTOR}.strategy") == "megatron"


def _reinforced(fields: Fields, task: str) -> dict[str, Setting[Any]]:
    """Return the settings of the policy's update, the phase in which its states are on the GPU."""
    lora = _lora(fields, _MODEL)
    found: dict[str, Setting[Any]] = {
        "model": recipe.model(fields, f"{_MODEL}.path"),
        "task": Known(task, fields.origin("algorithm.adv_estimator")),
        **_precision(fields, f"{_ACTOR}.fsdp_config.model_dtype"),
        "micro_batch_size": _micro(fields),
        "sequence_length": _length(fields),
        "gradient_accumulation_steps": _accumulated(fields),
        "optimizer": _optimizer(fields, f"{_ACTOR}.optim"),
        "gradient_checkpointing": _recomputed(fields),
        "attention": fields.given(f"{_MODEL}.override_config.attn_implementation")
        or fields.default("flash_attention_2", "workers load with flash_attention_2"),
        "lora": lora,
        "sharding": _sharding(fields),
        "extra_models": _beside(fields, task, lora),
        "generation": _generation(fields),
    }
    liger = fields.on(f"{_MODEL}.use_liger")
    return found | ({"loss": Known("liger", liger.origin)} if liger is not None else {})


def _supervised(fields: Fields) -> dict[str, Setting[Any]]:
    micro = fields.given("data.micro_batch_size_per_gpu", "data.micro_batch_size")
    return {
        "model": recipe.model(fields, *_SFT_MODEL),
        "task": fields.default("causal-lm", "the SFT trainer"),
        **_precision(fields, "model.fsdp_config.model_dtype"),
        "micro_batch_size": micro
        or fields.default(_SFT_MICRO, f"data.micro_batch_size_per_gpu: {_SFT_MICRO}"),
        "sequence_length": fields.given("data.max_length")
        or fields.default(_SFT_LENGTH, f"data.max_length: {_SFT_LENGTH}"),
        "gradient_accumulation_steps": _sft_accumulated(fields, _plain(micro, _SFT_MICRO)),
        "optimizer": _optimizer(fields, "optim"),
        "gradient_checkpointing": _checkpointing(fields, "model.enable_gradient_checkpointing"),
        "attention": fields.default("flash_attention_2", "the trainer loads with flash_attention_2"),
        "lora": _lora(fields, "model"),
        "sharding": _sft_sharding(fields),
    }


def _precision(fields: Fields, name: str) -> dict[str, Setting[Any]]:
    """Return the dtype of the shards; FSDP computes in bfloat16, Megatron's weights are in it."""
    if _is_megatron(fields):
        return {
            "param_dtype": fields.default("bfloat16", "megatron.dtype: bfloat16"),
            "mixed_precision": fields.default("bf16", "megatron.dtype: bfloat16"),
        }
    given = recipe.dtype(fields.given(name))
    return {
        "param_dtype": given or fields.default("float32", "fsdp_config.model_dtype: fp32"),
        "mixed_precision": fields.default("bf16", "FSDP's mixed precision"),
    }


def _plain(given: Known[Any] | None, default: int) -> int | None:
    if given is None:
        return default
    return given.value if isinstance(given.value, int) and given.value > 0 else None


def _number(fields: Fields, name: str, default: int) -> int | None:
    """Return a whole number, its default where it is not given, None where only a run knows it."""
    return _plain(fields.given(name), default)


def _micro(fields: Fields) -> Setting[Any]:
    dynamic = fields.on(f"{_ACTOR}.use_dynamic_bsz")
    if dynamic is not None:
        tokens = _number(fields, f"{_ACTOR}.ppo_max_token_len_per_gpu", 16384)
        why = f"use_dynamic_bsz packs samples up to {tokens} tokens a GPU"
        return Unknown(f"{why}; name them with --set micro_batch_size=…", dynamic.origin)
    given = fields.given(f"{_ACTOR}.ppo_micro_batch_size_per_gpu")
    if given is not None:
        return given
    whole, gpus = fields.given(f"{_ACTOR}.ppo_micro_batch_size"), _world(fields)
    if whole is not None and gpus and isinstance(whole.value, int):
        return Known(max(whole.value // gpus, 1), whole.origin)
    return Unknown(
        f"{_ACTOR}.ppo_micro_batch_size_per_gpu is not given; name it with --set micro_batch_size=…"
    )


def _length(fields: Fields) -> Setting[Any]:
    prompt = _number(fields, "data.max_prompt_length", _PROMPT)
    answer = _number(fields, "data.max_response_length", _ANSWER)
    if prompt is None or answer is None:
        return Unknown(
            "the longest prompt and answer are the shell's to say; name them with --set sequence_length=…"
        )
    return Known(prompt + answer, fields.origin("data.max_response_length"))


def _world(fields: Fields) -> int | None:
    said = fields.context.world_size
    gpus, nodes = _number(fields, "trainer.n_gpus_per_node", _GPUS), _number(fields, "trainer.nnodes", 1)
    if said is not None and said.origin.kind == "override":
        return said.value
    return gpus * nodes if gpus and nodes else None


def _accumulated(fields: Fields) -> Setting[Any]:
    """Return the micro batches of an update: a mini batch counts prompts, each with `rollout.n` answers."""
    micro, gpus = _micro(fields), _world(fields)
    mini, each = _number(fields, f"{_ACTOR}.ppo_mini_batch_size", _MINI), _number(fields, f"{_ROLLOUT}.n", 1)
    split = _number(fields, f"{_ACTOR}.ulysses_sequence_parallel_size", 1)
    if _is_megatron(fields):
        split = prod(_model_parallel(fields).values())
    if not (
        isinstance(micro, Known)
        and isinstance(micro.value, int)
        and micro.value > 0
        and gpus
        and mini
        and each
    ):
        return Unknown("ppo_mini_batch_size over the micro batch and the GPUs; name it with --launch")
    steps = mini * each // max(gpus // (split or 1), 1) // micro.value
    return Known(max(steps, 1), fields.origin(f"{_ACTOR}.ppo_mini_batch_size"))


def _sft_accumulated(fields: Fields, micro: int | None) -> Setting[Any]:
    whole, size = _number(fields, "data.train_batch_size", _SFT_BATCH), fields.context.world_size
    if whole is None or micro is None or size is None:
        return Unknown("data.train_batch_size over the micro batch and the GPUs; name them with --world-size")
    return Known(max(whole // size.value // micro, 1), fields.origin("data.train_batch_size"))


def _optimizer(fields: Fields, section: str) -> Setting[Any]:
    name = fields.given(f"{section}.optimizer")
    if name is None:
        return fields.default({"name": "torch.optim.AdamW"}, "optim.optimizer: AdamW")
    package = fields.value(f"{section}.optimizer_impl") or "torch.optim"
    return Known({"name": f"{package}.{name.value}"}, name.origin)


def _checkpointing(fields: Fields, name: str) -> Setting[Any]:
    given = fields.given(name)
    if given is None:
        return fields.default({"use_reentrant": False}, "enable_gradient_checkpointing: True")
    return Known({"use_reentrant": False} if given.value is True else None, given.origin)


def _recomputed(fields: Fields) -> Setting[Any]:
    """Return what the policy recomputes: Megatron by its own switch."""
    if not _is_megatron(fields):
        return _checkpointing(fields, f"{_MODEL}.enable_gradient_checkpointing")
    given = fields.given(f"{_ACTOR}.megatron.override_transformer_config.recompute_granularity")
    if given is None:
        return fields.default(None, "recompute_granularity is not given")
    return Known(
        {"use_reentrant": True} if given.value == "full" else {"selective": "attention"}, given.origin
    )


def _lora(fields: Fields, section: str) -> Setting[Any]:
    rank = fields.given(f"{section}.lora_rank")
    if rank is None or rank.value == 0:
        return Known(None, rank.origin) if rank else fields.default(None, "lora_rank: 0")
    if not isinstance(rank.value, int):
        return Unknown(f"{rank.origin.detail} is the shell's to say; name it with --set lora=…", rank.origin)
    targets = fields.value(f"{section}.target_modules") or "all-linear"
    modules = targets if targets == "all-linear" else recipe.names_of_modules(targets)
    return Known({"kind": "lora", "r": rank.value, "dropout": 0.0, "target_modules": modules}, rank.origin)


def _sharding(fields: Fields) -> Setting[Any]:
    gpus = _world(fields)
    origin = fields.origin("trainer.n_gpus_per_node")
    if gpus is None:
        return Unknown("trainer.n_gpus_per_node is the shell's to say; name it with --world-size", origin)
    if _is_megatron(fields):
        return Known({"kind": "zero1", **_model_parallel(fields), "world_size": gpus}, origin)
    strategy = fields.value(f"{_ACTOR}.strategy") or "fsdp"
    spec: dict[str, Any] = {"kind": "fsdp2" if strategy == "fsdp2" else "fsdp", "world_size": gpus}
    if fields.on(f"{_ACTOR}.fsdp_config.offload_policy"):
        spec |= {"offload_param": "cpu", "offload_optimizer": "cpu"}
    return Known(spec, origin) if gpus > 1 else Known(None, origin)


def _model_parallel(fields: Fields) -> dict[str, int]:
    """Return over how many GPUs Megatron divides a copy of the model, by the names of the plan."""
    named = {
        name: fields.value(f"{_ACTOR}.megatron.{name}_model_parallel_size") for name in ("tensor", "pipeline")
    }
    named["context"] = fields.value(f"{_ACTOR}.megatron.context_parallel_size")
    return {f"{name}_parallel": size for name, size in named.items() if isinstance(size, int) and size > 1}


def _sft_sharding(fields: Fields) -> Setting[Any]:
    size = fields.context.world_size
    if size is not None and size.value == 1:
        return Known(None, size.origin)
    kind = "fsdp" if fields.value("model.strategy") == "fsdp" else "fsdp2"
    return sharded(fields.context, {"kind": kind}, fields.origin("model.strategy"))


def _beside(fields: Fields, task: str, lora: Setting[Any]) -> Setting[Any]:
    """Return the reference of the KL term, and PPO's value model; the rollout engine sleeps in an update."""
    adapted = isinstance(lora, Known) and lora.value is not None
    kl = fields.on(f"{_ACTOR}.use_kl_loss") or fields.on("algorithm.use_kl_in_reward")
    away = fields.on("actor_rollout_ref.ref.fsdp_config.param_offload") is not None
    found: list[dict[str, Any]] = []
    if kl is not None and not adapted:
        found.append({"role": "reference", "model": None, "device": "cpu" if away else "cuda"})
    if task == "ppo":
        path = fields.value("critic.model.path")
        model = {"id": path} if isinstance(path, str) and "$" not in path else None
        found.append({"role": "value", "model": model, "device": "cuda"})
    return Known(found, kl.origin if kl is not None else fields.origin("algorithm.adv_estimator"))


def _generation(fields: Fields) -> Setting[Any]:
    engine = fields.value(f"{_ROLLOUT}.name")
    share = fields.value(f"{_ROLLOUT}.gpu_memory_utilization")
    prompt, answer = (
        _number(fields, "data.max_prompt_length", _PROMPT),
        _number(fields, "data.max_response_length", _ANSWER),
    )
    if engine != "vllm" or prompt is None or answer is None:
        return Unknown("how answers are generated is not read; describe it with --set generation=…")
    spec = {"prompt_length": prompt, "new_tokens": answer, "engine": "vllm"}
    spec["gpu_memory_utilization"] = share if isinstance(share, float) else _SHARE
    return Known(spec, fields.origin(f"{_ROLLOUT}.name"))
