"""One look at the session: options, history and live facts in, a result out."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from vramlint.cli import gpu_detection, options
from vramlint.cli.usage import Parser, UsageError
from vramlint.knowledge import gpus
from vramlint.notebook.live import look
from vramlint.notebook.measured import files, others, settles, with_measured
from vramlint.notebook.result import Result
from vramlint.notebook.session import PATH, Session, only_of, without
from vramlint.pipeline import analyze
from vramlint.settings import Layer, Options, combine, project_layer, user_layers

if TYPE_CHECKING:
    from argparse import Namespace

    from vramlint.knowledge.gpu import Gpu
    from vramlint.notebook.live import Live, LiveGpu
    from vramlint.report import FileReport
    from vramlint.settings import Settings

_MIB = 2**20


def report(session: Session, line: str, upcoming: str | None) -> Result:
    """Return the report on what was executed, and on a cell before it runs where one is given.

    Raises:
        ConfigurationError: for options that cannot be used.
    """
    asked = _parsed(line)
    live = look(session.shell.user_ns)
    document = session.document(upcoming)
    settings = _settings(asked, live)

    def found(settings: Settings) -> FileReport:
        whole = without(analyze(document, settings, files(live)), session.superseded(document))
        return whole if upcoming is None else only_of(whole, document.cells[-1].index or 0)

    if settles(live, found(settings), upcoming):
        settings = with_measured(settings, live)
    if live.gpu is not None and settings.sources.get("gpu") == _MEASURED:
        settings = replace(settings, reserve=settings.reserve + _taken(live.gpu, found(settings)))
    return Result(found(settings), live, timeline=asked.timeline)


_MEASURED = "measured in the kernel"


def _parsed(line: str) -> Namespace:
    parser = Parser(
        prog="%vramlint", description="Report on the memory that the training in this session needs."
    )
    options.add_run_options(parser)
    options.add_script_options(parser)
    parser.add_argument(
        "--timeline", action="store_true", help="tell the memory moment by moment, in a terminal"
    )
    try:
        return parser.parse_args(shlex.split(line))
    except ValueError as error:
        raise UsageError(f"%vramlint {line}: {error}") from None
    except SystemExit:  # after --help
        raise UsageError("these are the options") from None


def _settings(asked: Namespace, live: Live) -> Settings:
    kernel = Layer(_MEASURED, Options(libraries=dict(live.libraries or {})))
    project = project_layer(Path.cwd())
    if project is not None and project.options.set:
        options.check_overrides(project.options.set, f"{project.source}: set")
    named = (options.command_line_layer(asked), *user_layers(), *(() if project is None else (project,)))
    layers = (named[0], kernel, *named[1:])
    if any(layer.options.gpu for layer in layers):
        return combine(layers, PATH)
    if live.gpu is None:
        return combine(layers, PATH, gpu_detection.detect())
    settings = combine(layers, PATH, _gpu(live.gpu))
    return replace(settings, sources={**settings.sources, "gpu": _MEASURED})


def _gpu(gpu: LiveGpu) -> Gpu:
    """Return the GPU as the driver has it: its real total, and what the catalogue knows of its kind."""
    return replace(gpus.measured(gpu.name, gpu.total // _MIB), bytes=gpu.total)


def _taken(gpu: LiveGpu, found: FileReport) -> int:
    return max((others(gpu, subject.estimate) for subject in found.runs), default=0)
