"""Where statements, calls and imports of a program stand: what an edit needs to know of its surroundings."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from vramlint.source.parse import Program
    from vramlint.source.spans import Span


@dataclass(frozen=True, slots=True)
class Statement:
    """A simple statement: its lines from 1, both included, in `cells[cell]` of the program.

    `target` is the name that it assigns to, where it assigns to one.
    """

    cell: int
    first: int
    last: int
    indent: int
    target: str | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """A call by the dotted name of what is called, where it stands, and the statement around it."""

    name: str
    span: Span
    statement: Statement


@dataclass(frozen=True, slots=True)
class Imported:
    """One name that an import at the top of a cell binds; `name` is None for a module itself."""

    module: str
    name: str | None
    local: str
    statement: Statement


def calls(program: Program, wanted: Callable[[str], bool]) -> Iterator[Call]:
    """Yield the calls whose dotted name is wanted, in the order of the text."""
    for cell, statement, node in _simple(program):
        for inner in ast.walk(node):
            if isinstance(inner, ast.Call) and (name := _dotted(inner.func)) and wanted(name):
                yield Call(name, program.span(inner, cell), statement)


def statements(program: Program) -> Iterator[Statement]:
    """Yield the simple statements in the order of the text."""
    for _, statement, _ in _simple(program):
        yield statement


def statement_at(program: Program, span: Span) -> Statement | None:
    """Return the simple statement that covers a span."""
    cell = next((i for i, one in enumerate(program.cells) if one.cell.index == span.cell), None)
    found = (
        one
        for one in statements(program)
        if one.cell == cell and one.first <= span.start.line and span.end.line <= one.last
    )
    return next(found, None)


def imports(program: Program) -> Iterator[Imported]:
    """Yield the names that imports at the top of the cells bind."""
    for cell, parsed in enumerate(program.cells):
        for node in parsed.tree.body if parsed.tree is not None else ():
            if isinstance(node, ast.Import):
                for alias in node.names:
                    yield Imported(alias.name, None, alias.asname or alias.name, _statement(node, cell))
            elif isinstance(node, ast.ImportFrom):
                module = "." * node.level + (node.module or "")
                for alias in node.names:
                    yield Imported(module, alias.name, alias.asname or alias.name, _statement(node, cell))


def first_line_of_code(program: Program, cell: int) -> int:
    """Return the line before which an import may stand: behind a docstring and imports from `__future__`."""
    tree = program.cells[cell].tree
    for number, node in enumerate(tree.body if tree is not None else ()):
        is_docstring = (
            number == 0
            and isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str)
        )
        if not is_docstring and not (isinstance(node, ast.ImportFrom) and node.module == "__future__"):
            return _statement(node, cell).first
    return 1


_BLOCKS = ("body", "handlers", "orelse", "finalbody", "cases")


def _simple(program: Program) -> Iterator[tuple[int, Statement, ast.stmt]]:
    for cell, parsed in enumerate(program.cells):
        pending: list[ast.AST] = list(reversed(parsed.tree.body)) if parsed.tree is not None else []
        while pending:
            node = pending.pop()
            inner = [one for block in _BLOCKS for one in _block(node, block)]
            if inner:
                pending += reversed(inner)
            elif isinstance(node, ast.stmt):
                yield cell, _statement(node, cell), node


def _block(node: ast.AST, name: str) -> list[ast.AST]:
    block = getattr(node, name, None)
    return block if isinstance(block, list) else []


def _statement(node: ast.stmt, cell: int) -> Statement:
    target = None
    if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
        target = node.targets[0].id
    return Statement(cell, node.lineno, node.end_lineno or node.lineno, node.col_offset, target)


def _dotted(node: ast.expr) -> str:
    """Return `a.b.c` for a chain of attributes; the name of a method alone where it is of something else."""
    parts = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if isinstance(node, ast.Name):
        parts.append(node.id)
    return ".".join(reversed(parts))
