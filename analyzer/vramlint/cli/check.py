"""check scripts and notebooks: the memory that each training needs, and whether it fits."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from vramlint.cli import inputs, options, output
from vramlint.cli.usage import UsageError
from vramlint.cli.workspace import Workspace, workspace
from vramlint.pipeline import analyze
from vramlint.report import FileReport, Report
from vramlint.settings import did_you_mean
from vramlint.source.filesystem import FileSystem

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Callable, Iterator, Sequence
    from types import ModuleType

    from vramlint.settings import Settings

_SEVERITIES = ("hint", "info", "warning", "error")
_CLEAN, _FOUND, _WRONG_USE = 0, 1, 2


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


def run(arguments: Namespace) -> int:
    """Check all files and print one report."""
    renderer = options.output_format(arguments.format)
    place = workspace(arguments)
    paths, errors = inputs.files(arguments.paths)
    checked = list(_check(paths, place, _reader(renderer, arguments.format)))
    for error in errors:
        output.complain(error)
    report = Report(tuple(file for file, _ in checked))
    if checked or arguments.format != "text":
        output.say(renderer.render(report, errors, output.style(timeline=arguments.timeline)))
    if errors:
        return _WRONG_USE
    return _FOUND if any(_fails(file, settings) for file, settings in checked) else _CLEAN


def _check(
    paths: Sequence[str], place: Workspace, reader: Callable[[str, Settings], FileReport]
) -> Iterator[tuple[FileReport, Settings]]:
    progress = output.Progress(len(paths))
    for number, path in enumerate(paths):
        progress.step(number)
        settings = place.settings(path)
        for option in ("select", "ignore"):
            _check_rule_names(getattr(settings, option), settings.sources.get(option, option))
        yield reader(path, settings), settings
    progress.done()


def _reader(renderer: ModuleType, name: str) -> Callable[[str, Settings], FileReport]:
    if getattr(renderer, "WANTS_SOURCES", False):
        return check_file_with_sources
    return check_file_with_edits if name == "json" else check_file


def check_file(path: str, settings: Settings) -> FileReport:
    """Read and analyze one file."""
    document, issues = inputs.load(path)
    return analyze(document, settings, FileSystem(), issues)


def check_file_with_edits(path: str, settings: Settings) -> FileReport:
    """Read and analyze one file, and work out the edits of its fixes."""
    from vramlint.mend import mended  # noqa: PLC0415  the text for people shows no edits

    document, issues = inputs.load(path)
    files = FileSystem()
    return mended(analyze(document, settings, files, issues), document, settings, files)


def check_file_with_sources(path: str, settings: Settings) -> FileReport:
    """Read and analyze one file with its edits, and keep the contents that its findings stand in."""
    report = check_file_with_edits(path, settings)
    spans = (
        span
        for finding in report.findings
        for span in (
            finding.span,
            *(related.span for related in finding.related),
            *(edit.span for fix in finding.fixes for edit in fix.edits),
        )
    )
    files = FileSystem()
    contents = {
        path: inputs.stdin() if path == inputs.STDIN else files.read(path)
        for path in {one.path for one in spans}
    }
    return replace(report, sources={path: found for path, found in contents.items() if found is not None})


def _check_rule_names(names: Sequence[str], source: str) -> None:
    if not names:
        return
    from vramlint.rules.catalogue import rules  # noqa: PLC0415

    for name in names:
        if name not in rules():
            raise UsageError(f"{source}: unknown rule {name!r}{did_you_mean(name, [*rules()])}")


def _fails(file: FileReport, settings: Settings) -> bool:
    if settings.fail_on == "never":
        return False
    least = _SEVERITIES.index(settings.fail_on)
    return any(_SEVERITIES.index(finding.severity) >= least for finding in file.findings)
