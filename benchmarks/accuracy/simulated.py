"""Truth for plans from the simulator, in processes of their own: torch stays out of this one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any

from benchmarks.accuracy.rows import Row

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

# Two steps show everything that is new, and each one costs time (see `vramlint simulate --steps`).
_STEPS = 2
_FILE = "simulated"
_FIGURES = (
    ("load.end", "load", "end"),
    ("forward.peak", "forward", "peak"),
    ("forward.end", "forward", "end"),
    ("backward.peak", "backward", "peak"),
    ("optimizer_step.peak", "optimizer_step", "peak"),
    ("optimizer_step.end", "optimizer_step", "end"),
)


@dataclass(frozen=True, slots=True)
class Refused:
    """A plan that the simulator, or transformers itself, refuses."""

    id: str
    reason: str


def simulated(
    plans: Iterable[tuple[str, str, Mapping[str, Any]]], python: str = sys.executable
) -> Iterator[Row | Refused]:
    """Yield the row of each plan, given with its id and family; `python` is one with the extra `simulate`.

    Raises:
        RuntimeError: where the simulator ends before its last plan.
    """
    given = list(plans)
    lines = "".join(json.dumps(plan) + "\n" for _, _, plan in given)
    command = [python, "-m", "benchmarks.accuracy.simulated"]
    with TemporaryFile("w+") as stdin:
        stdin.write(lines)
        stdin.seek(0)
        with subprocess.Popen(command, stdin=stdin, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for name, family, plan in given:
                answer = process.stdout.readline()
                if not answer:
                    raise RuntimeError(f"the simulator ended at {name}: {json.dumps(plan)}")
                yield _row(name, family, plan, json.loads(answer))


def _row(name: str, family: str, plan: Mapping[str, Any], answer: Mapping[str, Any]) -> Row | Refused:
    if "reason" in answer:
        return Refused(name, answer["reason"])
    return Row(name, family, _FILE, plan, answer["truth"], _FILE, parameters=answer["parameters"])


def main() -> int:
    """Read plans from stdin, one a line, and print the figures of each."""
    for line in sys.stdin:
        answer = json.dumps(_figures(json.loads(line)))
        try:
            sys.stdout.write(answer + "\n")
            sys.stdout.flush()
        except BrokenPipeError:  # the reader has as many as it wanted
            os._exit(0)
    return 0


def _figures(data: Mapping[str, Any]) -> dict[str, Any]:
    from vramlint.plan.read import PlanError, read_plan  # noqa: PLC0415
    from vramlint.simulate.errors import CannotSimulate  # noqa: PLC0415
    from vramlint.simulate.run import simulate  # noqa: PLC0415

    try:
        # As the estimates are without a GPU, and as the recorded rows ran: torch's reference operators.
        simulation = simulate(read_plan(dict(data)), _STEPS, "reference")
    except (CannotSimulate, PlanError) as reason:
        return {"reason": str(reason)}
    figures = {"allocated": simulation.peak}
    for figure, phase, end in _FIGURES:
        figures[figure] = int(getattr(simulation.phases[phase], end))
    return {"truth": figures, "parameters": simulation.parameters}


if __name__ == "__main__":
    sys.exit(main())
