"""What the kernel holds, as settings: it takes the place of guesses, and is marked as measured."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from vramlint.source import model_configs
from vramlint.source.filesystem import FileSystem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vramlint.memory.estimate import Estimate
    from vramlint.notebook.live import Live, LiveGpu, LiveModel, LiveOptimizer
    from vramlint.report import FileReport
    from vramlint.settings import Settings

_FLOATS = {"float32", "float16", "bfloat16", "float64"}
_ATTENTION = {"sdpa", "eager", "flash_attention_2"}
_OPTIONS = {"foreach", "fused", "amsgrad", "momentum"}


def settles(live: Live, report: FileReport, upcoming: str | None) -> bool:
    """Say whether the kernel's one model is what all runs train: by its parameters, or for want of any other.

    A cell that is yet to run may make another model than the one that is there.
    """
    if len(live.models) != 1 or not report.runs:
        return False
    counts = [subject.estimate and subject.estimate.parameters for subject in report.runs]
    return all(live.models[0].parameters == one if one else upcoming is None for one in counts)


def with_measured(settings: Settings, live: Live) -> Settings:
    """Return the settings with what the kernel's one model is, and its optimizer where there is one and no more.

    Which of several belongs to a run, their names do not say.
    """
    facts = _of_model(live.models[0])
    if len(live.optimizers) == 1:
        facts |= _of_optimizer(live.optimizers[0])
    values = {key: value for key, (value, _) in facts.items()}
    sources = {f"measured.{key}": source for key, (_, source) in facts.items()}
    return replace(settings, measured=values, sources={**settings.sources, **sources})


def _of_model(model: LiveModel) -> dict[str, tuple[Any, str]]:
    where = f"type({model.name}) is {model.kind.rpartition('.')[2]}"
    whole = {"parameters": model.parameters} if model.config is None else {"config": _plain(model.config)}
    facts: dict[str, tuple[Any, str]] = {"model": (whole, where)}
    if model.dtype in _FLOATS:
        facts["param_dtype"] = model.dtype, f"dtype of {model.name}"
    if model.attention in _ATTENTION:
        facts["attention"] = model.attention, f"config of {model.name}"
    return facts


def _of_optimizer(optimizer: LiveOptimizer) -> dict[str, tuple[Any, str]]:
    module, _, name = optimizer.kind.rpartition(".")
    # torch.optim.adamw.AdamW: people and the catalogue use the short name.
    known = f"torch.optim.{name}" if module.startswith("torch.optim.") else optimizer.kind
    options = {
        key: value for key, value in optimizer.options.items() if key in _OPTIONS and value is not None
    }
    return {"optimizer": ({"name": known, **options}, f"type({optimizer.name})")}


def others(gpu: LiveGpu, estimate: Estimate | None) -> int:
    """Return the bytes of a GPU that are not this kernel's: what is taken, less its allocator's and its context's."""
    context = 0 if estimate is None else estimate.device.expected - estimate.reserved.expected
    return max(gpu.total - gpu.free - gpu.reserved - max(context, 0), 0)


@dataclass(slots=True)
class KernelFiles(FileSystem):
    """The files from the working directory, and the configurations of the models that the kernel has loaded."""

    configs: Mapping[str, bytes] = field(default_factory=dict)

    def read(self, path: str) -> bytes | None:
        """Return a file's content, or the configuration of a loaded model."""
        # `super()` without arguments does not work in a dataclass with slots.
        return self.configs.get(path) or FileSystem.read(self, path)


def files(live: Live) -> KernelFiles:
    """Return the neighbours of a session's code."""
    found = {
        f"{model_configs.PREFIX}{model.id}": json.dumps(_plain(model.config)).encode()
        for model in live.models
        if model.id and model.config
    }
    return KernelFiles(configs=found)


def _plain(config: Mapping[str, Any]) -> Any:
    """Return a configuration as its config.json would have it."""
    return json.loads(json.dumps(config, default=lambda value: str(value).removeprefix("torch.")))
