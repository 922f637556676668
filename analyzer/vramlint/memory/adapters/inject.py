"""Puts adapters into a model: freezes it, finds the target modules, replaces them."""

from __future__ import annotations

import re
from copy import deepcopy
from typing import TYPE_CHECKING, Any

from vramlint.memory.adapters.layers import DoraLinear, LoraLinear, SavedModule, ScaledLinear
from vramlint.memory.adapters.lowrank import AdaLoraLinear, LohaLinear, LokrLinear, SharedVera, VeraLinear
from vramlint.memory.adapters.prompts import PROMPTS
from vramlint.memory.adapters.targets import default_targets, feedforward_targets
from vramlint.memory.dtypes import FLOAT32, DType, dtype_named
from vramlint.memory.errors import CannotEstimate
from vramlint.memory.modules import BareLayerNorm, Embedding, LayerNorm, Module, RMSNorm, Stack, Stem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vramlint.memory.families.base import Model
    from vramlint.plan.document import Lora

_NORMS = (LayerNorm, RMSNorm, BareLayerNorm)
_LOW_RANK: dict[str, Any] = {
    "lora": LoraLinear,
    "rslora": LoraLinear,
    "dora": DoraLinear,
    "adalora": AdaLoraLinear,
    "loha": LohaLinear,
}
_KINDS = frozenset({*_LOW_RANK, *PROMPTS, "ia3", "ln-tuning", "lokr", "prefix", "vera"})
# Kinds that PEFT puts on linear layers as it puts LoRA, and that have a stand-in only.
UNWALKED = frozenset(
    {
        *("oft", "boft", "hra", "bone", "miss", "fourierft", "vblora", "randlora", "c3a", "road", "shira"),
    }
)


def inject(model: Model, lora: Lora, model_type: str, dtype: DType) -> int:
    """Freeze a model and add adapters; return how many layers got one.

    `dtype` is the model's: without one of their own, adapters beside half weights are kept in fp32
    (autocast_adapter_dtype, PEFT 0.12 and newer).

    Raises:
        CannotEstimate: for a kind of adapter that is not walked, or targets that match nothing.
    """
    if lora.kind not in _KINDS:
        raise CannotEstimate(
            f"adapters of kind {lora.kind!r} are not walked yet; these are: {', '.join(sorted(_KINDS))}"
        )
    for parameter in model.parameters():
        parameter.trainable = False
    own = dtype_named(lora.dtype) if lora.dtype else (FLOAT32 if dtype.is_half else dtype)
    injector = _Injector(lora, model_type, own)
    adapted = _replace(model, "", injector)
    if lora.kind in PROMPTS or lora.kind == "prefix":
        return 0
    if not adapted:
        raise CannotEstimate(
            f"no linear layer of this {model_type} model matches target_modules {lora.target_modules}"
        )
    return adapted


class _Injector:
    """Decides by name which modules are adapted, and builds what takes their place."""

    def __init__(self, lora: Lora, model_type: str, dtype: DType) -> None:
        self.lora = lora
        self.dtype = dtype
        self.targets = lora.target_modules
        self.shared: SharedVera | None = None
        if lora.kind in PROMPTS or lora.kind == "prefix":
            self.targets = ()
        if self.targets is None:
            self.targets = default_targets(model_type, lora.kind)
        self.feedforward = feedforward_targets(model_type) if lora.kind == "ia3" else ()

    def replacement(self, name: str, module: Module) -> Module | None:
        if _matches(name, self.lora.modules_to_save):
            return self._saved(module)
        if self.lora.kind == "ln-tuning":
            return self._saved(module) if isinstance(module, _NORMS) and self._is_target(name) else None
        if not isinstance(module, Stem) or not self._is_target(name):
            return None
        if self.lora.kind == "ia3":
            adapted: Module = ScaledLinear(
                module, self.dtype, is_feedforward=_matches(name, self.feedforward)
            )
        elif self.lora.kind == "lokr":
            adapted = LokrLinear(module, self.lora, self.dtype)
        elif self.lora.kind == "vera":
            self.shared = self.shared or SharedVera(self.lora.r)
            adapted = VeraLinear(module, self.shared, self.lora, self.dtype)
        else:
            adapted = _LOW_RANK[self.lora.kind](module, self.lora.r, self.lora.dropout, self.dtype)
        return _with_copies(adapted, module.weight.copies)

    def _is_target(self, name: str) -> bool:
        if self.targets == "all-linear":
            return name.rpartition(".")[2] not in _OUTPUT_LAYERS
        if isinstance(self.targets, str):
            return re.fullmatch(self.targets, name) is not None
        return _matches(name, self.targets or ())

    def _saved(self, module: Module) -> Module:
        copy = deepcopy(module)
        for _, tensor in copy.named_parameters():
            tensor.trainable = True
        return SavedModule(module, copy)


# "all-linear" leaves the output layer out (tuners_utils.py, _maybe_include_all_linear_layers).
_OUTPUT_LAYERS = frozenset({"lm_head", "score", "classifier", "embed_out"})


def _matches(name: str, targets: tuple[str, ...]) -> bool:
    return any(name == target or name.endswith(f".{target}") for target in targets)


def _with_copies(adapted: Module, copies: int) -> Module:
    for name, parameter in adapted.named_parameters():
        if not name.startswith("base_layer."):
            parameter.copies = copies
    return adapted


def _replace(module: Module, prefix: str, injector: _Injector) -> int:
    count = 0
    for name, child in list(_parts(module)):
        path = f"{prefix}{name}"
        replacement = injector.replacement(path, child)
        if replacement is None:
            count += _replace(child, f"{path}.", injector)
        elif not isinstance(module, Stack):
            module.put(name, replacement)
            count += isinstance(child, (Stem, *_NORMS))
    return count


def _parts(module: Module) -> Iterator[tuple[str, Module]]:
    if isinstance(module, Stack):
        for part in module.parts:
            yield str(part.indices.start), part.layer
    else:
        yield from module.children()


def require_input_gradients(model: Model) -> None:
    """What `enable_input_require_grads` does: the token embedding's output wants a gradient."""
    for _, child in _descendants(model):
        if isinstance(child, Embedding):
            child.output_requires_grad = True
            return


def _descendants(module: Module) -> Iterator[tuple[str, Module]]:
    for name, child in _parts(module):
        yield name, child
        yield from _descendants(child)
