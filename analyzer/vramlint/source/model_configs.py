"""Where configs of models lie on this machine: a folder named by the script, our cache, Hugging Face's cache.

Neighbours answer for the path `hub:ID` with the content of the first that there is.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

PREFIX = "hub:"
_CONFIG = "config.json"


def fetched_path(model_id: str) -> Path:
    """Return where `vramlint fetch` keeps a config."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "vramlint" / "configs" / f"{model_id.replace('/', '--')}.json"


def candidates(model_id: str) -> Iterator[Path]:
    """Yield the places where a model's config may lie, the surest first."""
    if not model_id or "\0" in model_id:
        return
    yield Path(model_id) / _CONFIG
    yield fetched_path(model_id)
    repository = _hub_cache() / f"models--{model_id.replace('/', '--')}"
    revision = _revision(repository / "refs" / "main")
    if revision is not None:
        yield repository / "snapshots" / revision / _CONFIG


def _hub_cache() -> Path:
    """Return the folder of the hub's cache (huggingface_hub/constants.py)."""
    named = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE")
    if named:
        return Path(named)
    home = os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface"
    return Path(home) / "hub"


def _revision(reference: Path) -> str | None:
    try:
        name = reference.read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        return None
    return name if name.isalnum() else None
