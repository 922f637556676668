"""A Markdown page as test cases: headings name them, fenced blocks are their files, options and outputs."""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_HEADING = re.compile(r"(?P<marks>#{1,6})\s+(?P<title>.+?)\s*#*$")
_FENCE = re.compile(r"(?P<fence>`{3,}|~{3,})(?P<info>.*)$")
_PYTHON = {"py", "python"}
OUTPUTS = {"ledger", "text", "json", "hover", "edit", "sarif"}
CHECKED = {"facts", "measured"}
_KNOWN = _PYTHON | OUTPUTS | CHECKED | {"toml", "yaml", "sh", "text", "md"}


class PageError(Exception):
    """A page is not written as `tests/cases/README.md` says; the message names the line."""


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block; `line` is that of its first line of text in the page, from 1."""

    language: str
    words: tuple[str, ...]
    text: str
    line: int

    @property
    def file(self) -> str | None:
        """The name behind `file=`."""
        return next((word.removeprefix("file=") for word in self.words if word.startswith("file=")), None)

    @property
    def is_cell(self) -> bool:
        """Whether the block is a cell of a notebook."""
        return "cell" in self.words


@dataclass(frozen=True, slots=True)
class Case:
    """One test: the document under test (path, text, the blocks it is made of) and what is around it."""

    name: str
    line: int
    path: str
    text: str
    script: tuple[Block, ...]
    files: dict[str, str]
    options: dict[str, Any]
    outputs: tuple[Block, ...]
    checked: tuple[Block, ...]


@dataclass(slots=True)
class _Section:
    level: int
    title: str
    line: int
    blocks: list[Block] = field(default_factory=list)


def cases(text: str) -> Iterator[Case]:
    """Yield the cases of a page, in order.

    A heading whose own text holds a script is a test, and a group otherwise; `toml` blocks of the
    groups around a test hold for it too.

    Raises:
        PageError: for a page that is not well-formed.
    """
    open_sections: list[_Section] = []
    for section in _sections(text):
        while open_sections and open_sections[-1].level >= section.level:
            open_sections.pop()
        open_sections.append(section)
        if any(_is_script(block) for block in section.blocks):
            yield _case(open_sections)
        elif any(block.language in OUTPUTS | CHECKED for block in section.blocks):
            raise PageError(f"line {section.line}: {section.title!r} expects something of no script")


def _sections(text: str) -> Iterator[_Section]:
    lines = text.split("\n")
    section = _Section(0, "", 1)
    at = 0
    while at < len(lines):
        if fence := _FENCE.match(lines[at]):
            end = _end_of(lines, at, fence["fence"])
            section.blocks.append(_block(fence["info"], lines[at + 1 : end], at + 2))
            at = end
        elif heading := _HEADING.match(lines[at]):
            yield section
            section = _Section(len(heading["marks"]), heading["title"], at + 1)
        at += 1
    yield section


def _end_of(lines: list[str], start: int, fence: str) -> int:
    for number in range(start + 1, len(lines)):
        if lines[number].startswith(fence) and not lines[number].strip(fence[0] + " "):
            return number
    raise PageError(f"line {start + 1}: a block without its end")


def _block(info: str, lines: list[str], line: int) -> Block:
    language, *words = info.split() or [""]
    block = Block(language, tuple(words), "".join(text + "\n" for text in lines), line)
    if language not in _KNOWN and not block.file:
        raise PageError(
            f"line {line - 1}: unknown block {language!r}; name its file or drop the fence's word"
        )
    return block


def _is_script(block: Block) -> bool:
    return (block.language in _PYTHON and (block.file is None or block.is_cell)) or "main" in block.words


def _case(sections: list[_Section]) -> Case:
    section = sections[-1]
    script = tuple(block for block in section.blocks if _is_script(block))
    is_notebook = script[0].is_cell
    if is_notebook:
        script = tuple(block for block in section.blocks if block.is_cell)
    elif len(script) > 1:
        raise PageError(f"line {script[1].line}: a second script; name its file, or make both cells")
    others = [block for block in section.blocks if block not in script]
    default_path = "train.ipynb" if is_notebook else "train.py"
    return Case(
        name=" > ".join(part.title for part in sections if part.title),
        line=section.line,
        path=script[0].file or default_path,
        text=_notebook(script) if is_notebook else script[0].text,
        script=script,
        files={block.file: block.text for block in others if block.file},
        options=_options(sections),
        outputs=tuple(block for block in others if block.language in OUTPUTS and not block.file),
        checked=tuple(block for block in others if block.language in CHECKED and not block.file),
    )


def _notebook(cells: tuple[Block, ...]) -> str:
    kinds = {block: "markdown" if block.language == "md" else "code" for block in cells}
    content = [{"cell_type": kinds[block], "source": block.text.removesuffix("\n")} for block in cells]
    return json.dumps({"cells": content, "nbformat": 4})


def _options(sections: list[_Section]) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for section in sections:
        for block in section.blocks:
            if block.language == "toml" and not block.file:
                options |= _toml(block)
    return options


def _toml(block: Block) -> dict[str, Any]:
    try:
        return tomllib.loads(block.text)
    except tomllib.TOMLDecodeError as error:
        raise PageError(f"line {block.line}: {error}") from None
