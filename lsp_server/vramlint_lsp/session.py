"""The session: what is open, and for each document one analysis that is of its newest state."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import TYPE_CHECKING, TypeVar

from vramlint.pipeline import analyze
from vramlint_lsp.advice import Advice, advise
from vramlint_lsp.buffers import Buffers, Source
from vramlint_lsp.files import Disk, Files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from vramlint.report import FileReport
    from vramlint.settings import Settings
    from vramlint_lsp.configuration import Configuration

T = TypeVar("T")

_TIDIED_AFTER = 100
"""Analyses after which garbage is collected at the latest: one leaves up to a megabyte of cycles behind."""

_IDLE = 1.0
"""Seconds without an analysis after which it is collected at the soonest."""


@dataclass(frozen=True, slots=True)
class Analysis:
    """What was found in one state of a document; `touched` are the paths that it depends on.

    `advice` has an entry for each run once it is worked out, after the findings.
    """

    source: Source
    settings: Settings
    report: FileReport
    touched: frozenset[str]
    seconds: float
    advice: tuple[Advice, ...] | None = None


@dataclass(slots=True)
class _State:
    analysis: Analysis | None = None
    task: asyncio.Task[None] | None = None
    advised: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(slots=True)
class Session:
    """One client's documents. All of it runs on the event loop; the analyses run on one worker thread.

    `done` is called with each finished analysis, `advised` when its advice is there, and `failed` with an
    exception that none of the two should have raised.
    """

    configuration: Configuration
    done: Callable[[Analysis], None]
    advised: Callable[[Analysis], None]
    failed: Callable[[str, Exception], None]
    buffers: Buffers = field(default_factory=Buffers)
    disk: Disk = field(default_factory=Disk)
    _untidy: int = 0
    _idle: asyncio.TimerHandle | None = None
    _states: dict[str, _State] = field(default_factory=dict)
    _worker: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "analysis"))

    def changed(self, source: Source | None) -> None:
        """Analyze a document that was opened or changed, and the open ones that depend on it."""
        if source is None:
            return
        self._start(source)
        self.renew({os.path.normpath(source.path)}, but=source.uri)

    def closed(self, uri: str) -> Source | None:
        """Drop a document."""
        self._states.pop(uri, None)
        source = self.buffers.close(uri)
        if source is not None:
            self.renew({os.path.normpath(source.path)})
        return source

    def renew(self, paths: Iterable[str] | None = None, but: str | None = None) -> bool:
        """Analyze again the open documents that depend on these paths, or all; say whether there were any."""
        changed = None if paths is None else set(paths)
        stale = [
            source
            for uri, source in self.buffers.sources.items()
            if uri != but and (changed is None or self._depends(uri, changed))
        ]
        for source in stale:
            self._start(self.buffers.renewed(source))
        return bool(stale)

    def current(self, uri: str) -> Analysis | None:
        """Return the last finished analysis of a document, which may be of an older text."""
        state = self._states.get(uri)
        return state.analysis if state is not None else None

    async def analysis(self, uri: str) -> Analysis | None:
        """Return the analysis of a document's newest state, waiting for it; None for one that is not open."""
        while (source := self.buffers.find(uri)) is not None:
            found = self.current(source.uri)
            if found is not None and found.source is source:
                return found
            await asyncio.shield(self._start(source))
        return None

    async def advice(self, uri: str, patience: float) -> Analysis | None:
        """Return the analysis with its advice, or without it where that takes longer than `patience` seconds."""
        found = await self.analysis(uri)
        if found is None or found.advice is not None:
            return found
        state = self._states[found.source.uri]
        try:
            await asyncio.wait_for(state.advised.wait(), patience)
        except TimeoutError:
            return found
        return state.analysis

    async def work(self, job: Callable[[], T]) -> T:
        """Run a job on the worker thread, after what it does at the moment."""
        return await asyncio.get_running_loop().run_in_executor(self._worker, job)

    def files(self) -> Files:
        """Return the files around the open documents as they are now."""
        return Files(self.disk, self.buffers.unsaved())

    def read(self, path: str) -> bytes | None:
        """Return the content of a file near a document, unsaved changes included."""
        return self.files().read(path)

    def report(self, source: Source, settings: Settings) -> FileReport:
        """Analyze a document under other settings; runs on the worker."""
        return self._analyze(source, settings).report

    def close(self) -> None:
        """Stop the worker."""
        if self._idle is not None:
            self._idle.cancel()
        self._worker.shutdown(wait=False, cancel_futures=True)

    def _start(self, source: Source) -> asyncio.Task[None]:
        state = self._states.setdefault(source.uri, _State())
        if state.task is None or state.task.done():
            state.task = asyncio.get_running_loop().create_task(self._refresh(source.uri, state))
        return state.task

    async def _refresh(self, uri: str, state: _State) -> None:
        """Analyze until the newest state is done, each time skipping those that came and went meanwhile."""
        while (source := self.buffers.sources.get(uri)) is not None:
            if state.analysis is not None and state.analysis.source is source:
                break
            settings = self.configuration.settings(source.path)
            found = await self.work(lambda: self._analyze(source, settings))  # noqa: B023  awaited right here
            if uri not in self.buffers.sources:  # closed meanwhile: there is nobody to tell
                return
            state.analysis, state.advised = found, asyncio.Event()
            self._call("analysis", self.done, found)
            await self._tidy()
        if state.analysis is not None and uri in self.buffers.sources:
            asyncio.get_running_loop().create_task(self._advise(uri, state, state.analysis))

    async def _tidy(self) -> None:
        """Free the cycles of earlier analyses where nobody types for a moment, at the latest after a hundred."""
        self._untidy += 1
        if self._idle is not None:
            self._idle.cancel()
        if self._untidy >= _TIDIED_AFTER:
            await self._collect()
        else:
            loop = asyncio.get_running_loop()
            self._idle = loop.call_later(_IDLE, lambda: loop.create_task(self._collect()))

    async def _collect(self) -> None:
        self._untidy = 0
        await self.work(gc.collect)

    async def _advise(self, uri: str, state: _State, found: Analysis) -> None:
        """Work out what takes longer, as long as the document stays as it is."""

        def is_stale() -> bool:
            return self.buffers.sources.get(uri) is not found.source

        try:
            told = await self.work(lambda: advise(found.report.runs, is_stale))
        except Exception as error:  # noqa: BLE001  advice is an extra: the findings stand without it
            self.failed("advice", error)
            told = ()
        if told is None or state.analysis is not found:
            return
        state.analysis = replace(found, advice=told)
        state.advised.set()
        self._call("advice", self.advised, state.analysis)

    def _call(self, what: str, listener: Callable[[Analysis], None], found: Analysis) -> None:
        try:
            listener(found)
        except Exception as error:  # noqa: BLE001  one feature that fails must not stop the others
            self.failed(what, error)

    def _analyze(self, source: Source, settings: Settings) -> Analysis:
        began = perf_counter()
        files = self.files()
        document, issues = source.read()
        report = analyze(document, settings, files, issues)
        return Analysis(source, settings, report, frozenset(files.touched), perf_counter() - began)

    def _depends(self, uri: str, paths: set[str]) -> bool:
        found = self.current(uri)
        if found is None:
            return False
        folders = {os.path.dirname(path) for path in paths}  # noqa: PTH120  many times for each keystroke
        return not found.touched.isdisjoint(paths) or not found.touched.isdisjoint(folders)


async def run_command(*arguments: str) -> tuple[int, str, str]:
    """Run a command of vramlint in a process of its own; return its status, output and errors."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "vramlint",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await process.communicate()
    return process.returncode or 0, output.decode("utf-8", "replace"), errors.decode("utf-8", "replace")
