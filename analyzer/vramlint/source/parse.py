"""Parsing: every code cell becomes a syntax tree or issues, and no cell hides another."""

from __future__ import annotations

import ast
import re
import sys
import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from vramlint.source.issue import Issue, at_top
from vramlint.source.kernel_calls import MARK, unwrapped
from vramlint.source.magics import Masked, ShellLine, WrittenFile, databricks_lines, mask
from vramlint.source.spans import Position, Span

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vramlint.source.document import Cell, Document

# CPython's own parser takes 200 open brackets and 100 indentations, but operator chains of any length;
# what reads the tree may recurse over it, a few frames for each level.
_DEEPEST = 250
_CELL_START = re.compile(r"^(?=#[ \t]?%%|# COMMAND -{5,})", re.MULTILINE)
# What has nothing below it, most frequent in trees: leaving these out saves a third of the time.
_LEAVES = frozenset({
    ast.Name, ast.Constant, ast.Load, ast.Store, ast.Pass, ast.alias, type(None), str, int, bool,
})  # fmt: skip
_UNPARSABLE = (ValueError, RecursionError, MemoryError)


@dataclass(frozen=True, slots=True)
class ParsedCell:
    """A code cell and its tree, or None and the issues why not.

    `lines` are those that were parsed: masked, and equal in length to the cell's own.
    """

    cell: Cell
    tree: ast.Module | None
    lines: tuple[str, ...]
    issues: tuple[Issue, ...] = ()
    shell: tuple[ShellLine, ...] = ()
    written: tuple[WrittenFile, ...] = ()


@dataclass(frozen=True, slots=True)
class Program:
    """The code of one document in execution order; a percent script in one piece where it parses."""

    document: Document
    cells: tuple[ParsedCell, ...]

    @property
    def issues(self) -> tuple[Issue, ...]:
        """Return the issues of all cells in their order."""
        return tuple(issue for cell in self.cells for issue in cell.issues)

    @property
    def shell(self) -> tuple[ShellLine, ...]:
        """Return the shell lines of all cells in their order."""
        return tuple(line for cell in self.cells for line in cell.shell)

    @property
    def written(self) -> tuple[WrittenFile, ...]:
        """Return the files that cells write, in their order."""
        return tuple(file for cell in self.cells for file in cell.written)

    def span(self, node: ast.expr | ast.stmt | ast.arg | ast.keyword | ast.alias, cell: int) -> Span:
        """Return the place of `node`, which stands in the tree of `cells[cell]`, in code points."""
        parsed = self.cells[cell]
        end_line = node.lineno if node.end_lineno is None else node.end_lineno
        end_column = node.col_offset if node.end_col_offset is None else node.end_col_offset
        return Span(
            self.document.path,
            Position(node.lineno, _code_points(parsed.lines[node.lineno - 1], node.col_offset)),
            Position(end_line, _code_points(parsed.lines[end_line - 1], end_column)),
            parsed.cell.index,
        )


def parse(document: Document) -> Program:
    """Parse every code cell of a Python document; documents of other kinds give a program without cells."""
    if document.kind not in {"script", "notebook", "percent-script"}:
        return Program(document, ())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # invalid escapes in the user's strings are not our business
        cells = tuple(_parsed_cells(document))
    return Program(document, cells)


def _parsed_cells(document: Document) -> Iterator[ParsedCell]:
    for cell in document.cells:
        if cell.kind != "code":
            continue
        parsed = _parse_cell(cell, document.path)
        if parsed.issues and document.kind == "percent-script":
            yield from (_parse_cell(part, document.path) for part in _percent_cells(cell))
        else:
            yield parsed


def _percent_cells(script: Cell) -> Iterator[Cell]:
    """Cut a percent script into cells; line ends above each keep its lines those of the file."""
    above = 0
    for text in _CELL_START.split(script.text):
        if text.strip():
            yield replace(script, text="\n" * above + text)
        above += text.count("\n")


def _parse_cell(cell: Cell, path: str) -> ParsedCell:
    if MARK in cell.text:
        bare = unwrapped(cell, path)
        tree, _ = _tree(bare.text)
        if tree is not None:
            return _parsed(cell, path, tree, bare)
    tree, error = _tree(cell.text)
    databricks = databricks_lines(cell, path)
    if tree is not None:
        return _parsed(cell, path, tree, Masked(cell.text, databricks))
    masked = mask(cell, path)
    masked = replace(masked, shell=databricks + masked.shell)
    if masked.text != cell.text or _is_indented(masked.text):
        tree, error = _tree(masked.text, indented=_is_indented(masked.text))
    if tree is not None:
        return _parsed(cell, path, tree, masked)
    assert error is not None
    issue = _issue(error, masked.text, cell, path)
    return ParsedCell(cell, None, tuple(masked.text.split("\n")), (issue,), masked.shell, masked.written)


