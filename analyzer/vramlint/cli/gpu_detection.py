"""Finds the GPU of this machine with `nvidia-smi`; none, or no answer in time, is fine."""

from __future__ import annotations

import shutil
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vramlint.knowledge.gpu import Gpu

_SECONDS = 3


@cache
def detect() -> Gpu | None:
    """Return the smallest GPU of this machine with the total that its driver reports, or None."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return None
    return _smallest(_ask(program))


def _ask(program: str) -> str:
    import subprocess  # noqa: PLC0415  only where there is something to ask

    query = [program, "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=_SECONDS, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""


def _smallest(answer: str) -> Gpu | None:
    """Read lines such as `NVIDIA H200, 143771`: the total is in MiB."""
    gpus = [gpu for row in answer.splitlines() if (gpu := _gpu(row)) is not None]
    return min(gpus, key=lambda gpu: gpu.bytes, default=None)


def _gpu(row: str) -> Gpu | None:
    from vramlint.knowledge import gpus  # noqa: PLC0415  only where a GPU was found

    name, _, mebibytes = row.rpartition(",")
    if not name.strip() or not mebibytes.strip().isdigit():
        return None
    return gpus.measured(name.strip(), int(mebibytes))
