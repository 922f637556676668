"""Unsloth: `FastLanguageModel.from_pretrained` and `get_peft_model`, with its own defaults, under any trainer.

Source: unsloth at commit 015bdef, `models/loader.py`, `models/llama.py`, `models/vision.py`; the defaults
stand in `knowledge/defaults/unsloth.json`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vramlint.facts.script import is_from, lift
from vramlint.facts.setting import Known, Origin, Setting, Unknown
from vramlint.facts.values import Element, Instance
from vramlint.frontends import peft
from vramlint.frontends.base import Context, Training, settled
from vramlint.frontends.dtypes import short_dtype
from vramlint.frontends.trace import traced

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vramlint.facts.names import Call

_LOADERS = {"FastLanguageModel", "FastVisionModel", "FastModel", "FastTextModel", "FastSentenceTransformer"}
_FAMILY = ("FastLlamaModel", "FastMistralModel", "FastGemmaModel", "FastQwen2Model")
_LAYERS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
_TEXT_ONLY = r"^(?!.*vis).*\.(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)$"
_SEES = {"FastVisionModel", "FastModel"}


def settings(context: Context, training: Training) -> Mapping[str, Setting[Any]]:
    """Read the loader's and the adapters' arguments where Unsloth made the trained model."""
    made = _made(context, training)
    if made is None:
        return {}
    full = context.script.argument(made, "full_finetuning")
    is_full = isinstance(full, Known) and full.value is True
    adapters = None if is_full else _adapters_call(context)
    found = {
        "model": _model(context, made),
        "param_dtype": _dtype(context, made),
        "quantization": _quantization(context, made, is_full=is_full),
        "sequence_length": _length(context, training, made),
        "lora": None if adapters is None else _adapters(context, adapters),
        "gradient_checkpointing": _checkpointing(context, adapters or made),
        "loss": _default(context, made, "chunked", "Unsloth computes the loss in chunks"),
        "generation": _generation(context, training, made),
    }
    return {key: value for key, value in found.items() if value is not None}


def _made(context: Context, training: Training) -> Instance | None:
    """Return the loader's call that the trained model begins with."""
    for one in traced(context.script, training.model):
        value = one.base.value.of if isinstance(one.base.value, Element) else one.base.value
        if isinstance(value, Instance) and value.call is not None and _class(value):
            return value
    return None


def _class(made: Instance) -> str:
    for name in made.names:
        parts = name.split(".")
        if (
            parts[0] == "unsloth"
            and parts[-1] == "from_pretrained"
            and (parts[-2] in _LOADERS or parts[-2] in _FAMILY)
        ):
            return parts[-2]
    return ""


def _default(context: Context, made: Instance, value: object, detail: str) -> Known[Any]:
    assert made.call is not None
    span = context.script.span(made.call, made.place)
    return Known(value, Origin("source", detail, span))


def _model(context: Context, made: Instance) -> Setting[Any]:
    given = settled(context.script.argument(made, "model_name", 0), "model")
    if given is None:
        return Unknown("the call does not say which model; name it with --set model=…")
    return lift(given, _named) or given


def _named(known: Known[Any]) -> Setting[Any]:
    if not isinstance(known.value, str):
        why = f"the model's name, {known.origin.detail}, is known only at run time"
        return Unknown(f"{why}; name it with --set model=…", known.origin)
    return Known({"id": known.value}, known.origin)


def _dtype(context: Context, made: Instance) -> Setting[Any]:
    """Return the dtype of what is not quantized: bfloat16 unless another is asked for."""
    given = context.script.argument(made, "dtype", 2)
    if given is None or (isinstance(given, Known) and given.value is None):
        origin = _default(context, made, None, "dtype=None: bfloat16 on GPUs that have it").origin
        return Known("bfloat16", Origin("framework-default", origin.detail, origin.span))
    return lift(given, _dtype_named) or given


def _dtype_named(known: Known[Any]) -> Setting[Any]:
    short = short_dtype(known.value)
    if short is None:
        return Unknown(f"the dtype `{known.origin.detail}` is known only at run time", known.origin)
    return Known(short, known.origin)


def _quantization(context: Context, made: Instance, *, is_full: bool) -> Setting[Any] | None:
    """Return 4-bit weights unless full fine-tuning, 8 or 16 bits are asked for."""
    for switch, kind in (("load_in_8bit", "int8"), ("load_in_fp8", "fp8")):
        given = context.script.argument(made, switch)
        if isinstance(given, Known) and given.value:
            return Known({"kind": kind}, given.origin)
    wide = context.script.argument(made, "load_in_16bit")
    four = context.script.argument(made, "load_in_4bit", 3)
    if is_full or (isinstance(wide, Known) and wide.value is True):
        return _default(context, made, None, "full fine-tuning and 16 bits are not quantized")
    if four is None:
        four = _default(
            context, made, _class(made) != "FastSentenceTransformer", "load_in_4bit is Unsloth's default"
        )
    spec = {"kind": "nf4", "double": True, "compute_dtype": "bfloat16", "prepared_for_kbit": False}
    return lift(
        four, lambda known: Known(spec if known.value else _stored(context, made, spec), known.origin)
    )


