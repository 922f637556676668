"""A script that is being edited: fixes name what they want, and libcst changes one statement at a time.

Only the statements that change are parsed, so an edit costs milliseconds, and everything else keeps its formatting.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vramlint.facts.setting import Known
from vramlint.rules.finding import Edit
from vramlint.source.spans import Position, Span
from vramlint.source.statements import calls, first_line_of_code, imports, statement_at

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from vramlint.plan.run import Run
    from vramlint.source.parse import Program
    from vramlint.source.statements import Call, Statement

_ARGUMENTS = re.compile(
    r"(?:^|\.)\w*(?:TrainingArguments|(?:SFT|DPO|ORPO|KTO|CPO|GRPO|RLOO|PPO|Reward|BCO)Config)$"
)
_MODEL = re.compile(r"(?:^|\.)\w*(?:Model|For[A-Z])\w*\.from_pretrained$")


class CannotEdit(Exception):  # noqa: N818  it is no error: the fix stays advice
    """The script is written in a way that this fix does not know how to change."""


@dataclass(slots=True)
class Script:
    """One run's script; each method changes it, `edits` returns what was changed."""

    program: Program
    run: Run
    _texts: dict[Statement, str] = field(default_factory=dict)
    _after: dict[tuple[int, int], list[str]] = field(default_factory=dict)

    def arguments(self) -> Call:
        """Return the call that makes the trainer's arguments."""
        return self._one(
            [*calls(self.program, lambda name: bool(_ARGUMENTS.search(name)))], "training arguments"
        )

    def model(self) -> Call:
        """Return the call that loads the model, in a statement that assigns it to a name."""
        found = [*calls(self.program, lambda name: bool(_MODEL.search(name)))]
        return self._one([call for call in found if call.statement.target], "model")

    def call_of(self, setting: str) -> Call:
        """Return the innermost call at the place where a setting was read."""
        span = self.place_of(setting)
        found = [call for call in calls(self.program, bool) if call.span == span]
        if not found:
            raise CannotEdit(f"{setting} is not read from a call in this file")
        return found[0]

    def calls(self, last: str) -> tuple[Call, ...]:
        """Return the calls of a function or method by the last part of its name."""
        return tuple(calls(self.program, lambda name: name.rpartition(".")[2] == last))

    def place_of(self, setting: str) -> Span:
        """Return where a setting was read, if that is in this file."""
        known = self.run.settings.get(setting)
        span = known.origin.span if isinstance(known, Known) else None
        if span is None or span.path != self.program.document.path:
            raise CannotEdit(f"{setting} is not read in this file")
        return span

    def set_argument(self, call: Call, name: str, code: str, aliases: tuple[str, ...] = ()) -> None:
        """Give a keyword argument of a call a value; one that is there already, also under an alias, is replaced."""
        from vramlint.fixes.syntax.concrete import with_argument  # noqa: PLC0415  libcst is slow to import

        self._rewrite(call.statement, lambda text: with_argument(text, call.name, name, code, aliases))

    def remove_argument(self, call: Call, name: str) -> None:
        """Leave out a keyword argument of a call."""
        from vramlint.fixes.syntax.concrete import without_argument  # noqa: PLC0415  as above

        self._rewrite(call.statement, lambda text: without_argument(text, call.name, name))

    def rename_call(self, call: Call, name: str, dropped: tuple[str, ...] = ()) -> None:
        """Call something else with the same arguments, but for those dropped."""
        from vramlint.fixes.syntax.concrete import with_callee  # noqa: PLC0415  as above

        self._rewrite(call.statement, lambda text: with_callee(text, call.name, name, dropped))

    def set_number(self, setting: str, value: int) -> None:
        """Write another number where a setting's number is written."""
        span, known = self.place_of(setting), self.run.settings[setting]
        statement = statement_at(self.program, span)
        lines = self._lines(statement.cell) if statement is not None else ()
        if statement is None or span.start.line != span.end.line or not isinstance(known, Known):
            raise CannotEdit(f"{setting} is not written as a number")
        line = lines[span.start.line - 1]
        if line[span.start.column : span.end.column] != str(known.value) or statement in self._texts:
            raise CannotEdit(f"{setting} is not written as a number")
        first = span.start.line - statement.first
        text = self._text(statement).split("\n")
        text[first] = line[: span.start.column] + str(value) + line[span.end.column :]
        self._texts[statement] = "\n".join(text)

    def insert_after(self, statement: Statement, *lines: str) -> None:
        """Add lines behind a statement, in its indentation."""
        margin = self._lines(statement.cell)[statement.first - 1][: statement.indent]
        self._after.setdefault((statement.cell, statement.last), []).extend(margin + line for line in lines)

    def insert_before(self, statement: Statement, *lines: str) -> None:
        """Add lines before a statement, in its indentation."""
        margin = self._lines(statement.cell)[statement.first - 1][: statement.indent]
        self._after.setdefault((statement.cell, statement.first - 1), []).extend(
            margin + line for line in lines
        )

    def imported(self, module: str, name: str | None = None, alias: str | None = None) -> str:
        """Return what a module, or a name of it, is called here, with an import added where there is none."""
        found = [*imports(self.program)]
        known = next((one.local for one in found if (one.module, one.name) == (module, name)), None)
        if known is not None:
            return known
        code = f"import {module}" if name is None else f"from {module} import {name}"
        code += f" as {alias}" if alias else ""
        leading = self._leading_imports()
        if leading is not None:
            place = (leading.cell, leading.last)
        else:
            cell = next((i for i, one in enumerate(self.program.cells) if one.tree is not None), 0)
            place = (cell, first_line_of_code(self.program, cell) - 1)
        self._add_import(self._after.setdefault(place, []), code, module, name)
        return alias or name or module

    def _add_import(self, lines: list[str], code: str, module: str, name: str | None) -> None:
        """Add an import to those that are added already; names of one module share a line."""
        start = f"from {module} import "
        at = next((i for i, line in enumerate(lines) if name and line.startswith(start)), None)
        if at is None:
            lines.extend([code] if code not in lines else [])
            return
        names = {*lines[at].removeprefix(start).split(", "), code.removeprefix(start)}
        lines[at] = start + ", ".join(sorted(names))

    def edits(self) -> tuple[Edit, ...]:
        """Return what was changed, in the order of the text."""
        found = [*self._replaced(), *self._inserted()]
        if not found:
            raise CannotEdit("nothing to change was found")
        return tuple(sorted(found, key=lambda edit: (edit.span.cell or 0, edit.span.start, edit.span.end)))

    def _leading_imports(self) -> Statement | None:
        """Return the last import of the first block of imports."""
        last: Statement | None = None
        for one in imports(self.program):
            if last is not None and (one.statement.cell != last.cell or one.statement.first > last.last + 3):
                break
            last = one.statement
        return last

    def _one(self, found: list[Call], what: str) -> Call:
        """Return the only call, or the only one at which a setting of the run was read."""
        if len(found) > 1:
            spans = [one.origin.span for one in self.run.settings.values() if isinstance(one, Known)]
            found = [call for call in found if any(span and _holds(call.span, span) for span in spans)]
        if len(found) != 1:
            raise CannotEdit(f"no single call that makes the {what} is in this file")
        return found[0]

    def _rewrite(self, statement: Statement, rewritten: Callable[[str], str]) -> None:
        self._texts[statement] = rewritten(self._text(statement))

    def _text(self, statement: Statement) -> str:
        lines = self._lines(statement.cell)[statement.first - 1 : statement.last]
        return self._texts.get(statement, "\n".join(lines))

    def _lines(self, cell: int) -> list[str]:
        return self.program.cells[cell].cell.text.split("\n")

    def _replaced(self) -> Iterator[Edit]:
        for statement, text in self._texts.items():
            lines = self._lines(statement.cell)[statement.first - 1 : statement.last]
            new = text.split("\n")
            same = next((i for i, (a, b) in enumerate(zip(lines, new, strict=False)) if a != b), None)
            if same is None and len(lines) == len(new):
                continue
            start = min(len(lines), len(new)) - 1 if same is None else same
            end = 0
            while end < min(len(lines), len(new)) - start - 1 and lines[-1 - end] == new[-1 - end]:
                end += 1
            old_last = len(lines) - end
            span = self._span(
                statement.cell,
                Position(statement.first + start, 0),
                Position(statement.first + old_last - 1, len(lines[old_last - 1])),
            )
            yield Edit(span, "\n".join(new[start : len(new) - end]))

    def _inserted(self) -> Iterator[Edit]:
        for (cell, after), lines in self._after.items():
            if after == 0:
                place, text = Position(1, 0), "\n".join(lines) + "\n"
            else:
                place, text = Position(after, len(self._lines(cell)[after - 1])), "\n" + "\n".join(lines)
            yield Edit(self._span(cell, place, place), text)

    def _span(self, cell: int, start: Position, end: Position) -> Span:
        return Span(self.program.document.path, start, end, self.program.cells[cell].cell.index)


def _holds(outer: Span, inner: Span) -> bool:
    return outer.cell == inner.cell and outer.start <= inner.start and inner.end <= outer.end
