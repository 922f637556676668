"""From a plan to its simulation."""

from __future__ import annotations

import time
import warnings
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Literal

from vramlint.memory.frameworks import behaviour_of
from vramlint.plan.defaults import complete
from vramlint.simulate.absent_gpu import Device, claim_device
from vramlint.simulate.errors import CannotSimulate, MissingPackage
from vramlint.simulate.limits import fallbacks, refuse

if TYPE_CHECKING:
    from collections.abc import Callable

    from vramlint.plan.document import Plan
    from vramlint.simulate.loop import Loop
    from vramlint.simulate.result import Simulation

# Whose kernels run: those of a GPU, or torch's reference operators where CUDA's are written out in several.
Kernels = Literal["cuda", "reference"]

STEPS = 3
_LIBRARIES = ("torch", "transformers", "peft", "torchvision", "timm")


def simulate(
    plan: Plan,
    steps: int = STEPS,
    kernels: Kernels = "cuda",
    progress: Callable[[str], None] = lambda _: None,
) -> Simulation:
    """Run the first training steps of a plan on tensors without data.

    `kernels` as in an estimate: a GPU's own, or the reference operators that an estimate without a GPU counts.
    `progress` is told what begins.

    Raises:
        CannotSimulate: for what the simulator does not run, or packages that are missing.
    """
    plan, _ = complete(plan)
    refuse(plan)
    plan, notes = fallbacks(plan)
    device = claim_device()
    try:
        import transformers  # noqa: F401, PLC0415  torch may only be imported now
    except ImportError:
        raise MissingPackage(
            "transformers is not installed; `pip install 'vramlint[simulate]'` brings it"
        ) from None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _simulated(plan, steps, device, kernels, notes, progress)


def _simulated(  # noqa: PLR0917  passed on
    plan: Plan,
    steps: int,
    device: Device,
    kernels: Kernels,
    notes: tuple[str, ...],
    progress: Callable[[str], None],
) -> Simulation:
    # torch may only be imported once the device is there
    from vramlint.simulate.environment import absent_gpu  # noqa: PLC0415
    from vramlint.simulate.loop import Loop  # noqa: PLC0415
    from vramlint.simulate.model import build, place  # noqa: PLC0415
    from vramlint.simulate.recorder import Recorder  # noqa: PLC0415
    from vramlint.simulate.result import Replay, Simulation  # noqa: PLC0415

    began = time.monotonic()
    progress("building the model")
    model = build(plan)
    with absent_gpu(device.kind, kernels):
        place(model, device.kind)
        recorder = Recorder(device.kind)
        recorder.enter("load", 0)
        recorder.mark(model.parameters(), "weights")
        recorder.mark(model.buffers(), "buffers")
        config = getattr(model, "config", None)
        behaviour = behaviour_of(plan, str(getattr(config, "model_type", "")))
        if not behaviour.uses_cache and config is not None:
            config.use_cache = False
        trained = [p for p in model.parameters() if p.requires_grad]
        if not trained:
            raise CannotSimulate("no parameter is trained")
        with recorder:
            loop = Loop(plan, model, recorder, behaviour)
            _run(loop, steps, progress)
        replay = Replay(recorder)
    worst = replay.phases[replay.worst]
    return Simulation(
        peak=worst.peak,
        phase=replay.worst,
        step=worst.step,
        phases=replay.phases,
        tensors=replay.tensors_at(worst.moment),
        curve=tuple(replay.curve),
        parameters=sum(p.numel() for p in model.parameters()),
        trainable_parameters=sum(p.numel() for p in trained),
        steps=steps,
        seconds=time.monotonic() - began,
        device=device.kind,
        libraries=dict(_versions()),
        notes=(*notes, *((device.note,) if device.note else ())),
    )


def _run(loop: Loop, steps: int, progress: Callable[[str], None]) -> None:
    try:
        loop.run(steps, lambda step: progress(f"step {step} of {steps}"))
    except CannotSimulate:
        raise
    except Exception as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise CannotSimulate(f"the model's code does not run on tensors without data: {lines[0]}") from error


def _versions() -> list[tuple[str, str]]:
    found = []
    for name in _LIBRARIES:
        try:
            found.append((name, version(name)))
        except PackageNotFoundError:
            continue
    return found
