"""Magics written as calls of the kernel: JupyterLab's documents and exported notebooks have them in this form.

JupyterLab's language server client and `jupyter nbconvert --to script` write `!nvidia-smi` as
`get_ipython().system("nvidia-smi")` and a cell magic as `get_ipython().run_cell_magic("time", "", \"\"\"…\"\"\")`
(jupyterlab-lsp 5.3, IPython 9, `IPython.core.inputtransformer2`).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from vramlint.source.magics import (
    PYTHON_CELLS,
    SHELL_CELLS,
    SHELL_MAGICS,
    Masked,
    ShellLine,
    WrittenFile,
    blank,
)
from vramlint.source.spans import Position, Span

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vramlint.source.document import Cell

MARK = "get_ipython()"

_TEXT = r"""(?:"((?:[^"\\\n]|\\.)*)"|'((?:[^'\\\n]|\\.)*)')"""
_SHELL = re.compile(rf"get_ipython\(\)\.(?:system|getoutput)\(\s*{_TEXT}\s*\)")
_LINE = re.compile(rf"get_ipython\(\)\.run_line_magic\(\s*{_TEXT}\s*,\s*{_TEXT}\s*\)")
_CELL = re.compile(
    rf'(?P<head>^get_ipython\(\)\.run_cell_magic\(\s*{_TEXT}\s*,\s*{_TEXT}\s*,\s*""")(?P<body>.*?)(?P<tail>"""\s*\))',
    re.DOTALL | re.MULTILINE,
)


def unwrapped(cell: Cell, path: str) -> Masked:
    """Return a cell with the Python of its cell magics laid bare, at equal length, and what the shell is given."""
    shell = [*_commands(cell, path)]
    written: list[WrittenFile] = []

    def lay_bare(call: re.Match[str]) -> str:
        name, arguments = call[2] or call[3] or "", call[4] or call[5] or ""
        span, body = _span(cell, path, call.start(), call.end()), call["body"]
        if name in PYTHON_CELLS:
            return blank(call["head"]) + body.replace('\\"\\"\\"', '   """') + blank(call["tail"])
        if name in SHELL_CELLS:
            shell.extend(ShellLine(line.strip(), span) for line in body.split("\n") if line.strip())
        if name in {"writefile", "file"} and arguments.split():
            written.append(
                WrittenFile(arguments.split()[-1], body.removeprefix("\n"), span, "-a" in arguments)
            )
        return blank(call[0])

    text = _CELL.sub(lay_bare, cell.text)
    shell.sort(key=lambda line: line.span.start)
    return Masked(text, tuple(shell), tuple(written))


def _commands(cell: Cell, path: str) -> Iterator[ShellLine]:
    for call in _SHELL.finditer(cell.text):
        yield ShellLine(_said(call, 1), _span(cell, path, call.start(), call.end()))
    for call in _LINE.finditer(cell.text):
        name, arguments = _said(call, 1), _said(call, 3)
        span = _span(cell, path, call.start(), call.end())
        if name == "run":
            yield ShellLine(f"python {arguments}", span)
        elif name in {"sh", "sx", "system"}:
            yield ShellLine(arguments, span)
        elif name in SHELL_MAGICS:
            yield ShellLine(f"{name} {arguments}", span)


def _said(call: re.Match[str], group: int) -> str:
    text = call[group] if call[group] is not None else call[group + 1] or ""
    return re.sub(r"\\(.)", r"\1", text).strip()


def _span(cell: Cell, path: str, start: int, end: int) -> Span:
    return Span(path, _position(cell.text, start), _position(cell.text, end), cell.index)


def _position(text: str, at: int) -> Position:
    return Position(text.count("\n", 0, at) + 1, at - (text.rfind("\n", 0, at) + 1))
