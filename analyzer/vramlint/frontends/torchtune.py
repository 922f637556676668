"""torchtune: the YAML of `tune run RECIPE --config FILE`.

Source: torchtune at commit bd2a0fc, `recipes/` and `torchtune/models/`: parameters, gradients and states are in
the recipe's dtype, without autocast.
"""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING, Any

from vramlint.facts.setting import Known, Setting, Unknown
from vramlint.frontends import recipe
from vramlint.frontends.recipe import Fields, Recipe

if TYPE_CHECKING:
    from vramlint.facts.names import Scope
    from vramlint.frontends.base import Context
    from vramlint.source.config_file import ConfigFile

# The public checkpoint that a builder's name stands for; a model of the same shape.
_CHECKPOINTS = {
    "llama2_7b": "meta-llama/Llama-2-7b-hf",
    "llama2_13b": "meta-llama/Llama-2-13b-hf",
    "llama2_70b": "meta-llama/Llama-2-70b-hf",
    "code_llama2_7b": "codellama/CodeLlama-7b-hf",
    "llama3_8b": "meta-llama/Meta-Llama-3-8B",
    "llama3_70b": "meta-llama/Meta-Llama-3-70B",
    "llama3_1_8b": "meta-llama/Llama-3.1-8B",
    "llama3_1_70b": "meta-llama/Llama-3.1-70B",
    "llama3_1_405b": "meta-llama/Llama-3.1-405B",
    "llama3_2_1b": "meta-llama/Llama-3.2-1B",
    "llama3_2_3b": "meta-llama/Llama-3.2-3B",
    "llama3_3_70b": "meta-llama/Llama-3.3-70B-Instruct",
    "mistral_7b": "mistralai/Mistral-7B-v0.1",
    "gemma_2b": "google/gemma-2b",
    "gemma_7b": "google/gemma-7b",
    "gemma2_2b": "google/gemma-2-2b",
    "gemma2_9b": "google/gemma-2-9b",
    "gemma2_27b": "google/gemma-2-27b",
    "phi3_mini": "microsoft/Phi-3-mini-4k-instruct",
    "phi4_14b": "microsoft/phi-4",
}
_QWEN = re.compile(r"(qwen2|qwen2_5|qwen3)_(\d+(?:_\d+)?)b(_instruct|_base)?$")
_QWEN_NAMES = {"qwen2": "Qwen/Qwen2", "qwen2_5": "Qwen/Qwen2.5", "qwen3": "Qwen/Qwen3"}


def recipe_of(context: Context, file: ConfigFile) -> Recipe | None:
    """Return the run of a torchtune YAML: a model by its builder, a batch size and an optimizer."""
    if not file.has("model._component_", "batch_size") or not any(
        file.has(name) for name in ("optimizer", "optimizer._component_")
    ):
        return None
    fields = Fields(context, file, "torchtune")
    return Recipe("torchtune", ("torchtune",), fields.begin("model._component_"), _settings(fields))


_IN_THE_FILE = (
    "model", "param_dtype", "mixed_precision", "micro_batch_size", "sequence_length", "gradient_accumulation_steps",
    "optimizer", "gradient_checkpointing", "lora",
)  # fmt: skip


def command_of(context: Context, file: ConfigFile) -> Recipe | None:
    """Return the run of a recipe's script, of which a file that its command names says everything."""
    scope = _parsing(context)
    if scope is None or scope.place is None or scope.node is None:
        return None
    given = file.entry("config")
    named = f"{given.value!r}, which is not found here" if given is not None else "the file of --config"
    why = f"a recipe of torchtune's takes it from {named}; check that file, or give the command with --launch"
    unknown = Unknown(why, context.script.origin(scope.node, scope.place, "@config.parse"))
    span = context.script.span(scope.node, scope.place)
    return Recipe("torchtune", ("torchtune",), span, dict.fromkeys(_IN_THE_FILE, unknown))


def _parsing(context: Context) -> Scope | None:
    """Return the function that `torchtune.config.parse` gives its configuration."""
    if "torchtune" not in context.script.names.imports:
        return None
    for scopes in context.script.names.definitions.values():
        for scope in scopes:
            node = scope.node
            decorators = node.decorator_list if isinstance(node, ast.FunctionDef) else []
            if any(ast.unparse(one) in {"config.parse", "torchtune.config.parse"} for one in decorators):
                return scope
    return None


