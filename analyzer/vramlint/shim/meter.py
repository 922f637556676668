"""The memory of the current CUDA device as torch and the driver count it."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any, Protocol


class Meter(Protocol):
    """What a recording asks; all in bytes, peaks since the last reset."""

    def reset(self) -> None:
        """Begin a new stretch: peaks count from here."""

    def allocated(self) -> int:
        """Return what is allocated now."""

    def peak_allocated(self) -> int:
        """Return the most that was allocated."""

    def peak_reserved(self) -> int:
        """Return the most that was reserved."""

    def device(self) -> int:
        """Return what the whole device holds now, other programs included."""


@dataclass(frozen=True, slots=True)
class CudaMeter:
    """The counters of torch's caching allocator, and the driver's of the device."""

    cuda: Any

    def reset(self) -> None:
        """Begin a new stretch."""
        self.cuda.reset_peak_memory_stats()

    def allocated(self) -> int:
        """Return what is allocated now."""
        return int(self.cuda.memory_allocated())

    def peak_allocated(self) -> int:
        """Return the most that was allocated."""
        return int(self.cuda.max_memory_allocated())

    def peak_reserved(self) -> int:
        """Return the most that was reserved."""
        return int(self.cuda.max_memory_reserved())

    def device(self) -> int:
        """Return what the whole device holds now."""
        free, total = self.cuda.mem_get_info()
        return int(total - free)


def cuda_meter() -> tuple[Meter | None, str]:
    """Return the meter of this process, or None and why there is nothing to record."""
    try:
        import torch  # noqa: PLC0415  the user's own, and only where a recording begins
    except ImportError:
        return None, "torch is not installed here: there is no memory to record"
    if torch.version.cuda is None:
        return None, f"torch {torch.__version__} is built without CUDA: there is no CUDA memory to record"
    if not torch.cuda.is_available():
        return (
            None,
            f"torch {torch.__version__} finds no CUDA device on {sys.platform}: there is no memory to record",
        )
    torch.cuda.init()
    return CudaMeter(torch.cuda), ""
