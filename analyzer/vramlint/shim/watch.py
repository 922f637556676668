"""`vramlint.watch()`: records the real memory of a training, phase by phase, and draws it beside the estimate."""

from __future__ import annotations

from contextlib import ExitStack
from html import escape
from typing import TYPE_CHECKING, Any, Self

from vramlint.shim.chart import Pair, comparison
from vramlint.shim.estimated import figure, phase_peak, run_of
from vramlint.shim.meter import cuda_meter
from vramlint.shim.phases import noticed
from vramlint.shim.recording import ORDER, Recording
from vramlint.shim.style import page

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from vramlint.shim.meter import Meter
    from vramlint.shim.recording import Record

_GIGA = 10**9


def watch(estimate: object = None, *, run: int = 0) -> Watch:
    """Return a context in which memory is recorded; show it afterwards to see the estimate beside it.

    `estimate` is the result of `%vramlint`, a report of `vramlint check --format json` or a file with one; `run` is the
    number of the run in it. torch's peak counters are reset at each phase. Evaluation inside counts as forward.

    Raises:
        TypeError, ValueError: for something that is no report.
    """
    return Watch(estimate, run)


class Watch:
    """A recording and what was estimated; `records` has the bytes of each phase of each step."""

    def __init__(self, estimate: object = None, run: int = 0, meter: Meter | None = None) -> None:
        self.estimate = run_of(estimate, run)
        self.why_not = "nothing was recorded yet"
        self._meter = meter
        self._recording: Recording | None = None
        self._hooks = ExitStack()

    @property
    def records(self) -> Sequence[Record]:
        """Return what was measured, in the order of time; empty where there was nothing to measure."""
        return self._recording.records if self._recording else ()

    def __enter__(self) -> Self:
        meter, self.why_not = (self._meter, "") if self._meter else cuda_meter()
        if meter is not None:
            self._recording = Recording(meter)
            self._hooks.enter_context(noticed(self._recording.enter))
            self._recording.begin()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._hooks.close()
        if self._recording is not None:
            self._recording.end()

    def callback(self) -> Any:
        """Return a callback for transformers' Trainer that records from the beginning to the end of `train()`."""
        from transformers import TrainerCallback  # noqa: PLC0415  the user's own

        watch = self

        class WatchCallback(TrainerCallback):
            """Records while the trainer trains."""

            def on_train_begin(self, *_: Any, **__: Any) -> None:
                watch.__enter__()

            def on_train_end(self, *_: Any, **__: Any) -> None:
                watch.__exit__(None, None, None)

        return WatchCallback()

    def pairs(self) -> list[Pair]:
        """Return the peak of each phase and of the whole, measured and estimated, in bytes."""
        recording = self._recording
        phases = [
            Pair(
                f"{phase.replace('_', ' ')}, allocated",
                phase_peak(self.estimate, phase),
                recording.peak(phase) if recording else None,
            )
            for phase in ORDER
        ]
        whole = [
            Pair(name, figure(self.estimate, name), self._most(name))
            for name in ("allocated", "reserved", "device")
        ]
        return [pair for pair in (*phases, *whole) if pair.estimated is not None or pair.measured is not None]

    def _most(self, name: str) -> int | None:
        return max((getattr(record, name) for record in self.records), default=None)

    def __str__(self) -> str:
        """Return a table: each figure measured, estimated, and how far the estimate is from it."""
        rows = [
            f"{pair.label:<28}{_size(pair.measured):>12}{_size(pair.estimated):>12}{_off(pair):>9}"
            for pair in self.pairs()
        ]
        head = f"{'':<28}{'measured':>12}{'estimated':>12}{'':>9}"
        told = [f"vramlint: {self.why_not}."] if self.why_not else []
        return "\n".join(row.rstrip() for row in [*told, *([head, *rows] if rows else [])])

    def __repr__(self) -> str:
        """Return the table: in a terminal this is what is shown."""
        return str(self)

    def _repr_html_(self) -> str:
        """Return the chart and the table, for a notebook."""
        pairs = self.pairs()
        told = f'<p class="doubt">{escape(self.why_not)}.</p>' if self.why_not else ""
        rows = "".join(
            f'<tr><td>{escape(pair.label)}</td><td class="n">{_size(pair.measured)}</td>'
            f'<td class="n">{_size(pair.estimated)}</td><td class="n">{_off(pair)}</td></tr>'
            for pair in pairs
        )
        table = (
            f"<table><tr><th></th><th>measured</th><th>estimated</th><th></th></tr>{rows}</table>"
            if rows
            else ""
        )
        chart = comparison(pairs) if pairs else ""
        return page("<h4>Memory of this training</h4>", told, chart, table)


def _size(size: int | None) -> str:
    if size is None:
        return "-"
    return f"{size / _GIGA:.2f} GB" if size >= _GIGA else f"{size / 10**6:.2f} MB"


def _off(pair: Pair) -> str:
    if not pair.measured or pair.estimated is None:
        return ""
    return f"{100 * (pair.estimated - pair.measured) / pair.measured:+.1f} %"
