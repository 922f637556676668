"""Commands in prose: fenced blocks of a README or a docstring, lines that start a launcher, a Makefile's recipes."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vramlint.source.parse import Program

_FENCE = re.compile(r"^[ \t]*(?:```+|~~~+)(?P<info>[^\n`]*)$")
_SHELL_FENCES = {
    "",
    "bash",
    "sh",
    "shell",
    "console",
    "zsh",
    "shell-session",
    "cmd",
    "text",
    "none",
    "terminal",
}
_STARTS = re.compile(
    r"^[ \t]*(?:[$>%#] )?(?:!|[A-Z_]+=\S+ )*"
    r"(?:python3?|torchrun|accelerate|deepspeed|composer|colossalai|uv run|nohup|sbatch|srun|ray job|tune run|trl"
    r"|llamafactory-cli|axolotl|litgpt)\b"
)
_PROMPT = re.compile(r"^[ \t]*(?:[$>%] |!)", re.MULTILINE)


def told(program: Program) -> Iterator[tuple[str, int]]:
    """Yield the docstring of a script and the comments at its top."""
    cell = program.cells[0]
    body = cell.tree.body if cell.tree is not None else []
    first = body[0] if body else None
    if (
        isinstance(first, ast.Expr)
        and isinstance(first.value, ast.Constant)
        and isinstance(first.value.value, str)
    ):
        yield "\n".join(cell.lines[first.lineno - 1 : first.end_lineno]).replace('"""', "   "), first.lineno
    top = []
    for line in cell.lines[:60]:
        if line.strip() and not line.startswith("#"):
            break
        top.append(line.lstrip("#"))
    if any(_STARTS.match(line) for line in top):
        yield "\n".join(top), 1


def snippets(text: str) -> str:
    """Return a prose text with all lines blank but its commands, so that each keeps its line.

    Commands are fenced blocks, and lines that start a launcher with what their backslashes carry on.
    """
    lines = text.split("\n")
    kept = [""] * len(lines)
    at = 0
    while at < len(lines):
        fence = _FENCE.match(lines[at])
        if fence is not None:
            end = next((i for i in range(at + 1, len(lines)) if _FENCE.match(lines[i])), len(lines))
            info = fence["info"].strip().lower().split(" ")[0].strip("{}.")
            if info in _SHELL_FENCES:
                kept[at + 1 : end] = _PROMPT.sub("", "\n".join(lines[at + 1 : end])).split("\n")[
                    : end - at - 1
                ]
            at = end + 1
        elif _STARTS.match(lines[at]):
            end = at
            while lines[end].rstrip().endswith("\\") and end + 1 < len(lines):
                end += 1
            block = "\n".join(line.rstrip() for line in lines[at : end + 1])
            kept[at : end + 1] = _PROMPT.sub("", block).split("\n")
            at = end + 1
        else:
            at += 1
    return "\n".join(kept)


def from_make(text: str) -> str:
    """Return a Makefile as the shell text of its variables and recipes, line for line."""
    lines = []
    for line in text.split("\n"):
        assigned = re.match(r"^([A-Za-z_]\w*)\s*[:?+]?=\s*(.*)$", line)
        if assigned:
            lines.append(f'{assigned[1]}="{assigned[2]}"')
        elif line.startswith(("\t", "    ")):
            lines.append(line.strip(" \t").lstrip("@-"))
        else:
            lines.append("")
    shell = re.sub(r"\$\((\w+)\)", r"${\1}", "\n".join(lines))
    return shell.replace("$$", "$")
