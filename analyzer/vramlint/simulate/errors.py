"""Why a plan cannot be simulated."""

from __future__ import annotations


class CannotSimulate(Exception):  # noqa: N818  it says what cannot be done, not that something broke
    """A plan that the simulator does not run; the message names the feature and what to do."""


class MissingPackage(CannotSimulate):
    """A package of the extra `simulate`, or one that the plan needs, is not installed."""
