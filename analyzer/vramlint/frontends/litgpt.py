"""LitGPT: its configuration files, and `GPT.from_name` and `Config.from_name` in scripts.

Source: litgpt 0.5.13, `finetune/`, `pretrain.py`, `config.py`; defaults stand in `knowledge/defaults/litgpt.json`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vramlint.facts.script import lift
from vramlint.facts.setting import Known, Setting, Unknown
from vramlint.facts.values import Instance
from vramlint.frontends import recipe
from vramlint.frontends.recipe import Fields, Recipe
from vramlint.frontends.trace import traced

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vramlint.frontends.base import Context, Training
    from vramlint.source.config_file import ConfigFile

_WHOLE = {"bf16-true": "bfloat16", "16-true": "float16", "32-true": "float32", "64-true": "float64"}
_MIXED = {"bf16-mixed": "bf16", "16-mixed": "fp16"}
_SWITCHES = {
    "lora_query": ["q_proj"],
    "lora_key": ["k_proj"],
    "lora_value": ["v_proj"],
    "lora_projection": ["o_proj"],
    "lora_mlp": ["gate_proj", "up_proj", "down_proj"],
    "lora_head": ["lm_head"],
}
_BITS = {
    "nf4": "nf4",
    "nf4-dq": "nf4",
    "fp4": "fp4",
    "fp4-dq": "fp4",
    "int8": "int8",
    "int8-training": "int8",
}
_ON_BY_DEFAULT = {"lora_query", "lora_value"}


def settings(context: Context, training: Training) -> Mapping[str, Setting[Any]]:
    """Read the model that `litgpt.GPT.from_name` or `GPT(Config.from_name(...))` makes."""
    for one in traced(context.script, training.model):
        made = one.base.value
        if not isinstance(made, Instance):
            continue
        if any(name.startswith("litgpt.") and name.endswith("GPT.from_name") for name in made.names):
            return _named(context.script.argument(made, "name", 0))
        if any(name.startswith(("litgpt.", "lit_gpt.")) and name.endswith(".GPT") for name in made.names):
            config = context.script.argument(made, "config", 0)
            inner = config.value if isinstance(config, Known) else None
            if isinstance(inner, Instance) and any(name.endswith("Config.from_name") for name in inner.names):
                return _named(context.script.argument(inner, "name", 0))
    return {}


def _named(setting: Setting[Any] | None) -> dict[str, Setting[Any]]:
    if setting is None:
        return {}
    found = lift(setting, _id)
    return {} if found is None else {"model": found}


def _id(known: Known[Any]) -> Setting[Any] | None:
    return Known({"id": known.value}, known.origin) if isinstance(known.value, str) else None


def recipe_of(context: Context, file: ConfigFile) -> Recipe | None:
    """Return the run of a LitGPT YAML: a checkpoint or model, and a `train` section."""
    if not file.has("train.micro_batch_size") or not (file.has("checkpoint_dir") or file.has("model_name")):
        return None
    fields = Fields(context, file, "litgpt")
    return Recipe("litgpt", ("litgpt",), fields.begin("checkpoint_dir"), _settings(fields))


def _settings(fields: Fields) -> dict[str, Setting[Any]]:
    found: dict[str, Setting[Any]] = {
        "model": _model(fields),
        "task": Known("causal-lm", fields.origin("train")),
        "micro_batch_size": fields.given("train.micro_batch_size") or fields.default(1, "micro_batch_size"),
        "gradient_accumulation_steps": _accumulation(fields),
        "optimizer": _optimizer(fields),
        "sequence_length": recipe.length(fields.given("train.max_seq_length"), "train.max_seq_length"),
        "gradient_checkpointing": fields.default(None, "one GPU does not checkpoint"),
        "loss": fields.default("chunked", "chunked_cross_entropy"),
        "lora": _lora(fields),
        "quantization": _quantization(fields),
        **_precision(fields),
    }
    size = fields.context.world_size
    if size is not None and size.value > 1:
        found["sharding"] = Known({"kind": "fsdp", "world_size": size.value}, size.origin)
        found["gradient_checkpointing"] = fields.default({"use_reentrant": False}, "FSDP checkpoints blocks")
    return found


def _model(fields: Fields) -> Setting[Any]:
    given = fields.given("checkpoint_dir", "model_name")
    if given is None or not isinstance(given.value, str):
        return Unknown(
            "the recipe names no checkpoint; name it with --set model=…", fields.origin("checkpoint_dir")
        )
    return Known({"id": given.value.removeprefix("checkpoints/").strip("/")}, given.origin)


def _accumulation(fields: Fields) -> Setting[Any]:
    """Return the batch over micro batch and GPUs: `global_batch_size // devices // micro_batch_size`."""
    whole, micro = fields.given("train.global_batch_size"), fields.value("train.micro_batch_size")
    devices = fields.context.world_size.value if fields.context.world_size else fields.value("devices") or 1
    if (
        whole is None
        or not isinstance(whole.value, int)
        or not isinstance(devices, int)
        or not isinstance(micro, int)
    ):
        return Unknown("the accumulation is the global batch over GPUs and micro batch; name it with --set")
    return Known(max(1, whole.value // devices // micro), whole.origin)


def _optimizer(fields: Fields) -> Setting[Any]:
    given = fields.given("optimizer.class_path") or fields.given("optimizer")
    if given is not None and isinstance(given.value, str):
        name = given.value if "." in given.value else f"torch.optim.{given.value}"
        return Known({"name": name}, given.origin)
    return fields.default({"name": "torch.optim.AdamW"}, "AdamW")


def _precision(fields: Fields) -> dict[str, Setting[Any]]:
    given = fields.field("precision")
    if not isinstance(given, Known):
        given = fields.default("bf16-mixed", "precision=bf16-mixed where the GPU has it")
    return {
        "param_dtype": Known(_WHOLE.get(given.value, "float32"), given.origin),
        "mixed_precision": Known(_MIXED.get(given.value, "no"), given.origin),
    }


def _lora(fields: Fields) -> Setting[Any]:
    rank = fields.given("lora_r")
    if rank is None:
        return fields.default(None, "no lora_r")
    targets = []
    for switch, names in _SWITCHES.items():
        given = fields.given(switch)
        if given.value if given is not None else switch in _ON_BY_DEFAULT:
            targets += names
    spec = {
        "kind": "lora",
        "r": rank.value,
        "target_modules": targets,
        "dropout": fields.value("lora_dropout") or 0.0,
    }
    return Known(spec, rank.origin)


def _quantization(fields: Fields) -> Setting[Any]:
    given = fields.given("quantize")
    if given is None or not isinstance(given.value, str):
        return fields.default(None, "quantize is not given")
    name = given.value.removeprefix("bnb.")
    kind = _BITS.get(name)
    if kind is None:
        return Unknown(
            f"the quantization {given.value!r} is not known; name it with --set quantization=…", given.origin
        )
    return Known({"kind": kind, "double": name.endswith("-dq"), "compute_dtype": "bfloat16"}, given.origin)
