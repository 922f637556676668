"""The plan document: one training or inference run, spelled out, as the memory engine takes it.

A plan is what a person may write by hand (`vramlint estimate PLAN.json`) and what reading a script
ends in. A key that is left out gets the framework's default (`vramlint.plan.defaults`), so a plan
with every key filled in is the only thing the engine ever sees.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Protocol

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    model_validator,
)

from vramlint.knowledge.versions import one_release

_DTYPE_ALIASES = {
    "fp32": "float32", "float": "float32", "32": "float32",
    "fp16": "float16", "half": "float16", "16": "float16",
    "bf16": "bfloat16",
    "fp64": "float64", "double": "float64",
}  # fmt: skip


def _dtype_name(value: object) -> object:
    if not isinstance(value, str):
        return value
    short = value.lower().removeprefix("torch.")
    return _DTYPE_ALIASES.get(short, short)


def _precision_name(value: object) -> object:
    """`mixed_precision` null means "no"; long dtype names are accepted for the short ones."""
    if value is None or value is False:
        return "no"
    if not isinstance(value, str):
        return value
    return {"bfloat16": "bf16", "float16": "fp16", "none": "no"}.get(value.lower(), value.lower())


def _attention_name(value: object) -> object:
    return (
        {"flex": "flex_attention", "flash": "flash_attention_2"}.get(value, value)
        if isinstance(value, str)
        else value
    )


DType = Annotated[
    Literal["float32", "bfloat16", "float16", "float64", "float8_e4m3fn"], BeforeValidator(_dtype_name)
]
MixedPrecision = Annotated[Literal["bf16", "fp16", "no"], BeforeValidator(_precision_name)]
Attention = Annotated[
    Literal["sdpa", "eager", "flash_attention_2", "flash_attention_3", "flex_attention"],
    BeforeValidator(_attention_name),
]


def _no_boolean(value: object) -> object:
    """Python counts true as 1; in a plan it is a mistake."""
    if isinstance(value, bool):
        raise ValueError("should be a number")  # noqa: TRY004  pydantic reports value errors
    return value


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"is no regular expression ({error})") from None
    return text


Count = Annotated[int, Field(ge=1), BeforeValidator(_no_boolean)]
Pattern = Annotated[str, AfterValidator(_pattern)]
Version = Annotated[str, AfterValidator(one_release)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Builder(Protocol):
    """What makes the model of a class of the user's own: read from a script, and never part of a document."""

    def build(self, plan: Plan) -> Any:
        """Return a model of the engine."""


class ModelSpec(_Part):
    """Which model: an `id`, the content of a config.json, a class of the user's own, or a bare count."""

    _builder: Builder | None = PrivateAttr(default=None)

    id: str | None = None
    config: Mapping[str, Any] | None = None
    class_name: str | None = Field(default=None, alias="class")
    parameters: Count | None = None

    @property
    def builder(self) -> Builder | None:
        """Return what makes the model, where its class was read from a script."""
        return self._builder

    def carrying(self, builder: Builder) -> ModelSpec:
        """Return the same model with what makes it."""
        copy = self.model_copy()
        copy._builder = builder  # noqa: SLF001  of the same class
        return copy

    @model_validator(mode="after")
    def _names_something(self) -> ModelSpec:
        if self.id is None and self.config is None and self.class_name is None and self.parameters is None:
            raise ValueError("a model needs an id, a config, a class or a parameter count")
        return self


class OwnState(_Part):
    """One state tensor of an optimizer of one's own; `dtype` null is the parameter's.

    `shape` is the parameter's, that of its rows (all dimensions but the last) or columns (all but the last
    but one), or a scalar.
    """

    name: str
    dtype: str | None = None
    shape: Literal["parameter", "rows", "columns", "scalar"] = "parameter"
    device: Literal["cuda", "cpu"] = "cuda"


class OptimizerSpec(_Part):
    """The optimizer; `foreach` and `fused` null mean torch's own choice on CUDA.

    `states` describes one that is not known by name: what it keeps for each parameter.
    """

    name: str
    foreach: bool | None = None
    fused: bool | None = None
    amsgrad: bool = False
    momentum: float = 0.0
    nesterov: bool = False
    centered: bool = False
    weight_decay: float | None = None
    rank: int | None = None
    target_modules: tuple[str, ...] | Pattern | None = None
    in_backward: bool = False
    states: tuple[OwnState, ...] | None = None


class Checkpointing(_Part):
    """Gradient checkpointing: recompute layers in backward instead of saving their activations."""

    use_reentrant: bool = False
    selective: str | None = None
    offload: bool = False


