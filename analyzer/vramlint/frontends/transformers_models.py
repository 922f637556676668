"""Models made by transformers: `from_pretrained`, `from_config`, a class called with a config."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from vramlint.facts.script import lift
from vramlint.facts.setting import Known, OneOf, Origin, Setting, Unknown
from vramlint.facts.values import Class, Element, Instance, Symbol, is_scalar
from vramlint.frontends import bitsandbytes
from vramlint.frontends.base import Context, Training, settled
from vramlint.frontends.dtypes import DTYPES
from vramlint.frontends.trace import Traced, traced

if TYPE_CHECKING:
    from collections.abc import Mapping

# Model types whose name is not that of the config class in lower case. Source: transformers
# 5.23.0, `models/auto/configuration_auto.py`, CONFIG_MAPPING_NAMES.
_MODEL_TYPES = {
    "GPTNeoX": "gpt_neox",
    "GPTNeo": "gpt_neo",
    "GPTBigCode": "gpt_bigcode",
    "DebertaV2": "deberta-v2",
    "XLMRoberta": "xlm-roberta",
    "XLMRobertaXL": "xlm-roberta-xl",
    "Qwen2Moe": "qwen2_moe",
    "Qwen3Moe": "qwen3_moe",
    "Qwen2VL": "qwen2_vl",
    "OpenAIGPT": "openai-gpt",
    "BlenderbotSmall": "blenderbot-small",
    "DeepseekV2": "deepseek_v2",
    "DeepseekV3": "deepseek_v3",
    "VisionEncoderDecoder": "vision-encoder-decoder",
    "EncoderDecoder": "encoder-decoder",
    "SpeechEncoderDecoder": "speech-encoder-decoder",
    "Wav2Vec2Conformer": "wav2vec2-conformer",
    "LlavaNext": "llava_next",
    "MegatronBert": "megatron-bert",
    "Gemma3Text": "gemma3_text",
    "Mamba": "mamba",
    "GPTJ": "gptj",
    "TransfoXL": "transfo-xl",
}
_TASKS = (
    ("ForCausalLM", "causal-lm"),
    ("LMHeadModel", "causal-lm"),
    ("ForSequenceClassification", "sequence-classification"),
    ("ForTokenClassification", "token-classification"),
    ("ForQuestionAnswering", "question-answering"),
    ("ForMaskedLM", "masked-lm"),
    ("ForPreTraining", "pretraining"),
    ("ForMultipleChoice", "multiple-choice"),
    ("ForSpeechSeq2Seq", "speech-seq2seq"),
    ("WhisperForConditionalGeneration", "speech-seq2seq"),
    ("ForSeq2SeqLM", "seq2seq-lm"),
    ("ForImageClassification", "image-classification"),
    ("ForVision2Seq", "image-text-to-text"),
    ("ForImageTextToText", "image-text-to-text"),
    ("VisionText2Text", "image-text-to-text"),
    ("BlipForConditionalGeneration", "image-text-to-text"),
    ("ForConditionalGeneration", "seq2seq-lm"),
    ("ForCTC", "ctc"),
    ("ForObjectDetection", "object-detection"),
    ("ForSemanticSegmentation", "semantic-segmentation"),
    ("ForAudioClassification", "audio-classification"),
)
_NAME_IT = "name the model with --set model=… or --launch"
ATTENTION = {"sdpa", "eager", "flash_attention_2", "flash_attention_3", "flex_attention"}
# Liger's auto class is that of transformers with its kernels put in.
_TRANSFORMERS = {"transformers", "liger_kernel"}


def settings(context: Context, training: Training) -> Mapping[str, Setting[Any]]:
    """Read the model, its task and labels, dtype, attention and quantization."""
    beginnings = [one for one in traced(context.script, training.model) if is_ours(one)]
    if not beginnings:
        return {}
    reason = "the model differs between branches"
    keys = {
        "model": _model, "task": _task, "num_labels": _labels, "param_dtype": _dtype, "attention": _attention,
    }  # fmt: skip
    found: dict[str, Setting[Any]] = {}
    for key, read in keys.items():
        values = [read(context, one) for one in beginnings]
        joined = context.script.evaluator.joined([value for value in values if value is not None], reason)
        if any(value is not None for value in values):
            found[key] = joined
    return found


def model_and_dtype(context: Context, one: Traced) -> tuple[Setting[Any], Setting[Any] | None]:
    """Return the model that one beginning stands for, and the dtype it is in; None where nothing says."""
    return _model(context, one) or _unsaid(one), _dtype(context, one)


def is_ours(one: Traced) -> bool:
    """Return whether transformers made a model."""
    made = one.base.value
    return isinstance(made, Instance) and _maker(made) is not None


def _maker(made: Instance) -> str | None:
    """Return the transformers class that made a model, with its class method, or None."""
    for name in made.names:
        head, _, rest = name.partition(".")
        if head in _TRANSFORMERS and _is_model_class(rest) and not _is_own(made, rest):
            return name
    return None


def _is_own(made: Instance, name: str) -> bool:
    """Return whether a class of the program takes only loading and saving from transformers' bases."""
    return isinstance(made.local, Class) and name.rpartition(".")[2].endswith("PreTrainedModel")