def _parsed(cell: Cell, path: str, tree: ast.Module, masked: Masked) -> ParsedCell:
    lines = tuple(masked.text.split("\n"))
    if not _is_deep(tree):
        return ParsedCell(cell, tree, lines, (), masked.shell, masked.written)
    issue = Issue("syntax-error", f"nested more than {_DEEPEST} levels deep", at_top(path, cell.index))
    return ParsedCell(cell, None, lines, (issue,), masked.shell, masked.written)


def _tree(text: str, *, indented: bool = False) -> tuple[ast.Module | None, Exception | None]:
    """Return a tree or the error; an indented cell, which IPython dedents, is read as the body of an `if`."""
    try:
        if not indented:
            return ast.parse(text), None
        block = ast.parse("if 1:\n" + text).body[0]
    except SyntaxError as error:
        error.lineno = error.lineno and error.lineno - indented
        return None, error
    except _UNPARSABLE as error:
        return None, error
    assert isinstance(block, ast.If)
    module = ast.Module(block.body, [])
    return ast.increment_lineno(module, -1), None


def _is_indented(text: str) -> bool:
    first = next(
        (line for line in text.split("\n") if line.strip() and not line.lstrip().startswith("#")), ""
    )
    return first[:1] in {" ", "\t"}


def _is_deep(tree: ast.Module) -> bool:
    """Say whether the tree has more than `_DEEPEST` levels, without recursion."""
    level: list[ast.AST] = [tree]
    for _ in range(_DEEPEST):
        below: list[Any] = []
        for node in level:
            for value in node.__dict__.values():
                kind = value.__class__
                if kind is list:
                    below.extend(value)
                elif kind not in _LEAVES:
                    below.append(value)
        level = [node for node in below if node.__class__ not in _LEAVES]
        if not level:
            return False
    return True


def _code_points(line: str, utf8_column: int) -> int:
    if line.isascii():
        return utf8_column
    return len(line.encode(errors="replace")[:utf8_column].decode(errors="ignore"))


def _issue(error: Exception, text: str, cell: Cell, path: str) -> Issue:
    if not isinstance(error, SyntaxError) or error.lineno is None:
        return Issue("syntax-error", _plain_message(error), at_top(path, cell.index))
    lines = text.split("\n")
    line = min(max(error.lineno, 1), len(lines))
    column = min(max((error.offset or 1) - 1, 0), len(lines[line - 1]))
    place = Position(line, column)
    message = f"{error.msg}{_newer_grammar(lines[line - 1], error.msg)}"
    return Issue("syntax-error", message, Span(path, place, Position(line, len(lines[line - 1])), cell.index))


def _plain_message(error: Exception) -> str:
    if isinstance(error, (RecursionError, MemoryError)):
        return "nested too deeply to be parsed"
    if isinstance(error, UnicodeEncodeError):
        return "holds half of a surrogate pair, which is no character"
    return str(error)


_NEWER: tuple[tuple[tuple[int, int], re.Pattern[str], str], ...] = (
    ((3, 12), re.compile(r"^\s*type\s+\w+.*="), "a type statement"),
    ((3, 12), re.compile(r"^\s*(?:(?:async\s+)?def|class)\s+\w+\s*\["), "type parameters"),
    (
        (3, 12),
        re.compile(r"""\b[rR]?[fF][rR]?(["'])(?:(?!\1).)*\{(?:(?!\1|\}).)*\1[\w\]]"""),
        "an f-string that reuses its quotes",
    ),
    ((3, 14), re.compile(r"^\s*except\s+[\w.]+\s*,"), "exceptions without parentheses"),
    ((3, 14), re.compile(r"""\b[rR]?[tT][rR]?["']"""), "a template string"),
)


def _newer_grammar(line: str, message: str) -> str:
    """Return a remark where a newer Python than the one that runs would parse the line, if that shows."""
    for version, pattern, what in _NEWER:
        wanted = "f-string" in message if "f-string" in what else True
        if sys.version_info < version and wanted and pattern.search(line):
            running = f"{sys.version_info.major}.{sys.version_info.minor}"
            return f" ({what}: Python {version[0]}.{version[1]} or newer; this is {running})"
    return ""
