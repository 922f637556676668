"""What is raised for a name that no GPU has, or several have."""

from __future__ import annotations


class UnknownGpu(LookupError):  # noqa: N818  named for what it is, as the other look-ups are
    """Nobody knows this GPU; `nearest` are the names that look most like it."""

    def __init__(self, name: str, nearest: tuple[str, ...]) -> None:
        hint = f"did you mean {' or '.join(nearest)}?" if nearest else "name a GPU or a size such as 24GB"
        super().__init__(f"unknown GPU {name!r}; {hint}")
        self.name = name
        self.nearest = nearest


class AmbiguousGpu(LookupError):  # noqa: N818
    """Several GPUs of different memory have this name; `choices` are all of them."""

    def __init__(self, name: str, choices: tuple[str, ...]) -> None:
        super().__init__(f"several GPUs are called {name!r}; say which: {', '.join(choices)}")
        self.name = name
        self.choices = choices