def _is_model_class(name: str) -> bool:
    parts = name.split(".")
    last = (
        parts[-2]
        if parts[-1] in {"from_pretrained", "from_config", "_from_config"} and len(parts) > 1
        else parts[-1]
    )
    is_model = "Model" in last or bool(re.search(r"For[A-Z]", last))
    return is_model and not re.search(
        r"(Config|Tokenizer|Processor|Extractor|Output|Trainer|Arguments)$", last
    )


def _class(made: Instance) -> str:
    parts = (_maker(made) or "").split(".")
    return parts[-2] if parts[-1] in {"from_pretrained", "from_config", "_from_config"} else parts[-1]


def _way(made: Instance) -> str:
    last = (_maker(made) or "").rpartition(".")[2]
    return last.lstrip("_") if last in {"from_pretrained", "from_config", "_from_config"} else "constructor"


def _model(context: Context, one: Traced) -> Setting[Any] | None:
    made = one.base.value
    if _way(made) == "from_pretrained":
        name = context.script.argument(made, "pretrained_model_name_or_path", 0)
        return lift(settled(name, "model") or _unsaid(one), lambda known: _of_class(_named(known), made))
    config = context.script.argument(made, "config", 0)
    if config is None:
        return Unknown("the model's config is not given in this file", one.base.origin)
    return lift(config, lambda known: config_of(context, known, _class(made)))


def _of_class(setting: Setting[Any], made: Instance) -> Setting[Any]:
    """Add the name of the program's own class that loads the weights of a public model."""
    owner = made.receiver.value if isinstance(made.receiver, Known) else None
    if not (isinstance(owner, Class) and isinstance(setting, Known)):
        return setting
    return Known({**setting.value, "class": owner.node.name}, setting.origin)


def _unsaid(one: Traced) -> Unknown:
    return Unknown("the call does not say which model", one.base.origin)


def _named(known: Known[Any]) -> Setting[Any]:
    if not isinstance(known.value, str):
        return Unknown(f"the model's name, {known.origin.detail}, is known only at run time", known.origin)
    return Known({"id": known.value}, known.origin)


def config_of(context: Context, known: Known[Any], class_name: str) -> Setting[Any]:
    """Return the model that a config object describes."""
    made = known.value
    if not isinstance(made, Instance):
        return Unknown(
            f"the config `{known.origin.detail}` is known only at run time; {_NAME_IT}", known.origin
        )
    name = next((name for name in made.names if name.partition(".")[0] in _TRANSFORMERS), "")
    if name.endswith(".from_pretrained"):
        pretrained = context.script.argument(made, "pretrained_model_name_or_path", 0)
        changes = _fields(context, made, skip={"pretrained_model_name_or_path"})
        return lift(
            settled(pretrained, "model") or Unknown("the config has no name", known.origin),
            lambda one: _changed(one, changes),
        ) or Unknown("the config has no name", known.origin)
    last = name.rpartition(".")[2]
    if not last.endswith("Config") or last in {"AutoConfig", "PretrainedConfig"}:
        return Unknown(f"the config of {class_name} is known only at run time; {_NAME_IT}", known.origin)
    kind = last.removesuffix("Config")
    fields = _fields(context, made, skip=set())
    unknown = next((value for value in fields.values() if isinstance(value, Unknown)), None)
    if unknown is not None:
        return unknown
    values = {key: value.value for key, value in fields.items() if isinstance(value, Known)}
    return Known({"config": {"model_type": _MODEL_TYPES.get(kind, kind.lower()), **values}}, known.origin)


def _changed(known: Known[Any], changes: Mapping[str, Setting[Any]]) -> Setting[Any]:
    """Return a named model with the fields that its config overrides."""
    if not isinstance(known.value, str):
        return _named(known)
    sizes = {key: value.value for key, value in changes.items() if isinstance(value, Known) and key in _SIZES}
    unknown = next(
        (
            value
            for key, value in changes.items()
            if isinstance(value, Unknown) and key in _SIZES and key != "vocab_size"
        ),
        None,
    )
    if unknown is not None:
        return unknown
    return Known({"id": known.value, "config": sizes} if sizes else {"id": known.value}, known.origin)


# Fields of a config that change the shapes of a model.
_SIZES = frozenset(
    {
        "vocab_size",
        "hidden_size",
        "num_hidden_layers",
        "num_attention_heads",
        "num_key_value_heads",
        "intermediate_size",
        "n_embd",
        "n_layer",
        "n_head",
        "n_positions",
        "n_ctx",
        "n_inner",
        "max_position_embeddings",
        "head_dim",
        "d_model",
        "d_ff",
        "d_kv",
        "num_layers",
        "num_decoder_layers",
        "num_heads",
        "tie_word_embeddings",
        "dim",
        "n_layers",
        "n_heads",
        "hidden_dim",
        "encoder_layers",
        "decoder_layers",
        "image_size",
        "patch_size",
        "embedding_size",
    }
)


