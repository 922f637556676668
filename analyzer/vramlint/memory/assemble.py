"""From a plan to a model on the tape: family, element types, what trains, what is checkpointed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from vramlint.memory.adapters.inject import inject, require_input_gradients
from vramlint.memory.dtypes import DType
from vramlint.memory.errors import CannotEstimate
from vramlint.memory.families import family_of, model_types
from vramlint.memory.families.base import Config, Model, UnsupportedTask
from vramlint.memory.frameworks import compute_dtype
from vramlint.memory.modules import Module, Parameter, Stack
from vramlint.memory.quantization.inject import quantize
from vramlint.memory.vision_names import is_vision_id, vision_config
from vramlint.plan.document import ModelSpec, Plan


# Fabric's bitsandbytes plugin replaces every linear layer (lightning/fabric/plugins/precision/bitsandbytes.py).
_QUANTIZES_THE_OUTPUT_LAYER = frozenset({"litgpt", "lightning"})


def config_of(spec: ModelSpec) -> Config:
    """Return the config of a model: its own, or the catalogue's.

    Raises:
        CannotEstimate: where neither is there.
    """
    if spec.config is not None:
        return Config(spec.config)
    if spec.id is not None and is_vision_id(spec.id):
        return vision_config(spec.id)
    if spec.id is None:
        raise CannotEstimate(
            f"nothing is known of the model {spec.class_name or 'that is only counted'} but its name"
        )
    from vramlint.knowledge.models import find as find_model

    record = find_model(spec.id)
    if record is None:
        raise CannotEstimate(f"the model {spec.id!r} is not in the catalogue; give its config.json in a plan")
    return Config({"model_type": record.model_type, **record.config})


def assemble(plan: Plan) -> Model:
    """Build the model that trains.

    Raises:
        CannotEstimate: for a family, task or setting that the engine does not walk.
    """
    config = config_of(plan.model)
    if plan.num_labels is not None:
        config = Config({**config.values, "num_labels": plan.num_labels})
    model = _build(config, plan.task or "causal-lm")
    dtype = compute_dtype(plan)
    _set_dtype(model, dtype)
    if plan.frozen:
        _separate(model, "", [re.compile(pattern) for pattern in plan.frozen])
        _set_dtype(model, dtype)
    if plan.quantization is not None:
        quantize(model, plan.quantization, output_layer=plan.framework in _QUANTIZES_THE_OUTPUT_LAYER)
    if plan.lora is not None:
        inject(model, plan.lora, str(config.get("model_type")), dtype)
    _freeze(model, plan.frozen)
    if plan.gradient_checkpointing is not None:
        _checkpoint(model, plan)
    return model


def _checkpoint(model: Model, plan: Plan) -> None:
    for stack in stacks(model):
        stack.checkpointed = True
    if plan.lora is not None or plan.quantization is not None:
        require_input_gradients(model)


def assemble_extra(spec: ModelSpec, task: str, dtype: DType) -> Model:
    """Build a frozen model that stands beside the trained one."""
    model = _build(config_of(spec), task)
    _set_dtype(model, dtype)
    for parameter in model.parameters():
        parameter.trainable = False
    return model


def _build(config: Config, task: str) -> Model:
    model_type = str(config.get("model_type", "without a model_type"))
    family = family_of(model_type)
    if family is None:
        known = ", ".join(name for name in model_types() if "/" not in name)
        raise CannotEstimate(f"models of type {model_type!r} are not walked yet; these are: {known}")
    try:
        return family.build(config, task)
    except UnsupportedTask:
        raise CannotEstimate(
            f"the task {task!r} is not walked yet for models of type {model_type!r}"
        ) from None
    except KeyError as missing:
        raise CannotEstimate(f"the config of this {model_type} model lacks {missing}") from None


def _set_dtype(model: Model, dtype: DType) -> None:
    for parameter in model.parameters():
        parameter.dtype = dtype


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
