"""What an estimator answered for one row: the tensors' bytes, and how long its process took."""

from __future__ import annotations

import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_PATIENCE = 60


@dataclass(frozen=True, slots=True)
class Answer:
    """Bytes that the training allocates, None where the estimator refuses or lacks the words for it."""

    allocated: int | None
    seconds: float


@dataclass(frozen=True, slots=True)
class Printed:
    """What a command printed, and the wall time of its process."""

    text: str
    seconds: float


def ask(command: Sequence[str], environment: Mapping[str, str], stdin: str = "") -> Printed:
    """Run an estimator's command line."""
    began = time.perf_counter()
    done = subprocess.run(
        command,
        input=stdin,
        env=dict(environment),
        capture_output=True,
        text=True,
        timeout=_PATIENCE,
        check=False,
    )
    return Printed(done.stdout, time.perf_counter() - began)
