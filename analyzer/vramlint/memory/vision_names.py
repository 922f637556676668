"""From a torchvision or timm id to the config of the family that walks it."""

from __future__ import annotations

from vramlint.memory.errors import CannotEstimate
from vramlint.memory.families import family_of
from vramlint.memory.families.base import Config

_LIBRARIES = ("torchvision/", "timm/")
BY_FIGURES = "vision model known by its figures"


def is_vision_id(model_id: str) -> bool:
    """Return whether an id names a model of torchvision or timm."""
    return model_id.startswith(_LIBRARIES)


def vision_config(model_id: str) -> Config:
    """Return the config of a vision model: its name for a family that knows it, else its catalogue figures.

    What follows a dot in a timm id names weights, not a shape.

    Raises:
        CannotEstimate: for a name that neither a family nor the catalogue has.
    """
    plain = model_id.partition(".")[0] if model_id.startswith("timm/") else model_id
    name = plain.partition("/")[2]
    if family_of(plain) is not None:
        return Config({"model_type": plain, "name": name})
    from vramlint.knowledge.models import find, nearest  # noqa: PLC0415  most runs are of language models

    record = find(plain)
    if record is None or not record.images:
        close = nearest(plain)
        hint = f"; the nearest known is {close[0]!r}" if close else ""
        raise CannotEstimate(f"no vision model is called {model_id!r}{hint}")
    return Config({"model_type": BY_FIGURES, "name": name, "images": record.images})
