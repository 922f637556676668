"""Builds the real model of a plan without data: transformers, torchvision or timm, with PEFT's adapters."""

from __future__ import annotations

import re
from importlib import import_module
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from vramlint.knowledge import models
from vramlint.simulate.errors import CannotSimulate, MissingPackage

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import ModuleType

    from vramlint.plan.document import Lora, Plan

_AUTO_CLASSES = {
    "causal-lm": "AutoModelForCausalLM",
    "masked-lm": "AutoModelForMaskedLM",
    "seq2seq-lm": "AutoModelForSeq2SeqLM",
    "sequence-classification": "AutoModelForSequenceClassification",
    "token-classification": "AutoModelForTokenClassification",
    "question-answering": "AutoModelForQuestionAnswering",
    "image-classification": "AutoModelForImageClassification",
    "audio-classification": "AutoModelForAudioClassification",
    "ctc": "AutoModelForCTC",
    "speech-seq2seq": "AutoModelForSpeechSeq2Seq",
    "image-text-to-text": "AutoModelForImageTextToText",
    "contrastive": "AutoModel",
}
_PEFT_TASKS = {
    "causal-lm": "CAUSAL_LM",
    "seq2seq-lm": "SEQ_2_SEQ_LM",
    "sequence-classification": "SEQ_CLS",
    "token-classification": "TOKEN_CLS",
    "question-answering": "QUESTION_ANS",
}
_LOW_RANK = frozenset({"lora", "rslora", "dora"})
_VISION = ("torchvision", "timm")


def build(plan: Plan) -> nn.Module:
    """Return the model of a plan in training mode: frozen, adapted and checkpointed as the plan says.

    Its parameters have sizes and types, but no data and no device yet.

    Raises:
        CannotSimulate: for a model that no library builds from its name or config.
    """
    with torch.device("meta"):
        model = _named(plan) if _library(plan) in _VISION else _configured(plan)
    model.train()
    if plan.lora is not None:
        with torch.device("meta"):
            model = _adapted(model, plan.lora, plan.task)
    for name, parameter in model.named_parameters():
        if any(re.search(pattern, name) for pattern in plan.frozen):
            parameter.requires_grad_(False)  # noqa: FBT003  torch's own signature
    _checkpoint(model, plan)
    return model


def _library(plan: Plan) -> str:
    return (plan.model.id or "").partition("/")[0] if plan.model.config is None else ""


def dtype_named(name: str | None) -> torch.dtype:
    """Return torch's dtype of a plan's name for it."""
    dtype = getattr(torch, name or "float32")
    assert isinstance(dtype, torch.dtype)
    return dtype


def require(package: str, extra: str = "") -> ModuleType:
    """Import a package that the plan needs.

    Raises:
        MissingPackage: where it is not installed, or does not fit to this torch.
    """
    try:
        return import_module(package)
    except ImportError:
        advice = extra or f"`pip install {package.partition('.')[0]}` brings it"
        raise MissingPackage(f"{package.partition('.')[0]} is not installed; {advice}") from None
    except RuntimeError as error:
        raise MissingPackage(f"{package} does not fit to torch {torch.__version__}: {error}") from None


def _named(plan: Plan) -> nn.Module:
    library, _, name = (plan.model.id or "").partition("/")
    options: dict[str, Any] = {"num_classes": plan.num_labels} if plan.num_labels else {}
    if library == "timm":
        make = require("timm").create_model
        name = name.partition(".")[0]
        sized = {"img_size": plan.image_size} if name.startswith(("vit", "deit", "swin", "beit")) else {}
        options |= sized
    else:
        make = require("torchvision").models.get_model
    try:
        model = make(name, **options)
    except (TypeError, ValueError, RuntimeError) as error:
        raise CannotSimulate(f"{library} does not build {name!r}: {_first_line(error)}") from None
    assert isinstance(model, nn.Module)
    return model.to(dtype_named(plan.param_dtype))


def _configured(plan: Plan) -> nn.Module:
    transformers = require("transformers", "`pip install 'vramlint[simulate]'` brings it")
    transformers.logging.set_verbosity_error()
    config = config_of(plan, transformers)
    auto = getattr(transformers, _class_name(config, plan))
    options = {"dtype": dtype_named(plan.param_dtype), "attn_implementation": plan.attention}
    make = auto.from_config if hasattr(auto, "from_config") else auto._from_config  # noqa: SLF001
    try:
        model = make(config, **options)
    except Exception as error:  # noqa: BLE001  each model class fails in its own way on a config that does not fit
        raise CannotSimulate(f"transformers does not build this model: {_first_line(error)}") from None
    assert isinstance(model, nn.Module)
    return model


