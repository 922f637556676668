"""estimate a plan document, or a model with a few options, without any script."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vramlint.cli import options, output
from vramlint.cli.inputs import STDIN
from vramlint.cli.plan_run import plan_run
from vramlint.cli.usage import UsageError
from vramlint.cli.workspace import Workspace, workspace
from vramlint.pipeline import analyze_plan
from vramlint.plan.hub import with_plan_config
from vramlint.plan.override import override_plan
from vramlint.plan.read import PlanError, read_plan
from vramlint.source.filesystem import FileSystem

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Iterator, Mapping

    from vramlint.report import FileReport

NO_FILE = "command line"

_FLAGS = {
    "batch": ("micro_batch_size", int, "sequences or images in one micro batch"),
    "seq": ("sequence_length", int, "tokens in one sequence"),
    "optimizer": ("optimizer", str, "the optimizer, such as torch.optim.AdamW or adamw_bnb_8bit"),
    "dtype": ("param_dtype", str, "dtype of the weights: float32, bfloat16, float16"),
    "mixed-precision": ("mixed_precision", str, "autocast: bf16, fp16 or no"),
    "framework": ("framework", str, "torch, transformers, trl, accelerate, lightning, deepspeed, …"),
    "task": ("task", str, "causal-lm, sequence-classification, dpo, …"),
    "mode": ("mode", str, "train or inference"),
    "attention": ("attention", str, "sdpa, eager, flash_attention_2, …"),
    "accumulate": ("gradient_accumulation_steps", int, "micro batches in one optimizer step"),
    "image-size": ("image_size", int, "pixels a side"),
}
"""Option: the plan's key, the type of its value, and what it is."""


def add_arguments(parser: ArgumentParser) -> None:
    """Describe the command line of `vramlint estimate`."""
    parser.add_argument("plans", metavar="PLAN.json", nargs="*", help="plan documents, or - for stdin")
    parser.add_argument("--model", metavar="ID", help="estimate this model instead of a plan document")
    for flag, (key, kind, meaning) in _FLAGS.items():
        parser.add_argument(f"--{flag}", metavar=kind.__name__.upper(), type=kind, dest=key, help=meaning)
    parser.add_argument(
        "--gradient-checkpointing",
        action="store_const",
        const=True,
        help="recompute layers in the backward pass",
    )
    options.add_run_options(parser)
    options.add_format_option(parser)


def run(arguments: Namespace) -> int:
    """Print the estimate of each plan; one alone is an object, several or a JSON list are a list."""
    renderer = options.output_format(arguments.format)
    if not hasattr(renderer, "render_run"):
        raise UsageError(f"the format {arguments.format!r} has no form for single runs; use text or json")
    place = workspace(arguments)
    overrides = _overrides(arguments)
    documents, is_list = _documents(arguments)
    reports = [plan_report(data, path, overrides, place) for path, data in documents]
    style = output.style(timeline=arguments.timeline)
    output.say(renderer.render_runs(reports, style) if is_list else renderer.render_run(reports[0], style))
    return 0


def _overrides(arguments: Namespace) -> dict[str, Any]:
    flags = {key: getattr(arguments, key) for key, _, _ in _FLAGS.values()}
    flags["gradient_checkpointing"] = arguments.gradient_checkpointing
    given = {key: value for key, value in flags.items() if value is not None}
    return given | options.parse_overrides(arguments.overrides)


def _documents(arguments: Namespace) -> tuple[list[tuple[str, Any]], bool]:
    """Return plans with the path that each comes from, and whether the answer is a list."""
    if arguments.model is not None and not arguments.plans:
        return [(NO_FILE, {"model": arguments.model})], False
    if arguments.model is not None:
        raise UsageError("name plans or a --model, not both")
    if not arguments.plans:
        raise UsageError("name a plan (PLAN.json or -) or a model (--model ID)")
    found = [(path, data) for path in arguments.plans for data in read_plans(path)]
    plans = [(path, one) for path, data in found for one in (data if isinstance(data, list) else [data])]
    return plans, len(arguments.plans) > 1 or isinstance(found[0][1], list)


def read_plans(path: str) -> Iterator[Any]:
    """Yield what a plan file or stdin holds, as plain data.

    Raises:
        UsageError: where it cannot be read or is no JSON.
    """
    try:
        text = sys.stdin.read() if path == STDIN else Path(path).read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"{path}: cannot be read: {getattr(error, 'strerror', None) or 'no UTF-8 text'}"
        ) from None
    try:
        yield json.loads(text)
    except json.JSONDecodeError as error:
        raise UsageError(
            f"{path}: no JSON: {error.msg} at line {error.lineno} column {error.colno}"
        ) from None
    except ValueError:
        raise UsageError(f"{path}: no plan: a number has too many digits") from None
    except RecursionError:
        raise UsageError(f"{path}: no plan: nested too deeply") from None


def plan_report(data: Any, path: str, overrides: Mapping[str, Any], place: Workspace) -> FileReport:
    """Return the report of a plan document with some of its keys overridden.

    Raises:
        UsageError: for what is no plan.
    """
    try:
        plan = read_plan(data)
        for key, value in overrides.items():
            plan = override_plan(plan, key, value)
    except PlanError as error:
        raise UsageError(f"{path}: {error}") from None
    plan = with_plan_config(plan, FileSystem())
    changed = {key.partition(".")[0] for key in overrides} | ({"model"} if path == NO_FILE else set())
    run, completed = plan_run(plan, path, changed)
    return analyze_plan(run, completed, place.settings(path))
