"""Checking files one by one or in several processes; what each gives is plain data, which a cache can keep."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from vramlint.cli import inputs, output
from vramlint.pipeline import analyze
from vramlint.source.filesystem import FileSystem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from types import ModuleType

    from vramlint.cli.cache import Store
    from vramlint.render.style import Style
    from vramlint.report import FileReport
    from vramlint.settings import Settings
    from vramlint.source.neighbours import Neighbours

Task = tuple[str, "Settings"]
Result = dict[str, Any]
"""A file's piece of the output, and the severities of its findings."""

_WORTH_A_PROCESS = 32
"""Files that one more process should have, as starting it costs as much as some of them."""


@dataclass(frozen=True, slots=True)
class Check:
    """How each file is checked: with a renderer, its style, and edits where it shows them."""

    renderer: str
    style: Style

    def result(self, path: str, settings: Settings, files: Neighbours) -> Result:
        """Return what one file gives."""
        module = self.module()
        report = self._report(module, path, settings, files)
        severities = [finding.severity for finding in report.findings]
        return {"piece": module.piece(report, self.style), "severities": severities}

    def module(self) -> ModuleType:
        """Return the renderer."""
        from vramlint.render.catalogue import load  # noqa: PLC0415  as every format

        module = load(self.renderer)
        assert module is not None
        return module

    def _report(self, module: ModuleType, path: str, settings: Settings, files: Neighbours) -> FileReport:
        if getattr(module, "WANTS_SOURCES", False):
            return with_sources(check_with_edits(path, settings, files), files)
        if self.renderer == "json":
            return check_with_edits(path, settings, files)
        return check(path, settings, files)


def check(path: str, settings: Settings, files: Neighbours) -> FileReport:
    """Read and analyze one file."""
    document, issues = inputs.load(path)
    return analyze(document, settings, files, issues)


def check_with_edits(path: str, settings: Settings, files: Neighbours) -> FileReport:
    """Read and analyze one file, and work out the edits of its fixes."""
    from vramlint.mend import mended  # noqa: PLC0415  the text for people shows no edits

    document, issues = inputs.load(path)
    return mended(analyze(document, settings, files, issues), document, settings, files)


def with_sources(report: FileReport, files: Neighbours) -> FileReport:
    """Return the report with the contents of all files that its findings and edits stand in."""
    paths = dict.fromkeys(span.path for finding in report.findings for span in finding.spans())
    contents = {path: inputs.stdin() if path == inputs.STDIN else files.read(path) for path in paths}
    return replace(report, sources={path: data for path, data in contents.items() if data is not None})


def results(how: Check, tasks: Sequence[Task], jobs: int | None, store: Store | None) -> list[Result]:
    """Return what each file gives, in their order; only those that the store does not know are checked."""
    progress = output.Progress(len(tasks))
    found: dict[str, Result] = {}
    for path, result in _all(how, tasks, jobs, store):
        found[path] = result
        progress.step(len(found))
    progress.done()
    return [found[path] for path, _ in tasks]


def _all(
    how: Check, tasks: Sequence[Task], jobs: int | None, store: Store | None
) -> Iterator[tuple[str, Result]]:
    if store is None:
        yield from _checked(how, tasks, jobs)
        return
    names = {path: repr(settings) for path, settings in tasks}
    missing = []
    for path, settings in tasks:
        known = None if path == inputs.STDIN else store.find(path, names[path])
        if known is None:
            missing.append((path, settings))
        else:
            yield path, dict(known)
    for path, result, seen in _recorded(how, missing, jobs):
        if path != inputs.STDIN:
            store.keep(path, names[path], seen, result)
        yield path, result
    store.save()


def _checked(how: Check, tasks: Sequence[Task], jobs: int | None) -> Iterator[tuple[str, Result]]:
    if _processes(len(tasks), jobs) == 1:
        for path, settings in tasks:
            yield path, how.result(path, settings, FileSystem())
        return
    for path, result, _ in _recorded(how, tasks, jobs):
        yield path, result


def _recorded(
    how: Check, tasks: Sequence[Task], jobs: int | None
) -> Iterator[tuple[str, Result, Mapping[str, Any]]]:
    """Yield each file's result with what was read for it."""
    processes = _processes(len(tasks), jobs)
    if processes == 1 or any(path == inputs.STDIN for path, _ in tasks):
        yield from (record(how, task) for task in tasks)
        return
    from concurrent.futures import ProcessPoolExecutor  # noqa: PLC0415  only many files need processes
    from multiprocessing import get_context  # noqa: PLC0415

    # A fork has all modules already; elsewhere it is not safe, or not there.
    context = get_context("fork" if sys.platform == "linux" else None)
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        yield from pool.map(record, [how] * len(tasks), tasks, chunksize=8)


def record(how: Check, task: Task) -> tuple[str, Result, Mapping[str, Any]]:
    """Check one file, and say what was read for it."""
    from vramlint.cli.cache import Recorder, digest  # noqa: PLC0415  a check of one file needs no cache
    from vramlint.source.filesystem import read_bytes  # noqa: PLC0415
    from vramlint.source.read import NOTEBOOK_LIMIT  # noqa: PLC0415

    path, settings = task
    own = digest(None if path == inputs.STDIN else read_bytes(path, NOTEBOOK_LIMIT))
    files = Recorder()
    result = how.result(path, settings, files)
    return path, result, {"own": own, **files.seen()}


def _processes(files: int, jobs: int | None) -> int:
    most = jobs or len(
        os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    )
    return max(min(most, files if jobs else files // _WORTH_A_PROCESS), 1)