def _stored(context: Context, made: Instance, spec: dict[str, Any]) -> dict[str, Any] | None:
    """Return the quantization that a checkpoint has by itself, as its name says."""
    name = context.script.argument(made, "model_name", 0)
    quantized = isinstance(name, Known) and isinstance(name.value, str) and name.value.endswith("bnb-4bit")
    return spec if quantized else None


def _length(context: Context, training: Training, made: Instance) -> Setting[Any] | None:
    """Return `max_seq_length`, which stands in where the trainer is given no length of its own."""
    said = training.settings.get("sequence_length")
    own = isinstance(said, Known) and said.origin.kind not in {"framework-default", "assumed"}
    samples = "generation" in training.settings or (isinstance(said, Unknown) and said.bounds is not None)
    if own or samples or context.script.argument(made, "auto_model") is not None:
        return None
    given = settled(context.script.argument(made, "max_seq_length", 1), "sequence_length")
    if given is not None and not (isinstance(given, Known) and given.value is None):
        return given
    return _default(context, made, 2048, "max_seq_length=2048, Unsloth's default")


def _adapters_call(context: Context) -> Call | None:
    calls = context.script.calls("get_peft_model")
    ours = [call for call in calls if is_from(context.script.callee(call), {"unsloth"}, {"get_peft_model"})]
    return ours[0] if ours else None


def _adapters(context: Context, call: Call) -> Setting[Any]:
    origin = context.script.origin(call.node, call.place)
    spec: dict[str, Any] = {
        "kind": "lora",
        "r": 16,
        "dtype": "float32",
        "target_modules": _targets(context, call),
    }
    fields = {"r": ("r", 1), "lora_dropout": ("dropout", 4), "target_modules": ("target_modules", 2),
              "modules_to_save": ("modules_to_save", None)}  # fmt: skip
    for field, (key, position) in fields.items():
        value = peft.plain(context, context.script.argument(call, field, position))
        if isinstance(value, Unknown):
            return value
        if value is not None and not (key == "target_modules" and value == "all-linear"):
            spec[key] = value
    for switch, kind in (("use_dora", "dora"), ("use_rslora", "rslora")):
        given = context.script.argument(call, switch)
        if isinstance(given, Known) and given.value is True:
            spec["kind"] = kind
    return Known(spec, origin)


def _targets(context: Context, call: Call) -> Any:
    """Return what Unsloth adapts by default: seven linear layers, or all of a model that also sees."""
    names = context.script.callee(call)
    if not any(name.split(".")[-2] in _SEES for name in names if name.count(".")):
        return list(_LAYERS)
    vision = context.script.argument(call, "finetune_vision_layers")
    return _TEXT_ONLY if isinstance(vision, Known) and vision.value is False else "all-linear"


def _checkpointing(context: Context, made: Call | Instance) -> Setting[Any]:
    given = context.script.argument(made, "use_gradient_checkpointing")
    node, place = (made.node, made.place) if not isinstance(made, Instance) else (made.call, made.place)
    assert node is not None
    if given is None:
        return Known(
            {"use_reentrant": True, "offload": True},
            context.script.origin(node, place, 'use_gradient_checkpointing="unsloth" is the default'),
        )
    return lift(given, _kind_of_checkpointing) or given


def _kind_of_checkpointing(known: Known[Any]) -> Setting[Any]:
    if known.value == "unsloth":
        return Known({"use_reentrant": True, "offload": True}, known.origin)
    return Known({"use_reentrant": True} if known.value else None, known.origin)


def _generation(context: Context, training: Training, made: Instance) -> Setting[Any] | None:
    """Return vLLM beside the training where `fast_inference=True` samples inside the step."""
    fast = context.script.argument(made, "fast_inference")
    said = training.settings.get("generation")
    if not (isinstance(fast, Known) and fast.value is True and isinstance(said, Known)):
        return None
    share = context.script.argument(made, "gpu_memory_utilization")
    part = share.value if isinstance(share, Known) and isinstance(share.value, int | float) else 0.5
    return Known({**said.value, "engine": "vllm", "gpu_memory_utilization": float(part)}, fast.origin)