class Loop(_Part):
    """How the training loop is written."""

    set_to_none: bool = True
    zero_grad: Literal["start", "before_backward", "end"] = "end"
    keeps_outputs: bool = False
    clip_grad_norm: float | None = None
    padding_mask: bool = False


class Lora(_Part):
    """Adapters of the PEFT kind; `target_modules` null means PEFT's own choice for the model type.

    Further keys have the names of PEFT's configs: those of prompt learning, and LoKr's `decompose_*`.
    AdaLoRA's rank is that before it shrinks, `init_r`.
    """

    r: Count = 8
    target_modules: tuple[str, ...] | Pattern | None = None
    dropout: float = 0.0
    dtype: DType | None = None
    kind: str = "lora"
    modules_to_save: tuple[str, ...] = ()
    num_virtual_tokens: Count | None = None
    encoder_hidden_size: Count | None = None
    encoder_num_layers: Count | None = None
    encoder_reparameterization_type: Literal["MLP", "LSTM"] | None = None
    prefix_projection: bool = False
    num_tasks: Count | None = None
    num_ranks: Count | None = None
    decompose_both: bool = False
    decompose_factor: int = -1


class Quantization(_Part):
    """How frozen weights are stored."""

    kind: str
    double: bool = False
    compute_dtype: DType = "float32"
    storage_dtype: str = "uint8"
    prepared_for_kbit: bool = False


class Sharding(_Part):
    """Data-parallel sharding of states, and how many GPUs there are in all."""

    kind: Literal["none", "dp", "ddp", "zero1", "zero2", "zero3", "fsdp", "fsdp2"] = "none"
    world_size: Count = 1
    strategy: Literal["full-shard", "shard-grad-op", "hybrid", "no-shard"] | None = None
    tensor_parallel: Count = 1
    sequence_parallel: bool = False
    pipeline_parallel: Count = 1
    virtual_stages: Count = 1
    context_parallel: Count = 1
    expert_parallel: Count = 1
    reduce_dtype: DType | None = None
    offload_optimizer: Literal["cpu", "nvme"] | None = None
    offload_param: Literal["cpu", "nvme"] | None = None


class ExtraModel(_Part):
    """A further model in memory: a reference policy, a teacher, a VAE; no `model` copies the trained one.

    One that is `freed` has done its work, and is gone, before the first step.
    """

    role: str
    model: ModelSpec | None = None
    param_dtype: DType | None = None
    device: str = "cuda"
    freed: bool = False


class Generation(_Part):
    """Decoding, alone or inside a reinforcement-learning step."""

    prompt_length: Count = 512
    new_tokens: Count = 512
    batch: Count = 1
    engine: Literal["transformers", "vllm"] = "transformers"
    gpu_memory_utilization: float = 0.9


class Plan(_Part):
    """One run. Memory is in bytes everywhere; lengths are tokens, `image_size` pixels a side."""

    model: ModelSpec
    task: str | None = None
    mode: Literal["train", "inference"] = "train"
    framework: str = "torch"
    param_dtype: DType | None = None
    mixed_precision: MixedPrecision = "no"
    attention: Attention | None = None
    micro_batch_size: Count | None = None
    sequence_length: Count | None = None
    target_length: Count | None = None
    image_size: Count | tuple[Count, Count] | None = None
    num_labels: Count | None = None
    optimizer: OptimizerSpec | None = None
    gradient_checkpointing: Checkpointing | None = None
    gradient_accumulation_steps: Count = 1
    loop: Loop = Loop()
    lora: Lora | None = None
    quantization: Quantization | None = None
    loss: str = "default"
    compile: bool = False
    fp8: str | None = None
    activation_offload: bool = False
    frozen: tuple[Pattern, ...] = ()
    sharding: Sharding | None = None
    extra_models: tuple[ExtraModel, ...] = ()
    generation: Generation | None = None
    libraries: Mapping[str, Version] = {}

    @model_validator(mode="before")
    @classmethod
    def _short_forms(cls, data: object) -> object:
        """Accept the short forms people write: a string for a model or optimizer, booleans for switches."""
        if not isinstance(data, Mapping):
            return data
        plan = dict(data)
        for key, name in (
            ("model", "id"),
            ("optimizer", "name"),
            ("quantization", "kind"),
            ("sharding", "kind"),
        ):
            if isinstance(plan.get(key), str):
                plan[key] = {name: plan[key]}
        match plan.get("gradient_checkpointing"):
            case True:
                plan["gradient_checkpointing"] = {}
            case False:
                plan["gradient_checkpointing"] = None
        return plan
