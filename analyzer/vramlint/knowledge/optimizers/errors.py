"""What is raised for a name that no optimizer has."""

from __future__ import annotations


class UnknownOptimizer(LookupError):  # noqa: N818  named for what it is, as the other look-ups are
    """Nobody knows this optimizer; `nearest` are the names that look most like it."""

    def __init__(self, name: str, nearest: tuple[str, ...]) -> None:
        hint = f"; did you mean {' or '.join(nearest)}?" if nearest else ""
        super().__init__(f"unknown optimizer {name!r}{hint}")
        self.name = name
        self.nearest = nearest
