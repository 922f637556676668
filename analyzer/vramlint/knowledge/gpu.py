"""A GPU."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU; `bytes` is its real total (or the marketed size where only a size was named).

    `capability` is the CUDA compute capability, (0, 0) where unknown; `cited` says who reported the total.
    """

    name: str
    bytes: int
    capability: tuple[int, int] = (0, 0)
    architecture: str = "unknown"
    cited: str = ""
