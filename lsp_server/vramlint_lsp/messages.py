"""Messages that the protocol has no types for keep their plain tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pygls.protocol import (
    JsonRPCNotification,
    JsonRPCRequestMessage,
    JsonRPCResponseMessage,
    default_converter,
)

if TYPE_CHECKING:
    from cattrs import Converter


def plain_converter() -> Converter:
    """Return pygls's converter, without its turning of tables into tuples: those lose keys such as `a.b`."""
    converter: Converter = default_converter()  # type: ignore[no-untyped-call]
    for kind in (JsonRPCRequestMessage, JsonRPCResponseMessage, JsonRPCNotification):
        converter.register_structure_hook(kind, _as_it_is)
    return converter


def _as_it_is(value: Any, kind: Any) -> Any:
    return kind(**value)
