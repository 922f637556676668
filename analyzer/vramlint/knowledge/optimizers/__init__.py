"""Optimizers: one file each, found by name without importing the others."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import TYPE_CHECKING

from vramlint.knowledge.optimizers import hf_names
from vramlint.knowledge.optimizers.errors import UnknownOptimizer

if TYPE_CHECKING:
    from vramlint.knowledge.optimizer import Optimizer

__all__ = ["UnknownOptimizer", "all_optimizers", "build_index", "find", "nearest"]

# Which package a bare class name means, the likeliest first.
_PREFERRED = (
    "torch",
    "lion_pytorch",
    "bitsandbytes",
    "schedulefree",
    "lomo_optim",
    "apex",
    "torchao",
    "optimi",
    "timm",
)
_HELPERS = {"parts", "errors", "hf_names"}


def find(name: str) -> Optimizer:
    """Return the optimizer of a dotted path, a `TrainingArguments.optim` string or a class name.

    A `TrainingArguments.optim` string is matched as written and wins ("adafactor" is that of
    transformers); everything else whatever its case, and a bare class name means torch's where torch
    has one ("Adafactor" is that of torch). What the string says about the implementation becomes the
    `default`.

    Raises:
        UnknownOptimizer: if nobody knows the name; it names the nearest ones.
    """
    trainer = hf_names.find(name)
    if trainer is not None:
        return _as_the_trainer_builds(trainer)
    stem = _index().get(_key(name))
    if stem is None:
        raise UnknownOptimizer(name, nearest(name))
    return _load(stem)


def nearest(name: str) -> tuple[str, ...]:
    """Return up to three known names that look most like this one."""
    from difflib import get_close_matches  # noqa: PLC0415  only for a message

    known = {*_index(), *hf_names.all_names()}
    return tuple(get_close_matches(_key(name), sorted(known), n=3, cutoff=0.5))


def all_optimizers() -> tuple[Optimizer, ...]:
    """Return every optimizer, in the order of the file names; this imports all files."""
    return tuple(_load(stem) for stem in _stems())


def build_index() -> dict[str, str]:
    """Return lower-case name → file stem, made anew from the files; `index.json` is a copy of it."""
    index: dict[str, str] = {}
    for stem in sorted(_stems(), key=_preference):
        for name in _load(stem).names:
            for key in (_key(name), _key(name.rpartition(".")[2])):
                index.setdefault(key, stem)
    return dict(sorted(index.items()))


def _as_the_trainer_builds(trainer: hf_names.TrainerOptimizer) -> Optimizer:
    optimizer = _load(_index()[_key(trainer.optimizer)])
    implementation = "fused" if trainer.variant.fused else optimizer.default
    return replace(
        optimizer,
        default=implementation,
        keeps_gradients=optimizer.keeps_gradients and not trainer.is_layerwise,
    )


def _key(name: str) -> str:
    return name.strip().lower()


@cache
def _index() -> dict[str, str]:
    text = Path(__file__).with_name("index.json").read_text(encoding="utf-8")
    index: dict[str, str] = json.loads(text)
    return index


def _load(stem: str) -> Optimizer:
    optimizer: Optimizer = import_module(f"{__name__}.{stem}").OPTIMIZER
    return optimizer


def _stems() -> list[str]:
    return sorted(module.name for module in iter_modules(__path__) if module.name not in _HELPERS)


def _preference(stem: str) -> tuple[int, str]:
    package = _load(stem).names[0].partition(".")[0]
    place = _PREFERRED.index(package) if package in _PREFERRED else len(_PREFERRED)
    return place, stem
