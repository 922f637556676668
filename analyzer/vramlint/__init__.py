"""vramlint reads a training script without running it and says how much GPU memory it needs, and why."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

    from vramlint.memory.engine import estimate
    from vramlint.memory.ledger import Ledger
    from vramlint.pipeline import analyze
    from vramlint.plan.document import Plan
    from vramlint.report import Report
    from vramlint.rules.finding import Finding
    from vramlint.settings import Settings
    from vramlint.source.document import Document

__version__ = "0.1.0"
__all__ = [
    "Document",
    "Finding",
    "Ledger",
    "Plan",
    "Report",
    "Settings",
    "__version__",
    "analyze",
    "estimate",
    "watch",
]

_HOMES = {
    "Document": "vramlint.source.document",
    "Finding": "vramlint.rules.finding",
    "Ledger": "vramlint.memory.ledger",
    "Plan": "vramlint.plan.document",
    "Report": "vramlint.report",
    "Settings": "vramlint.settings",
    "analyze": "vramlint.pipeline",
    "estimate": "vramlint.memory.engine",
}


def __getattr__(name: str) -> object:
    """Import a public name when it is first asked for; importing the package stays free."""
    if name not in _HOMES:
        raise AttributeError(f"module 'vramlint' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    """List the public names."""
    return __all__


def watch(estimate: object = None, *, run: int = 0) -> Any:
    """Return a context in which the real memory of a training is recorded; see `vramlint.shim.watch`."""
    return import_module("vramlint.shim.watch").watch(estimate, run=run)


def load_ipython_extension(shell: Any) -> None:
    """Register `%vramlint` and `%%vramlint`: IPython calls this for `%load_ext vramlint`."""
    import_module("vramlint.notebook.extension").load(shell)
