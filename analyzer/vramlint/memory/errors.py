"""What the engine says when it cannot say a figure."""

from __future__ import annotations


class CannotEstimate(Exception):  # noqa: N818  an answer, not an error
    """The memory of a plan cannot be said; the message tells a person why and what would settle it."""
