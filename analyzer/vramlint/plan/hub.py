"""Models that the catalogue lacks: their config from a folder beside the script or a cache on this machine."""

from __future__ import annotations

import json
import posixpath
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from vramlint.facts.setting import Known, OneOf, Origin, Unknown
from vramlint.knowledge import models
from vramlint.plan.lengths import bounds
from vramlint.source.model_configs import PREFIX

if TYPE_CHECKING:
    from vramlint.facts.setting import Setting
    from vramlint.plan.document import Plan
    from vramlint.plan.run import Run
    from vramlint.source.neighbours import Neighbours

_VISION = ("torchvision/", "timm/")


def with_configs(run: Run, neighbours: Neighbours) -> Run:
    """Return a run whose models bring their config where only this machine has it."""
    model = run.settings.get("model")
    if model is None:
        return run
    folder = posixpath.dirname(run.span.path)
    found = _completed(model, Beside(neighbours, folder) if folder else neighbours)
    if found == model:
        return run
    length = run.settings.get("sequence_length")
    if isinstance(length, Unknown) and length.bounds is None:
        length = replace(length, bounds=bounds(found))
    changed = {"model": found} | ({} if length is None else {"sequence_length": length})
    return replace(run, settings={**run.settings, **changed})


@dataclass(frozen=True, slots=True)
class Beside:
    """Neighbours for which a model's folder may also stand beside the script."""

    neighbours: Neighbours
    folder: str

    def read(self, path: str) -> bytes | None:
        """Return the config of a model from where the working directory or the script is."""
        model_id = path.removeprefix(PREFIX)
        found = self.neighbours.read(path)
        return found or self.neighbours.read(PREFIX + posixpath.join(self.folder, model_id))

    def listing(self, directory: str) -> tuple[str, ...]:
        """Return the names in a directory."""
        return self.neighbours.listing(directory)


def with_plan_config(plan: Plan, neighbours: Neighbours) -> Plan:
    """Return a plan document whose model brings its config where only this machine has it."""
    model_id = plan.model.id
    if model_id is None or plan.model.config is not None or _is_catalogued(model_id):
        return plan
    config = config_of(model_id, neighbours)
    if config is None:
        return plan
    return plan.model_copy(update={"model": plan.model.model_copy(update={"config": config})})


def _is_catalogued(model_id: str) -> bool:
    return model_id.startswith(_VISION) or models.find(model_id) is not None


def _completed(setting: Setting[Any], neighbours: Neighbours) -> Setting[Any]:
    if isinstance(setting, Known):
        return _with_config(setting, neighbours)
    if isinstance(setting, OneOf):
        return replace(
            setting, alternatives=tuple(_with_config(one, neighbours) for one in setting.alternatives)
        )
    return setting


def _with_config(known: Known[Any], neighbours: Neighbours) -> Known[Any]:
    model_id = known.value.get("id") if isinstance(known.value, dict) else None
    if not isinstance(model_id, str) or _is_catalogued(model_id):
        return known
    config = config_of(model_id, neighbours)
    if config is None:
        return known
    value = {**known.value, "config": {**config, **known.value.get("config", {})}}
    origin = Origin("hub", f"{known.origin.detail}; its config.json on this machine", known.origin.span)
    return Known(value, origin)


def config_of(model_id: str, neighbours: Neighbours) -> dict[str, Any] | None:
    """Return the content of a model's config.json, None where there is none or it is no config."""
    content = neighbours.read(PREFIX + model_id)
    if content is None:
        return None
    try:
        config = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return config if isinstance(config, dict) and isinstance(config.get("model_type"), str) else None
