"""list the GPUs that are known, with their real memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.cli.output import say, say_table
from vramlint.cli.usage import UsageError
from vramlint.knowledge import gpus
from vramlint.units import gibibytes, gigabytes

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from vramlint.knowledge.gpu import Gpu


def add_arguments(parser: ArgumentParser) -> None:
    """Describe the command line of `vramlint gpus`."""
    parser.add_argument("pattern", metavar="PATTERN", nargs="?", default="", help="part of a name")


def run(arguments: Namespace) -> int:
    """Print a row for each GPU whose name holds the pattern."""
    word = arguments.pattern.lower()
    found = [gpu for gpu in gpus.all_gpus() if word in gpu.name.lower() or word in gpu.architecture.lower()]
    if not found:
        raise UsageError(f"no GPU is called {arguments.pattern!r}; `vramlint gpus` lists all")
    say_table(("name", "total", "in GiB", "architecture", "capability"), [_row(gpu) for gpu in found])
    say("\nThe total is what the driver or torch reports, which is a little less than the marketed size.")
    return 0


def _row(gpu: Gpu) -> tuple[str, ...]:
    capability = ".".join(str(part) for part in gpu.capability) if any(gpu.capability) else "unknown"
    return (gpu.name, gigabytes(gpu.bytes), gibibytes(gpu.bytes), gpu.architecture, capability)
