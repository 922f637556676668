"""fetch the config of a model that the catalogue lacks, and keep it on this machine."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

from vramlint.cli.output import say
from vramlint.cli.usage import UsageError
from vramlint.source.model_configs import fetched_path

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

_PATIENCE = 120  # seconds; the hub answers in a few


def add_arguments(parser: ArgumentParser) -> None:
    """Describe the command line of `vramlint fetch`."""
    parser.add_argument("model", metavar="ID", help="a model's id on the Hugging Face hub, or a folder")


def run(arguments: Namespace) -> int:
    """Ask the hub in another process, without running any code of the repository, and keep the config."""
    model_id: str = arguments.model
    command = [sys.executable, "-m", "vramlint.hub.ask", model_id]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE, check=False)  # noqa: S603
    except subprocess.TimeoutExpired:
        raise UsageError(f"the hub did not answer for {model_id!r} within {_PATIENCE} s") from None
    if answer.returncode != 0:
        raise UsageError(f"no config for {model_id!r}: {_reason(answer.stderr)}")
    config = json.loads(answer.stdout)
    path = fetched_path(model_id)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(config, indent=1, sort_keys=True), encoding="utf-8")
    say(f"{model_id}: {config.get('model_type', 'a model without a model_type')}, kept in {path}")
    return 0


def _reason(stderr: str) -> str:
    lines = [line for line in stderr.strip().splitlines() if line.strip()]
    return lines[-1] if lines else "the process died without a word"
