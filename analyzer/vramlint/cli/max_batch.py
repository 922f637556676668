"""find the largest micro batch and sequence length of a script's runs that fit each GPU."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from vramlint.cli import one_file, options, output
from vramlint.cli.usage import UsageError
from vramlint.memory.largest import MOST, largest_that_fits
from vramlint.settings import find_gpu
from vramlint.wording import short_name

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Iterator, Sequence

    from vramlint.knowledge.gpu import Gpu
    from vramlint.memory.largest import Amount
    from vramlint.plan.document import Plan
    from vramlint.rules.subject import Subject

_AMOUNTS: tuple[Amount, ...] = ("micro_batch_size", "sequence_length")
_HEAD = ("GPU", "micro batch", "sequence length")


def add_arguments(parser: ArgumentParser) -> None:
    """Describe the command line of `vramlint max-batch`."""
    parser.add_argument("file", metavar="FILE", help="a script or a notebook")
    parser.add_argument(
        "--gpu", metavar="NAME|GB", dest="gpus", action="append", help="a GPU; may be given several times"
    )
    options.add_plan_options(parser)
    options.add_script_options(parser)
    parser.add_argument("--format", choices=("text", "json"), default="text", help="text (default) or json")


def run(arguments: Namespace) -> int:
    """Print a table for each run: the largest amounts, each with the other as the script has it."""
    subjects, settings = one_file.runs(arguments)
    known = [find_gpu(name, "--gpu") for name in arguments.gpus or ()]
    if not known and settings.gpu is not None:
        known = [settings.gpu]
    if not known:
        raise UsageError("name a GPU, such as --gpu 'RTX 4090'")
    answers = [(subject, list(_rows(subject, known))) for subject in subjects]
    if arguments.format == "json":
        output.say(json.dumps([_document(subject, rows) for subject, rows in answers], indent=2))
    else:
        _tell(answers)
    return 0


def _rows(subject: Subject, gpus: Sequence[Gpu]) -> Iterator[tuple[Gpu, dict[Amount, int | None]]]:
    if not subject.plans:
        return
    plan = subject.plans[0]
    for gpu in gpus:
        yield gpu, {name: _largest(plan, name, gpu, subject.reserve) for name in _AMOUNTS}


def _largest(plan: Plan, name: Amount, gpu: Gpu, reserve: int) -> int | None:
    """Return the largest amount; None where the run has no such setting or the engine cannot say."""
    if getattr(plan, name) is None:
        return None
    return largest_that_fits(plan, name, gpu, reserve)


def _tell(answers: Sequence[tuple[Subject, list[tuple[Gpu, dict[Amount, int | None]]]]]) -> None:
    for subject, rows in answers:
        output.say(one_file.title(subject))
        if rows:
            table = [(short_name(gpu), *(_word(found[name]) for name in _AMOUNTS)) for gpu, found in rows]
            output.say_table(_HEAD, table)
            output.say("Each with the other as the script has it; device memory at its high end fits.")


def _word(amount: int | None) -> str:
    if amount is None:
        return "unknown"
    return "none fits" if amount == 0 else f"{min(amount, MOST):,}"


def _document(subject: Subject, rows: Sequence[tuple[Gpu, dict[Amount, int | None]]]) -> dict[str, Any]:
    gpus = [{"name": gpu.name, "bytes": gpu.bytes, **found} for gpu, found in rows]
    span = subject.run.span
    place = {"path": span.path, "cell": span.cell, "line": span.start.line}
    return {**place, "reason": None if rows else subject.why_not, "gpus": gpus}
