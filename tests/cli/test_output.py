"""What stdout can show is found out once, and progress disturbs nobody."""

from __future__ import annotations

import sys

import pytest

from vramlint.cli import output


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Pretend that stdout and stderr are a terminal of 80 columns without wishes of its own."""
    for stream in (sys.stdout, sys.stderr):
        monkeypatch.setattr(stream, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    return monkeypatch


def test_a_terminal_gets_colour_and_its_width(terminal: pytest.MonkeyPatch) -> None:
    """As wide as the terminal, in colour."""
    assert terminal is not None
    assert (True, 80) == (output.style().color, output.style().width)


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_who_wants_no_colour_gets_none(terminal: pytest.MonkeyPatch, name: str, value: str) -> None:
    """NO_COLOR and dumb terminals are respected."""
    terminal.setenv(name, value)
    assert not output.style().color


@pytest.mark.parametrize(("columns", "width"), [("20", 60), ("300", 120)])
def test_the_width_has_limits(terminal: pytest.MonkeyPatch, columns: str, width: int) -> None:
    """Neither a sliver nor lines that no eye follows."""
    terminal.setenv("COLUMNS", columns)
    assert width == output.style().width


def test_a_pipe_gets_a_hundred_columns() -> None:
    """Nothing is known of a pipe; it gets no colour."""
    assert (False, 100) == (output.style().color, output.style().width)


def test_progress_waits_until_the_work_is_long(
    terminal: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing in the first second; then a line that is taken away again."""
    progress = output.Progress(300)
    monkeypatch = terminal
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    progress.step(1)
    progress.done()
    assert "" == capsys.readouterr().err
    progress.begun -= 2
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    progress.step(12)
    progress.done()
    assert "\r12 of 300 files\r\x1b[K" == capsys.readouterr().err


def test_a_table_is_aligned(capsys: pytest.CaptureFixture[str]) -> None:
    """Columns are as wide as their widest entry; no trailing blanks."""
    output.say_table(("name", "bytes"), [("a", "1"), ("longer", "22")])
    assert "name    bytes\na       1\nlonger  22\n" == capsys.readouterr().out
