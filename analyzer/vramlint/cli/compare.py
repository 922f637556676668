"""compare GPUs for a script's runs: which fit, and how many with everything sharded."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vramlint.cli import one_file, options, output
from vramlint.memory.engine import CannotEstimate, sketch
from vramlint.plan.document import Sharding
from vramlint.settings import find_gpu
from vramlint.units import gigabytes
from vramlint.wording import short_name

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from vramlint.knowledge.gpu import Gpu
    from vramlint.plan.document import Plan
    from vramlint.rules.subject import Subject

_USUAL = "RTX 4090,A100 40GB,A100 80GB,H100"
_COUNTS = (2, 4, 8, 16, 32, 64)
_FULLY = {"zero3", "fsdp", "fsdp2"}


@dataclass(frozen=True, slots=True)
class _Row:
    """One GPU: device bytes at the high end as the run is, whether that fits, and how many sharded ones do."""

    gpu: Gpu
    device: int | None
    fits: bool
    count: int | None


def add_arguments(parser: ArgumentParser) -> None:
    """Describe the command line of `vramlint compare`."""
    parser.add_argument("file", metavar="FILE", help="a script or a notebook")
    parser.add_argument(
        "--gpus", metavar="NAMES", default=_USUAL, help=f'GPUs with commas between (default: "{_USUAL}")'
    )
    options.add_plan_options(parser)
    options.add_script_options(parser)
    parser.add_argument("--format", choices=("text", "json"), default="text", help="text (default) or json")


def run(arguments: Namespace) -> int:
    """Print a table for each run."""
    gpus = [find_gpu(name.strip(), "--gpus") for name in arguments.gpus.split(",") if name.strip()]
    subjects, _ = one_file.runs(arguments)
    answers = [(subject, [_row(subject, gpu) for gpu in gpus if subject.plans]) for subject in subjects]
    if arguments.format == "json":
        output.say(json.dumps([_document(subject, rows) for subject, rows in answers], indent=2))
        return 0
    for subject, rows in answers:
        output.say(one_file.title(subject))
        if rows:
            output.say_table(("GPU", "has", "needs (device)", "as it is", "sharded"), [*map(_words, rows)])
    output.say("Device memory at its high end. Sharded: everything over so many GPUs (FSDP or ZeRO-3).")
    return 0


def _row(subject: Subject, gpu: Gpu) -> _Row:
    plan, room = subject.plans[0], gpu.bytes - subject.reserve
    device = _device(plan, gpu)
    if device is None or device <= room:
        return _Row(gpu, device, fits=device is not None, count=None)
    counts = (count for count in _COUNTS if (need := _device(_sharded(plan, count), gpu)) and need <= room)
    return _Row(gpu, device, fits=False, count=next(counts, None))


def _device(plan: Plan, gpu: Gpu) -> int | None:
    try:
        return sketch(plan, gpu).device.high
    except CannotEstimate:
        return None


def _sharded(plan: Plan, count: int) -> Plan:
    """Return the plan with everything sharded over `count` GPUs, its micro batch as it is."""
    sharding = plan.sharding or Sharding()
    kind = sharding.kind if sharding.kind in _FULLY else "zero3"
    changed = sharding.model_copy(update={"kind": kind, "world_size": count, "strategy": None})
    return plan.model_copy(update={"sharding": changed})


def _words(row: _Row) -> tuple[str, ...]:
    needs = "unknown" if row.device is None else gigabytes(row.device)
    verdict = "unknown" if row.device is None else "fits" if row.fits else "does not fit"
    sharded = "" if row.fits or row.device is None else f"{row.count} GPUs" if row.count else "not on 64 GPUs"
    return (short_name(row.gpu), gigabytes(row.gpu.bytes), needs, verdict, sharded)


def _document(subject: Subject, rows: list[_Row]) -> dict[str, Any]:
    span = subject.run.span
    gpus = [
        {
            "name": row.gpu.name,
            "bytes": row.gpu.bytes,
            "device": row.device,
            "fits": row.fits,
            "count": row.count,
        }
        for row in rows
    ]
    place = {"path": span.path, "cell": span.cell, "line": span.start.line}
    return {**place, "reason": None if rows else subject.why_not, "gpus": gpus}
