"""IPython's own syntax, masked so that every position stays and the rest of a cell parses as Python."""

from __future__ import annotations

import ast
import re
import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from vramlint.source.lexer import State, comments, scan
from vramlint.source.spans import Position, Span

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vramlint.source.document import Cell


@dataclass(frozen=True, slots=True)
class ShellLine:
    """A command that a notebook hands to the shell, joined over its backslashes; `%run x` as `python x`."""

    command: str
    span: Span


@dataclass(frozen=True, slots=True)
class WrittenFile:
    """A file that a `%%writefile` cell makes; `name` is as written, `appends` for `-a`."""

    name: str
    text: str
    span: Span
    appends: bool = False


@dataclass(frozen=True, slots=True)
class Masked:
    """`text` has the length and the line ends of the original; the shell's part is kept beside it."""

    text: str
    shell: tuple[ShellLine, ...] = ()
    written: tuple[WrittenFile, ...] = ()


# A name alone is a statement and an expression, one character long, and no evaluator takes it for a value.
_PLACEHOLDER = "_"

SHELL_CELLS = {"bash", "sh", "shell", "!", "sx", "system", "zsh"}
_FOREIGN_CELLS = {
    "html", "HTML", "javascript", "js", "latex", "markdown", "svg", "SVG", "R", "sql", "bigquery", "perl",
    "ruby", "cython", "cmd", "python2", "pypy", "script", "julia", "rust", "ai", "mermaid", "cpp", "cu",
}  # fmt: skip
PYTHON_CELLS = {
    "time",
    "timeit",
    "capture",
    "prun",
    "memit",
    "mprun",
    "vramlint",
    "python",
    "python3",
    "wandb",
}
SHELL_MAGICS = {"pip", "conda", "mamba", "micromamba", "uv", "sh", "sx", "system"}
_COMMANDS = (
    "pip|pip3|conda|mamba|uv|apt|apt-get|sudo|git|wget|curl|ls|cd|cat|cp|mv|rm|mkdir|rmdir|man|more|less|head|tail"
    "|unzip|tar|export|torchrun|accelerate|deepspeed|python|python3|bash|sh"
)
_MAGIC_WORDS = "load_ext|reload_ext|autoreload|matplotlib|pylab|config|env|set_env|who|whos|history|pwd"

# IPython takes away the prompts of pasted sessions, where the first line has one.
_PROMPT = re.compile(r"^(?:>>>|\.\.\.)(?: |$)", re.MULTILINE)
_CELL_MAGIC = re.compile(r"\s*%%(?P<name>!|\w+)[ \t]*(?P<rest>[^\n]*)")
_ESCAPED = re.compile(r"[ \t]*(?P<escape>!!|!|%|\?\??|[,;/])(?P<rest>.*)", re.DOTALL)
_TIMED = re.compile(
    r"[ \t]*(?P<magic>%(?:time|timeit|prun|memit)(?:[ \t]+-[a-zA-Z]+[ \t]*\d*)*[ \t]+)(?=[^\s\\-])"
)
_HELP = re.compile(r"[ \t]*%{0,2}[A-Za-z_*][\w.*\[\]]*\?{1,2}[ \t]*(?:#.*)?$")
_ASSIGNED = re.compile(
    r"(?P<target>[ \t]*[A-Za-z_][\w.,\[\]'\" \t]*=[ \t]*)(?P<escape>!!|!|%)(?P<rest>[^=].*)", re.DOTALL
)
_BARE_COMMAND = re.compile(rf"[ \t]*(?P<command>(?:{_COMMANDS})[ \t]+[\w\"'./~$-].*)", re.DOTALL)
_BARE_MAGIC = re.compile(rf"[ \t]*(?:{_MAGIC_WORDS})(?:[ \t]+[A-Za-z0-9\"'./~].*|[ \t]*)$", re.DOTALL)
_PYTHON_FOLLOWS = re.compile(r"[ \t]*\w+[ \t]+(?:=|in\b|is\b|and\b|or\b|not\b|if\b|else\b|for\b)")
_DATABRICKS = "# Databricks notebook source"
_DATABRICKS_MAGIC = re.compile(r"# MAGIC (?:!|%(?=pip|conda|sh\b))(?:sh\b)?[ \t]*(?P<command>.+)")


def mask(cell: Cell, path: str) -> Masked:
    """Mask what IPython would take out of `cell`; its text comes back as it is where there is nothing."""
    if _PROMPT.match(cell.text):
        cell = replace(cell, text=_PROMPT.sub(lambda prompt: " " * len(prompt[0]), cell.text))
    magic = _CELL_MAGIC.match(cell.text)
    if magic is None:
        return _mask_lines(cell.text, cell, path, 0)
    name = magic["name"]
    words = magic["rest"].split()
    body_line = cell.text.count("\n", 0, magic.end()) + 1
    head, body = cell.text[: magic.end()], cell.text[magic.end() :]
    if name in {"writefile", "file"}:
        return Masked(blank(cell.text), written=_written(words, body, _whole(cell, path)))
    if name in SHELL_CELLS or (name == "script" and words[:1] and words[0] in SHELL_CELLS):
        return Masked(blank(cell.text), shell=tuple(_script_lines(body, cell, path, body_line)))
    if name in _FOREIGN_CELLS:
        return Masked(blank(cell.text))
    masked = _mask_lines(body, cell, path, body_line - 1)
    if name not in PYTHON_CELLS and not _parses(masked.text):
        return Masked(blank(cell.text))
    return Masked(blank(head) + masked.text, masked.shell, masked.written)


