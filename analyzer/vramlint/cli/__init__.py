"""The command `vramlint`: a dispatcher that imports only the command that was asked for."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from importlib.util import find_spec
from itertools import pairwise
from typing import TYPE_CHECKING

from vramlint.cli.output import complain, say
from vramlint.cli.usage import Parser, UsageError
from vramlint.settings import ConfigurationError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

_INTERRUPTED = 130
_PIPE_CLOSED = 141
_WRONG_USE = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status.

    0 is clean, 1 means findings at or above `--fail-on`, 2 wrong use or configuration, 130 interrupted.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        status = _dispatch(given)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _PIPE_CLOSED
    return status


def _dispatch(given: Sequence[str]) -> int:
    if not given or given[0] in {"-h", "--help", "help"}:
        return _help()
    if given[0] == "--version":
        return _version()
    try:
        command = _command(given[0])
        parser = Parser(prog=f"vramlint {given[0]}", description=_summary(command))
        command.add_arguments(parser)
        return int(command.run(parser.parse_args(given[1:])))
    except ConfigurationError as error:
        return _refuse(str(error), given)


def _command(name: str) -> ModuleType:
    """Import the command of that name; helper modules of this package have no `add_arguments`."""
    module = f"vramlint.cli.{name.replace('-', '_')}"
    if name.replace("-", "_").isidentifier() and find_spec(module) is not None:
        command = import_module(module)
        if hasattr(command, "add_arguments"):
            return command
    raise UsageError(f"unknown command {name!r}{did_you_mean(name, [*_commands()])}")


def _commands() -> dict[str, ModuleType]:
    from pkgutil import iter_modules  # noqa: PLC0415  only help and wrong names need it

    found = {module.name: import_module(f"vramlint.cli.{module.name}") for module in iter_modules(__path__)}
    return {
        name.replace("_", "-"): module for name, module in found.items() if hasattr(module, "add_arguments")
    }


def _summary(command: ModuleType) -> str:
    return (command.__doc__ or "").split("\n", maxsplit=1)[0]


def _help() -> int:
    say("usage: vramlint COMMAND [options]\n")
    say("Reads a training script without running it and says how much GPU memory it needs, and why.\n")
    for name, command in _commands().items():
        say(f"  {name:<12}{_summary(command)}")
    say("\n`vramlint COMMAND --help` lists a command's options; `vramlint --version` prints the version.")
    return 0


def _version() -> int:
    from vramlint import __version__  # noqa: PLC0415

    say(f"vramlint {__version__}")
    return 0


def _refuse(message: str, given: Sequence[str]) -> int:
    """Say in one line what is wrong; where JSON was asked for, stdout holds a document all the same."""
    complain(message)
    if _wants_json(given):
        from vramlint.render.json import render_errors  # noqa: PLC0415

        say(render_errors([message]))
    return _WRONG_USE


def _wants_json(given: Sequence[str]) -> bool:
    return "--format=json" in given or ("--format", "json") in pairwise(given)
