"""check scripts and notebooks: the memory that each training needs, and whether it fits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.cli import inputs, many, options, output
from vramlint.cli.usage import UsageError
from vramlint.cli.workspace import workspace
from vramlint.settings import did_you_mean
from vramlint.source.filesystem import FileSystem

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Sequence

    from vramlint.cli.cache import Store
    from vramlint.cli.workspace import Workspace
    from vramlint.render.style import Style
    from vramlint.report import FileReport
    from vramlint.settings import Settings

_SEVERITIES = ("hint", "info", "warning", "error")
_CLEAN, _FOUND, _WRONG_USE = 0, 1, 2
_WORTH_KEEPING = 8
"""From so many files on the cache is asked: reading it costs more than it saves for a few."""


def add_arguments(parser: ArgumentParser) -> None:
    """Describe the command line of `vramlint check`."""
    parser.add_argument(
        "paths", metavar="PATH", nargs="+", help="a script, a notebook, a folder, or - for stdin"
    )
    options.add_run_options(parser)
    options.add_script_options(parser)
    options.add_format_option(parser)
    parser.add_argument(
        "--fail-on",
        choices=("error", "warning", "never"),
        help="the least severe finding that makes the exit status 1 (default: error)",
    )
    parser.add_argument(
        "--jobs", metavar="N", type=int, help="processes for many files (default: one per CPU)"
    )
    parser.add_argument("--no-cache", action="store_true", help="check every file, whether it changed or not")


def run(arguments: Namespace) -> int:
    """Check all files and print one report."""
    renderer = options.output_format(arguments.format)
    if arguments.jobs is not None and arguments.jobs < 1:
        raise UsageError(f"--jobs {arguments.jobs}: at least one process has to work")
    place = workspace(arguments)
    paths, errors = inputs.files(arguments.paths)
    tasks = _tasks(paths, place)
    style = output.style(timeline=arguments.timeline)
    how = many.Check(arguments.format, style)
    results = many.results(how, tasks, arguments.jobs, _store(arguments, style, len(tasks)))
    for error in errors:
        output.complain(error)
    if results or arguments.format != "text":
        output.say(renderer.frame([result["piece"] for result in results], errors, style))
    if errors:
        return _WRONG_USE
    judged = zip(results, tasks, strict=True)
    return (
        _FOUND if any(_fails(result["severities"], settings) for result, (_, settings) in judged) else _CLEAN
    )


def check_file(path: str, settings: Settings) -> FileReport:
    """Read and analyze one file."""
    return many.check(path, settings, FileSystem())


def _store(arguments: Namespace, style: Style, files: int) -> Store | None:
    if arguments.no_cache or files < _WORTH_KEEPING:
        return None
    from vramlint.cli.cache import open_store  # noqa: PLC0415  only many files need it

    return open_store(arguments.format, style)


def _tasks(paths: Sequence[str], place: Workspace) -> list[many.Task]:
    tasks, known = [], set()
    for path in paths:
        settings = place.settings(path)
        for option in ("select", "ignore"):
            names = getattr(settings, option)
            if names not in known:
                _check_rule_names(names, settings.sources.get(option, option))
                known.add(names)
        tasks.append((path, settings))
    return tasks


def _check_rule_names(names: Sequence[str], source: str) -> None:
    if not names:
        return
    from vramlint.rules.catalogue import rules  # noqa: PLC0415

    for name in names:
        if name not in rules():
            raise UsageError(f"{source}: unknown rule {name!r}{did_you_mean(name, [*rules()])}")


def _fails(severities: Sequence[str], settings: Settings) -> bool:
    if settings.fail_on == "never":
        return False
    least = _SEVERITIES.index(settings.fail_on)
    return any(_SEVERITIES.index(severity) >= least for severity in severities)
