"""From a plan to a model on the tape: family, element types, what trains, what is checkpointed."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, cast

from vramlint.memory.adapters import litgpt as litgpt_adapters
from vramlint.memory.adapters.inject import inject, require_input_gradients
from vramlint.memory.adapters.prompts import PROMPTS, with_prefix, with_prompts
from vramlint.memory.described import Described, describe, describe_for
from vramlint.memory.dtypes import FLOAT32
from vramlint.memory.errors import CannotEstimate
from vramlint.memory.families import family_of, litgpt, sentence
from vramlint.memory.families.base import Config, Model, UnsupportedTask
from vramlint.memory.families.diffusion_standin import build_stand_in, is_diffusion
from vramlint.memory.families.generic import build_generic
from vramlint.memory.frameworks import (
    OPERATORS,
    compute_dtype,
    every_of,
    has_early_litgpt_norm,
    implied_checkpointing,
    lora_of,
    quantized_product,
)
from vramlint.memory.modules import Module, Parameter, Stack, checkpointable
from vramlint.memory.objectives import head_of
from vramlint.memory.quantization.inject import quantize

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from vramlint.memory.dtypes import DType
    from vramlint.plan.document import Checkpointing, Lora, ModelSpec, Plan

# Fabric's bitsandbytes plugin replaces every linear layer (lightning/fabric/plugins/precision/bitsandbytes.py).
_QUANTIZES_THE_OUTPUT_LAYER = frozenset({"litgpt", "lightning"})


def assemble(plan: Plan) -> Model:
    """Build the model that trains.

    Raises:
        CannotEstimate: for a family, task or setting that the engine does not walk.
    """
    described = describe_for(plan)
    model = _build_for(plan, described)
    dtype = compute_dtype(plan)
    _set_dtype(model, dtype)
    every = every_of(plan.gradient_checkpointing)
    if every > 1:
        _alternate(model, every)
        _set_dtype(model, dtype)
    if plan.frozen:
        _separate(model, "", [re.compile(pattern) for pattern in plan.frozen])
        _set_dtype(model, dtype)
    if plan.quantization is not None:
        output_layer = plan.framework in _QUANTIZES_THE_OUTPUT_LAYER
        quantize(
            model, plan.quantization, quantized_product(plan, plan.quantization), output_layer=output_layer
        )
    if plan.lora is not None:
        task = head_of(plan.task or "causal-lm")
        model = _adapt(model, _with_heads(lora_of(plan, plan.lora), task), described, dtype, task)
    _freeze(model, plan.frozen)
    checkpointing = plan.gradient_checkpointing or implied_checkpointing(plan)
    if checkpointing is not None:
        _checkpoint(model, plan, checkpointing)
    return model


def _build_for(plan: Plan, described: Described) -> Model:
    """Build the model; LitGPT has its own form of the families it knows."""
    if plan.model.builder is not None:
        return cast("Model", plan.model.builder.build(plan))
    task = head_of(plan.task or "causal-lm")
    if plan.framework == "litgpt" and litgpt.knows(described.config):
        upcasts_norm = not has_early_litgpt_norm(plan)
        return _build(described, task, partial(litgpt.build, upcasts_norm=upcasts_norm))
    return _build(described, task)


def _adapt(model: Model, lora: Lora, described: Described, dtype: DType, task: str | None) -> Model:
    if isinstance(model, litgpt.GPT):
        litgpt_adapters.adapt(model, lora, dtype)
    else:
        inject(model, lora, str(described.config.get("model_type")), dtype)
    if lora.kind in PROMPTS:
        return with_prompts(model, lora, task)
    return with_prefix(model, lora, described.config) if lora.kind == "prefix" else model


def _with_heads(lora: Lora, task: str | None) -> Lora:
    """Add the new heads that PEFT trains whole for classification tasks (peft/peft_model.py)."""
    if task not in {"sequence-classification", "token-classification"}:
        return lora
    return lora.model_copy(update={"modules_to_save": (*lora.modules_to_save, "classifier", "score")})


def _checkpoint(model: Model, plan: Plan, checkpointing: Checkpointing) -> None:
    for layers in checkpointable(model):
        layers.checkpointed, layers.reentrant = True, checkpointing.use_reentrant
        layers.selective = checkpointing.selective in OPERATORS
        layers.offloads = checkpointing.offload
    if plan.lora is not None or plan.quantization is not None:
        require_input_gradients(model)


def assemble_extra(spec: ModelSpec, role: str, task: str, dtype: DType) -> Model:
    """Build a frozen model that stands beside the trained one."""
    model = _build(describe(spec, role), head_of(task))
    _set_dtype(model, dtype)
    for parameter in model.parameters():
        parameter.trainable = False
    return model


def _build(described: Described, task: str, build: Callable[[Config, str], Model] | None = None) -> Model:
    model_type = str(described.config.get("model_type", "unknown"))
    family = family_of(model_type)
    build = build or (family.build if family else None)
    try:
        if build is None and is_diffusion(described.config):
            return build_stand_in(described.config, described.parameters)
        if build is None:
            return build_generic(described.config, task, described.parameters)
        if task == sentence.TASK:
            return sentence.build_embedder(described.config, build)
        return build(described.config, task)
    except UnsupportedTask:
        if family is None:
            raise CannotEstimate(
                f"models of type {model_type!r} are not walked yet, and the stand-in for unknown ones reads text alone"
            ) from None
        raise CannotEstimate(
            f"the task {task!r} is not walked yet for models of type {model_type!r}"
        ) from None
    except KeyError as missing:
        raise CannotEstimate(f"the config of this {model_type} model lacks {missing}") from None
    except (TypeError, ValueError, AttributeError, IndexError, ZeroDivisionError) as error:
        if not described.is_given:
            raise
        raise CannotEstimate(f"no {model_type} model can be built from this config: {error}") from None


def _alternate(model: Model, every: int) -> None:
    """Let layers that are checkpointed and those that are not be walked apart."""
    for stack in stacks(model):
        stack.regroup(lambda index: (index + 1) % every == 0)
        stack.every = every


def _set_dtype(model: Model, dtype: DType) -> None:
    for parameter in model.parameters():
        parameter.dtype = FLOAT32 if parameter.keeps_fp32 else dtype


def _freeze(model: Model, patterns: tuple[str, ...]) -> None:
    for pattern in patterns:
        for name, tensor in model.named_tensors():
            if isinstance(tensor, Parameter) and re.search(pattern, name):
                tensor.trainable = False


def _separate(module: Module, prefix: str, patterns: Sequence[re.Pattern[str]]) -> None:
    """Let layers that freezing patterns treat differently be walked apart."""
    for name, child in module.children():
        path = f"{prefix}{name}."
        if isinstance(child, Stack):
            _separate_layers(child, path, patterns)
        else:
            _separate(child, path, patterns)


def _separate_layers(stack: Stack, prefix: str, patterns: Sequence[re.Pattern[str]]) -> None:
    names = [name for name, _ in stack.parts[0].layer.named_parameters()]

    def frozen(index: int) -> tuple[bool, ...]:
        return tuple(any(p.search(f"{prefix}{index}.{name}") for p in patterns) for name in names)

    def differs(index: int) -> tuple[tuple[bool, ...], bool]:
        # what enters the first layer after a change may want a gradient where the others' input does not
        return frozen(index), index > 0 and frozen(index) != frozen(index - 1)

    stack.regroup(differs)


def stacks(module: Module) -> Iterator[Stack]:
    """Yield the stacks of equal layers of a model."""
    for _, child in module.children():
        if isinstance(child, Stack):
            yield child
        else:
            yield from stacks(child)