def _fields(context: Context, made: Instance, skip: set[str]) -> dict[str, Setting[Any]]:
    """Return the plain keyword arguments of a config's call."""
    found: dict[str, Setting[Any]] = {}
    names = [keyword.arg for keyword in made.call.keywords if keyword.arg] if made.call else []
    for name in names:
        if name in skip:
            continue
        value = context.script.argument(made, name)
        if isinstance(value, Known) and is_scalar(value.value):
            found[name] = value
        elif name in _SIZES:
            origin = value.origin if isinstance(value, Unknown | Known) else None
            found[name] = (
                value
                if isinstance(value, Unknown)
                else Unknown(f"the config's {name} is known only at run time", origin)
            )
    return found


def _task(_context: Context, one: Traced) -> Setting[Any] | None:
    name = _class(one.base.value)
    for suffix, task in _TASKS:
        if suffix in name:
            return Known(task, Origin("source", name, one.base.origin.span))
    return None


def _labels(context: Context, one: Traced) -> Setting[Any] | None:
    made = one.base.value
    found = context.script.argument(made, "num_labels")
    if found is None:
        config = context.script.argument(made, "config")
        if isinstance(config, Known) and isinstance(config.value, Instance):
            found = context.script.argument(config.value, "num_labels")
    return found if isinstance(found, Known) and isinstance(found.value, int) else None


def _dtype(context: Context, one: Traced) -> Setting[Any] | None:
    """Return the dtype the parameters are in: the last cast, else what loading gives."""
    cast = cast_of(context, one)
    if cast is not None:
        return cast
    made = one.base.value
    given = context.script.argument(made, "dtype")
    given = context.script.argument(made, "torch_dtype") if given is None else given
    if given is None:
        return _dtype_unset(context, made)
    return lift(
        given, lambda known: _dtype_unset(context, made) if known.value is None else _dtype_named(known)
    )


def _dtype_unset(context: Context, made: Instance) -> Setting[Any] | None:
    """Return the dtype that loading gives where none is asked for, or None is; the version decides."""
    way = _way(made)
    if way == "constructor":
        return Known(
            "float32", Origin("framework-default", f"{_class(made)}(config) makes float32 parameters")
        )
    owner = "transformers.from_pretrained" if way == "from_pretrained" else "transformers.from_config"
    found = context.default(owner, "dtype")
    if (
        isinstance(found, Known)
        and found.value == "float32"
        and bitsandbytes.is_loaded_in_fewer_bits(context, made)
    ):
        # Until 5.0 what is not quantized became float16 (quantizers/quantizer_bnb_8bit.py, update_torch_dtype).
        detail = f"bitsandbytes loads the rest in float16 ({found.origin.detail.partition('(')[2]}"
        return Known("float16", Origin("framework-default", detail))
    return found


def _dtype_named(known: Known[Any]) -> Setting[Any]:
    """Return a dtype's name; "auto" stays, because the checkpoint decides."""
    value = known.value
    name = value.name if isinstance(value, Symbol) else value
    short = DTYPES.get(str(name).removeprefix("torch."))
    if short is None:
        return Unknown(f"the dtype {known.origin.detail} is known only at run time", known.origin)
    return Known(short, known.origin)


def cast_of(context: Context, one: Traced) -> Setting[Any] | None:
    """Return the dtype of the last `.half()`, `.bfloat16()` or `.to(dtype)` that a model passed through."""
    for made in one.through:
        if made.method in {"half", "bfloat16", "float", "double"}:
            return Known(
                DTYPES[made.method],
                Origin(
                    "source",
                    f".{made.method}()",
                    context.script.span(made.call, made.place) if made.call else None,
                ),
            )
        if made.method == "to" and made.call is not None:
            for argument in (
                context.script.argument(made, "dtype"),
                *(context.script.value(part, made.place, made.frame) for part in made.call.args),
            ):
                if (
                    isinstance(argument, Known)
                    and isinstance(argument.value, Symbol)
                    and argument.value.name.removeprefix("torch.") in DTYPES
                ):
                    return _dtype_named(argument)
    return None


def _attention(context: Context, one: Traced) -> Setting[Any] | None:
    given = context.script.argument(one.base.value, "attn_implementation")
    if given is None:
        old = context.script.argument(one.base.value, "use_flash_attention_2")
        if isinstance(old, Known) and old.value is True:
            return Known("flash_attention_2", old.origin)
        return None
    if isinstance(given, OneOf | Unknown):
        return given
    if given.value is None:
        return None
    if given.value in ATTENTION:
        return given
    return Unknown(f"the attention implementation {given.origin.detail} is not known here", given.origin)


__all__ = ["DTYPES", "Element", "cast_of", "config_of", "settings"]
