"""How jupyter-lsp starts the server: the entry point `jupyter_lsp_spec_v1`; nothing where pygls is not installed."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from typing import Any

_LANGUAGES = ["python"]
_TYPES = ["text/x-python", "text/x-ipython", "text/x-python3"]
_HOME = "https://github.com/vramlint/vramlint"


def spec(_manager: object) -> dict[str, Any]:
    """Return the server for jupyter-lsp's manager (entry point `jupyter_lsp_spec_v1`, schema version 2)."""
    if find_spec("pygls") is None:
        return {}
    return {
        "vramlint": {
            "version": 2,
            "argv": [sys.executable, "-m", "vramlint", "lsp"],
            "languages": _LANGUAGES,
            "mime_types": _TYPES,
            "display_name": "vramlint",
            "urls": {"home": _HOME, "issues": f"{_HOME}/issues"},
            "install": {"pip": "pip install 'vramlint[jupyter]'"},
            "config_schema": _schema(),
        }
    }


def _schema() -> dict[str, Any]:
    """Return what JupyterLab's settings editor offers; without defaults, so that nothing is said that nobody said."""
    from vramlint.settings import Options  # noqa: PLC0415  pydantic is not needed to be found

    properties = Options.model_json_schema()["properties"]
    described = {
        f"vramlint.{name}": {"description": about["description"]} for name, about in properties.items()
    }
    return {"title": "vramlint", "type": "object", "properties": described}
