"""`vramlint/report`: the JSON report of a document, under its own settings or under assumed ones."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from vramlint.memory.course import course
from vramlint.memory.errors import CannotEstimate
from vramlint.render import json as json_format
from vramlint.render.style import Style
from vramlint.report import Report
from vramlint.settings import ConfigurationError
from vramlint_lsp.advice import advise

if TYPE_CHECKING:
    from vramlint.report import FileReport
    from vramlint.rules.subject import Subject
    from vramlint_lsp.buffers import Source
    from vramlint_lsp.server import Server

METHOD = "vramlint/report"


def register(server: Server) -> None:
    """Register the requests of panels."""

    @server.guarded(METHOD)
    async def report(params: dict[str, Any] | None) -> dict[str, Any]:
        return await _report(server, params or {})

    @server.guarded("vramlint/largest", default=[])
    async def largest(params: dict[str, Any] | None) -> list[dict[str, int | None]]:
        found = await _analyzed(server, params or {})
        return [] if found is None else await server.session.work(lambda: _largest(found))

    @server.guarded("vramlint/gpus", default=[])
    def gpus(_: object) -> list[dict[str, Any]]:
        from vramlint.knowledge import gpus  # noqa: PLC0415  only where a list is shown

        common = {gpu.name for gpu in gpus.common()}
        return [
            {"name": gpu.name, "bytes": gpu.bytes, "common": gpu.name in common} for gpu in gpus.all_gpus()
        ]


def _largest(report: FileReport) -> list[dict[str, int | None]]:
    """Return for each run the largest amounts that fit its GPU; null where nothing bounds one or no GPU is known."""
    advice = advise(report.runs, lambda: False) or ()
    return [{name: room.largest for name, room in one.rooms.items()} for one in advice]


async def _analyzed(server: Server, params: dict[str, Any]) -> FileReport | None:
    """Return the analysis of a document under what a request assumes; None where it is not open, or that is wrong."""
    session = server.session
    source = session.buffers.find(params.get("uri") or "")
    if source is None:
        return None
    try:
        settings = server.configuration.with_request(
            source.path, params.get("gpu"), params.get("overrides") or {}
        )
    except ConfigurationError:
        return None
    return await session.work(lambda: session.report(source, settings))


async def _report(server: Server, params: dict[str, Any]) -> dict[str, Any]:
    uri = params.get("uri") or (params.get("textDocument") or {}).get("uri") or ""
    session, gpu, overrides = server.session, params.get("gpu"), params.get("overrides") or {}
    source = session.buffers.find(uri)
    if source is None:
        return _document(None, [f"{uri or 'no document'}: not open"])
    if not gpu and not overrides:
        found = await session.analysis(uri)
        return _document(None, ["closed"]) if found is None else _of(found.source, found.report)
    try:
        settings = server.configuration.with_request(source.path, gpu, overrides)
    except ConfigurationError as error:
        return _of(source, None, str(error))
    return _of(source, await session.work(lambda: session.report(source, settings)))


def _of(source: Source, report: FileReport | None, *errors: str) -> dict[str, Any]:
    """Return a report with what the client needs to match it to its documents."""
    cells = [text.uri for text in source.texts] if source.is_notebook else None
    return {
        "uri": source.uri,
        "documentVersion": source.version,
        "cells": cells,
        **_document(report, errors),
    }


def _document(report: FileReport | None, errors: list[str] | tuple[str, ...]) -> dict[str, Any]:
    files = () if report is None else (report,)
    text = json_format.render(Report(files), errors, Style(timeline=True))
    document: dict[str, Any] = json.loads(text)
    for file, written in zip(files, document["files"], strict=True):
        for subject, run in zip(file.runs, written["runs"], strict=True):
            if run["memory"] is not None:
                run["memory"]["course"] = _course(subject)
    return document


def _course(subject: Subject) -> list[dict[str, Any]]:
    """Return how the memory of the expected plan runs through the first steps, part by part."""
    try:
        points = course(subject.plans[0], subject.gpu)
    except CannotEstimate:  # the figure is that of a stand-in
        return []
    return [{"phase": point.phase, "step": point.step, "bytes": dict(point.bytes)} for point in points]
