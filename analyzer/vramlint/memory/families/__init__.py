"""Model families as forward passes on symbolic tensors, one file each, found by the model types they name."""

from __future__ import annotations

import re
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:
    from vramlint.memory.families.base import Config, Model

_DECLARATION = re.compile(r"^MODEL_TYPES = \(([^)]*)\)", re.MULTILINE)


class Family(Protocol):
    """What a family's file offers."""

    MODEL_TYPES: tuple[str, ...]

    @staticmethod
    def build(config: Config, task: str) -> Model:
        """Build a model for a task; raises UnsupportedTask for a task that the family does not have."""


def family_of(model_type: str) -> Family | None:
    """Return the family of a config's `model_type`, importing no other."""
    stem = _stems().get(model_type)
    return cast("Family", import_module(f"{__name__}.{stem}")) if stem else None


def model_types() -> tuple[str, ...]:
    """Return every model type that some family covers."""
    return tuple(sorted(_stems()))


@cache
def _stems() -> dict[str, str]:
    """Return model type → file stem, read from the declarations without importing the files."""
    stems: dict[str, str] = {}
    for path in sorted(Path(__file__).parent.glob("*.py")):
        declared = _DECLARATION.search(path.read_text(encoding="utf-8"))
        if declared:
            stems.update(dict.fromkeys(re.findall(r'"([^"]+)"', declared[1]), path.stem))
    return stems
