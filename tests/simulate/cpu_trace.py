"""Trains a plan on the CPU twice and prints both peaks: with real tensors, as torch's profiler saw them, and simulated.

Beside the simulator's own device, both go through torch's operators for the CPU, so that they are comparable.
"""

from __future__ import annotations

import json
import sys
from itertools import accumulate
from typing import Any

from vramlint.plan.defaults import complete
from vramlint.plan.read import read_plan
from vramlint.simulate import run
from vramlint.simulate.absent_gpu import Device

BLOCK = 512


def real_peak(plan: Any) -> int:
    """Return the largest amount that torch's CPU allocator handed out, in blocks as on a GPU."""
    import torch  # noqa: PLC0415
    from torch.profiler import ProfilerActivity, profile  # noqa: PLC0415

    from vramlint.memory.frameworks import behaviour_of  # noqa: PLC0415
    from vramlint.simulate.loop import Loop  # noqa: PLC0415
    from vramlint.simulate.model import build, place  # noqa: PLC0415

    class Silent:
        device = "cpu"

        def enter(self, *_: object) -> None: ...
        def mark(self, *_: object) -> None: ...
        def alive(self) -> None: ...

    model = build(plan)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        place(model, "cpu")
        for tensor in (*model.parameters(), *model.buffers()):
            torch.nn.init.zeros_(tensor)
        Loop(plan, model, Silent(), behaviour_of(plan, "")).run(2, lambda _: None)  # type: ignore[arg-type]
    events = [event for event in profiler.profiler.kineto_results.events() if event.name() == "[memory]"]
    events.sort(key=lambda event: event.start_ns())
    sizes = [event.nbytes() for event in events]
    return max(
        accumulate(
            (size > 0) * -(-size // BLOCK) * BLOCK + (size < 0) * (size // BLOCK) * BLOCK for size in sizes
        )
    )


def main() -> None:
    """Print both peaks of the plan on stdin."""
    plan, _ = complete(read_plan(json.load(sys.stdin)))
    run.claim_device = lambda: Device("cpu")
    simulated = run.simulate(plan, 2).peak
    sys.stdout.write(json.dumps({"simulated": simulated, "real": real_peak(plan)}))


if __name__ == "__main__":
    main()
