"""How jupyter-lsp starts the server: the entry point `jupyter_lsp_spec_v1`."""

from __future__ import annotations

import sys
from typing import Any


def spec(_: object) -> dict[str, Any]:
    """Return the server as jupyter-lsp describes servers, version 2 of its schema."""
    return {
        "vramlint": {
            "version": 2,
            "argv": [sys.executable, "-m", "vramlint", "lsp"],
            "languages": ["python"],
            "mime_types": ["text/x-python", "text/x-ipython", "text/x-python3"],
            "display_name": "vramlint",
            "urls": {"home": "https://github.com/vramlint/vramlint"},
            "install": {"pip": "pip install 'vramlint[jupyter]'"},
        }
    }