def databricks_lines(cell: Cell, path: str) -> tuple[ShellLine, ...]:
    """Return the shell lines of a Databricks source file, which its export writes as `# MAGIC` comments."""
    if not cell.text.startswith(_DATABRICKS):
        return ()
    found = ((comment, _DATABRICKS_MAGIC.match(comment.text)) for comment in comments(cell.text))
    return tuple(
        ShellLine(match["command"].strip(), _line_span(cell, path, comment.line, comment.text))
        for comment, match in found
        if match
    )


def _mask_lines(text: str, cell: Cell, path: str, lines_before: int) -> Masked:
    """Mask every statement of `text` that is IPython's; `lines_before` of the cell stand above it."""
    lines = text.split("\n")
    shell: list[ShellLine] = []
    state = State()
    at = 0
    while at < len(lines):
        count = _joined_count(lines, at) if state.at_statement else 1
        statement = "\n".join(lines[at : at + count])
        replaced = _masked_statement(statement) if state.at_statement else None
        if replaced is None:
            scan(lines[at], state)
            at += 1
            continue
        masked, command = replaced
        if command:
            shell.append(ShellLine(command, _line_span(cell, path, at + 1 + lines_before, statement)))
        lines[at : at + count] = masked.split("\n")
        at += count
    return Masked("\n".join(lines), tuple(shell))


def _masked_statement(statement: str) -> tuple[str, str | None] | None:
    """Return a statement masked, and the shell command in it; None where it is Python."""
    if timed := _TIMED.match(statement):
        start, end = timed.span("magic")
        return statement[:start] + (_PLACEHOLDER + ";").ljust(end - start) + statement[end:], None
    if _HELP.match(statement):
        return _replace(statement, len(statement) - len(statement.lstrip())), None
    if escaped := _ESCAPED.match(statement):
        return _replace(statement, escaped.start("escape")), _command(escaped["escape"], escaped["rest"])
    if (assigned := _ASSIGNED.match(statement)) and assigned["target"].count("=") == 1:
        return _replace(statement, assigned.start("escape")), _command(assigned["escape"], assigned["rest"])
    return _masked_bare(statement)


def _masked_bare(statement: str) -> tuple[str, str | None] | None:
    """Mask what IPython's automagic would take, a command or magic without its escape."""
    if _PYTHON_FOLLOWS.match(statement):
        return None
    if command := _BARE_COMMAND.match(statement):
        return _replace(statement, command.start("command")), _join(command["command"])
    if _BARE_MAGIC.match(statement):
        return _replace(statement, len(statement) - len(statement.lstrip())), None
    return None


def _command(escape: str, rest: str) -> str | None:
    """Return what the shell is given, or None where a magic does something else."""
    text = _join(rest)
    if escape.startswith("!"):
        return text.lstrip("!").strip() or None
    if escape != "%":
        return None
    name, _, arguments = text.partition(" ")
    if name == "run":
        return f"python {arguments.strip()}"
    if name in {"sh", "sx", "system"}:
        return arguments.strip() or None
    return text if name in SHELL_MAGICS else None


def _join(text: str) -> str:
    return " ".join(part.strip() for part in re.split(r"\\\n", text)).strip()


def _joined_count(lines: list[str], at: int) -> int:
    """Return over how many lines the backslashes at the ends of lines carry."""
    count = 1
    while lines[at + count - 1].endswith("\\") and at + count < len(lines):
        count += 1
    return count


def _replace(statement: str, start: int) -> str:
    return statement[:start] + _PLACEHOLDER + blank(statement[start + 1 :])


def blank(text: str) -> str:
    """Return blanks in the place of a text, with its line ends."""
    return re.sub(r"[^\n]", " ", text)


def _written(words: list[str], body: str, span: Span) -> tuple[WrittenFile, ...]:
    names = [word for word in words if word not in {"-a", "--append"}]
    if not names:
        return ()
    return (
        WrittenFile(names[0].strip("'\""), body.removeprefix("\n"), span, appends=len(names) < len(words)),
    )


def _script_lines(body: str, cell: Cell, path: str, body_line: int) -> Iterator[ShellLine]:
    lines = body.split("\n")
    at = 0
    while at < len(lines):
        count = _joined_count(lines, at)
        statement = "\n".join(lines[at : at + count])
        command = _join(statement)
        if command and not command.startswith("#"):
            yield ShellLine(command, _line_span(cell, path, at + body_line, statement))
        at += count


def _line_span(cell: Cell, path: str, line: int, statement: str) -> Span:
    last = statement.rsplit("\n", maxsplit=1)[-1]
    indent = len(statement) - len(statement.lstrip())
    return Span(path, Position(line, indent), Position(line + statement.count("\n"), len(last)), cell.index)


def _whole(cell: Cell, path: str) -> Span:
    lines = cell.text.split("\n")
    return Span(path, Position(1, 0), Position(len(lines), len(lines[-1])), cell.index)


def _parses(text: str) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            ast.parse(text)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return False
    return True