def _class_name(config: Any, plan: Plan) -> str:
    if plan.task not in _AUTO_CLASSES:
        raise CannotSimulate(
            f"the task {plan.task!r} is not simulated; these are: {', '.join(sorted(_AUTO_CLASSES))}"
        )
    if plan.task == "image-classification" and getattr(config, "architectures", None):
        return str(config.architectures[0])
    return _AUTO_CLASSES[plan.task]


def config_of(plan: Plan, transformers: ModuleType) -> Any:
    """Return transformers' config object of a plan's model.

    Raises:
        CannotSimulate: where the model's numbers are not known, or transformers lacks the model type.
    """
    fields = _fields(plan)
    model_type = fields.pop("model_type", None)
    if model_type is None:
        raise CannotSimulate("the model has no config with a model_type; only its real code can be simulated")
    if model_type not in transformers.CONFIG_MAPPING:
        raise CannotSimulate(
            f"transformers {transformers.__version__} has no model type {model_type!r}; code that a repository "
            "brings is not run"
        )
    if plan.num_labels is not None and "id2label" not in fields:
        fields["num_labels"] = plan.num_labels
    fields.pop("transformers_version", None)
    fields.pop("torch_dtype", None)
    try:
        config = transformers.AutoConfig.for_model(model_type, **fields)
    except Exception as error:  # noqa: BLE001  each config class has its own checks
        raise CannotSimulate(
            f"no {model_type} config can be made of these fields: {_first_line(error)}"
        ) from None
    # Labels are shifted behind this token; which one it is changes no size.
    if config.is_encoder_decoder and getattr(config, "decoder_start_token_id", None) is None:
        config.decoder_start_token_id = 0
    return config


def _fields(plan: Plan) -> dict[str, Any]:
    record = models.find(plan.model.id) if plan.model.id else None
    known: Mapping[str, Any] = record.config if record else {}
    given = plan.model.config or {}
    if not known and not given:
        raise CannotSimulate(
            f"the config of {plan.model.id or plan.model.class_name or 'the model'!r} is not known; "
            "`vramlint fetch` asks for it"
        )
    return {**known, **given}


def _adapted(model: nn.Module, lora: Lora, task: str | None) -> nn.Module:
    peft = require("peft", "`pip install 'vramlint[simulate]'` brings it")
    targets = list(lora.target_modules) if isinstance(lora.target_modules, tuple) else lora.target_modules
    shared = {
        "target_modules": targets,
        "modules_to_save": list(lora.modules_to_save) or None,
        "task_type": _PEFT_TASKS.get(task or ""),
    }
    if lora.kind in _LOW_RANK:
        kinds = {"use_dora": lora.kind == "dora", "use_rslora": lora.kind == "rslora"}
        config = peft.LoraConfig(r=lora.r, lora_dropout=lora.dropout, bias="none", **shared, **kinds)
    elif lora.kind == "ia3":
        config = peft.IA3Config(**shared)
    else:
        raise CannotSimulate(
            f"adapters of kind {lora.kind!r} are not simulated; lora, rslora, dora and ia3 are"
        )
    try:
        adapted = peft.get_peft_model(model, config)
    except ValueError as error:
        raise CannotSimulate(f"PEFT refuses the adapters: {_first_line(error)}") from None
    assert isinstance(adapted, nn.Module)
    if lora.dtype is not None:
        for parameter in adapted.parameters():
            if parameter.requires_grad:
                parameter.data = parameter.data.to(dtype_named(lora.dtype))
    return adapted


def _checkpoint(model: Any, plan: Plan) -> None:
    wanted = plan.gradient_checkpointing
    if wanted is None:
        return
    if not hasattr(model, "gradient_checkpointing_enable"):
        raise CannotSimulate(f"{_library(plan) or 'this model'} has no gradient checkpointing switch")
    if plan.lora is not None:
        model.enable_input_require_grads()
    # The state of random numbers is kept on the CPU, so not keeping it changes nothing here.
    how = {"use_reentrant": wanted.use_reentrant, "preserve_rng_state": False}
    try:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs=how)
    except ValueError as error:
        raise CannotSimulate(f"transformers refuses gradient checkpointing: {_first_line(error)}") from None


def place(model: nn.Module, device: str) -> None:
    """Give every parameter and buffer a storage on the device; tied ones share theirs."""
    placed: dict[int, torch.Tensor] = {}
    for module in model.modules():
        for tensors in (module._parameters, module._buffers):  # noqa: SLF001  the only way to replace them all
            for name, tensor in tensors.items():
                if tensor is not None:
                    real = placed.get(id(tensor))
                    tensors[name] = real if real is not None else _on_device(tensor, device)
                    placed[id(tensor)] = tensors[name]


def _on_device(tensor: torch.Tensor, device: str) -> torch.Tensor:
    real = torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device=device)
    return nn.Parameter(real, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else real


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