def _settings(fields: Fields) -> dict[str, Setting[Any]]:
    found: dict[str, Setting[Any]] = {
        "model": _model(fields),
        "task": Known(_task(fields), fields.origin("model._component_")),
        "param_dtype": recipe.dtype(fields.given("dtype"))
        or Unknown("dtype is not given; name it with --set"),
        "mixed_precision": Known("no", fields.origin("dtype")),
        "micro_batch_size": fields.given("batch_size")
        or Unknown("batch_size is not given; name it with --set"),
        "gradient_accumulation_steps": fields.given("gradient_accumulation_steps")
        or fields.default(1, "no accumulation"),
        "optimizer": _optimizer(fields),
        "sequence_length": recipe.length(fields.given("tokenizer.max_seq_len"), "tokenizer.max_seq_len"),
        "gradient_checkpointing": _checkpointing(fields),
        "lora": _lora(fields),
        "quantization": _quantization(fields),
        "compile": fields.on("compile") or fields.default(False, "compile is off"),  # noqa: FBT003  the setting's own value
        **_sharding(fields),
    }
    offload = fields.on("enable_activation_offloading")
    if offload is not None:
        found["activation_offload"] = offload
    loss = fields.given("loss._component_")
    if loss is not None and ("Chunked" in loss.value or "LinearCrossEntropy" in loss.value):
        found["loss"] = Known("chunked", loss.origin)
    return found


def _task(fields: Fields) -> str:
    loss = str(fields.value("loss._component_"))
    return "dpo" if "DPO" in loss or "rlhf" in loss else "causal-lm"


def _builder(fields: Fields) -> str:
    return str(fields.value("model._component_")).rpartition(".")[2]


def _model(fields: Fields) -> Setting[Any]:
    given = fields.given("model._component_")
    assert given is not None
    name = re.sub(r"^q?lora_", "", _builder(fields))
    found = _CHECKPOINTS.get(name)
    qwen = _QWEN.fullmatch(name)
    if qwen is not None:
        found = f"{_QWEN_NAMES[qwen[1]]}-{qwen[2].replace('_', '.')}B"
    if found is None:
        return Unknown(
            f"nobody knows the builder {given.value}; name the model with --set model=…", given.origin
        )
    return Known({"id": found}, given.origin)


def _optimizer(fields: Fields) -> Setting[Any]:
    given = fields.given("optimizer._component_")
    if given is None:
        return Unknown("the recipe names no optimizer; name it with --set optimizer=…")
    spec: dict[str, Any] = {"name": given.value}
    if fields.on("optimizer.fused"):
        spec["fused"] = True
    if fields.on("optimizer_in_bwd"):
        spec["in_backward"] = True
    return Known(spec, given.origin)


def _checkpointing(fields: Fields) -> Setting[Any]:
    on = fields.given("enable_activation_checkpointing")
    if on is None:
        return fields.default(None, "enable_activation_checkpointing is off")
    return Known({"use_reentrant": False} if on.value else None, on.origin)


def _lora(fields: Fields) -> Setting[Any]:
    """Return the adapters of a `lora_` or `qlora_` builder: they are in the recipe's dtype."""
    if not re.match(r"q?lora_", _builder(fields)):
        return fields.default(None, "the builder has no adapters")
    modules = fields.value("model.lora_attn_modules") or []
    switches = {"model.apply_lora_to_mlp": "mlp", "model.apply_lora_to_output": "output"}
    targets = [*modules, *(name for switch, name in switches.items() if fields.on(switch))]
    spec: dict[str, Any] = {
        "kind": "dora" if fields.on("model.use_dora") else "lora",
        "target_modules": targets,
    }
    spec["r"] = fields.value("model.lora_rank") or 8
    spec["dropout"] = fields.value("model.lora_dropout") or 0.0
    dtype = recipe.dtype(fields.given("dtype"))
    if isinstance(dtype, Known):
        spec["dtype"] = dtype.value
    return Known(spec, fields.origin("model._component_"))


def _quantization(fields: Fields) -> Setting[Any]:
    if not _builder(fields).startswith("qlora_") and not fields.on("model.quantize_base"):
        return fields.default(None, "the builder does not quantize")
    spec = {"kind": "nf4", "double": True, "compute_dtype": "bfloat16", "prepared_for_kbit": False}
    return Known(spec, fields.origin("model._component_"))


def _sharding(fields: Fields) -> dict[str, Setting[Any]]:
    """Return FSDP2, which every recipe for several GPUs uses, where the number of GPUs is given."""
    size = fields.context.world_size
    if size is None or size.value == 1:
        return {}
    return {"sharding": Known({"kind": "fsdp2", "world_size": size.value}, size.origin)}
