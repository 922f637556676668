"""A plugin of python-lsp-server: JupyterLab starts one server for each language, and this may be the one.

Its hooks take and return the protocol's messages as plain tables. Without pygls there is nothing to answer with.
"""

from __future__ import annotations

import logging
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from pylsp import hookimpl

if TYPE_CHECKING:
    from vramlint_lsp.guest import Documents

log = logging.getLogger("vramlint")


@cache
def _documents() -> Documents | None:
    if find_spec("pygls") is None:
        return None
    from vramlint_lsp.guest import Documents  # noqa: PLC0415  loaded with the first document

    return Documents(log.warning)


@hookimpl  # type: ignore[untyped-decorator]
def pylsp_settings() -> dict[str, Any]:
    """Return the settings that pylsp knows of: the plugin is on."""
    return {"plugins": {"vramlint": {"enabled": True}}}


@hookimpl  # type: ignore[untyped-decorator]
def pylsp_lint(config: Any, document: Any) -> list[dict[str, Any]]:
    """Return the findings of a document."""
    documents = _documents()
    if documents is None:
        return []
    try:
        options = config.plugin_settings("vramlint", document_path=document.path)
        return documents.diagnostics(document.uri, document.source, options)
    except Exception:
        log.exception("vramlint: diagnostics failed; please report it")
        return []


@hookimpl(tryfirst=True)  # type: ignore[untyped-decorator]
def pylsp_hover(config: Any, document: Any, position: dict[str, int]) -> dict[str, Any] | None:
    """Return what a place has to do with memory, or None, which leaves the word to other plugins.

    The first answer counts, and jedi's plugin answers everywhere, with an empty text where it knows nothing.
    """
    documents = _documents()
    if documents is None:
        return None
    try:
        options = config.plugin_settings("vramlint", document_path=document.path)
        return documents.hover(document.uri, document.source, position, options)
    except Exception:
        log.exception("vramlint: hover failed; please report it")
        return None
