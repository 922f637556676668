"""IPython's syntax is masked at equal length, and what it hands to the shell is kept."""

from __future__ import annotations

import ast
import re
from textwrap import dedent

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vramlint.source.document import Cell
from vramlint.source.magics import databricks_lines, mask
from vramlint.source.spans import Position, Span


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("!ls", "_  "),
        ("!l", "_ "),
        ("%matplotlib inline", "_                 "),
        ("if a:\n    !pip install x\nelse:\n    %cd y", "if a:\n    _             \nelse:\n    _    "),
        ("x = !ls", "x = _  "),
        ("a, b = %env", "a, b = _   "),
        ("?len", "_   "),
        ("model.fit??", "_          "),
        ("pip install trl", "_              "),
        ("!pip install \\\n  trl", "_             \n     "),
        ("%time trainer.train()", "_;    trainer.train()"),
        ("%%time\ntrainer.train()", "      \ntrainer.train()"),
        ("%timeit -n 10 f(x)", "_;            f(x)"),
        ("%%html\n<b>", "      \n   "),
        ("%%bash\nls", "      \n  "),
        (">>> if a:\n...     b\n...", "    if a:\n        b\n   "),
        ("%%someones_own\nx = 1", "              \nx = 1"),
        ("%%someones_own\nSELECT *", "              \n        "),
    ],
)
def test_masked(text: str, masked: str) -> None:
    """Each form of magic becomes white space or a name, and the rest stays."""
    assert masked == mask(Cell(0, text), "a.ipynb").text
    ast.parse(dedent(masked))


@pytest.mark.parametrize(
    "text",
    [
        "x = a \\\n  % b",
        "x = (a\n  % b)",
        "text = '''\n!ls\n%time\n'''",
        "# !ls\n#%time",
        "print('!ls', \"%%bash\")",
        "x = y != z",
        "x = 'what?'",
        "ls = 1",
        "git = clone",
        "x %= 2",
        "run(x)",
    ],
)
def test_python_is_left_alone(text: str) -> None:
    """Strings, brackets, joined lines and comments hold no magics."""
    assert text == mask(Cell(0, text), "a.ipynb").text


@pytest.mark.parametrize(
    ("text", "commands"),
    [
        ("!pip install -q 'transformers==4.44'", ["pip install -q 'transformers==4.44'"]),
        ("%pip install trl", ["pip install trl"]),
        ("pip install trl", ["pip install trl"]),
        ("!torchrun train.py \\\n    --batch-size 8", ["torchrun train.py --batch-size 8"]),
        ("%run train.py --lr 1", ["python train.py --lr 1"]),
        ("out = !nvidia-smi", ["nvidia-smi"]),
        ("%%bash\n# first\ncd x\npython \\\n train.py", ["cd x", "python train.py"]),
        ("%%script bash\npython a.py", ["python a.py"]),
        ("%load_ext autoreload\nload_ext y\n%cd x", []),
        ("!accelerate launch a.py  # note", ["accelerate launch a.py  # note"]),
    ],
)
def test_commands_are_kept(text: str, commands: list[str]) -> None:
    """Shell lines, pip magics and script cells give the commands, joined over their backslashes."""
    assert commands == [line.command for line in mask(Cell(0, text), "a.ipynb").shell]


def test_a_command_has_its_place() -> None:
    """The span covers the statement, below a cell magic too."""
    lines = mask(Cell(3, "%%time\nif a:\n    !ls \\\n     -l"), "a.ipynb").shell
    assert [Span("a.ipynb", Position(3, 4), Position(4, 7), 3)] == [line.span for line in lines]


@pytest.mark.parametrize(
    ("text", "name", "appends"),
    [
        ("%%writefile ds.yaml\na: 1\n", "ds.yaml", False),
        ("%%writefile -a 'ds.yaml'\na: 1\n", "ds.yaml", True),
        ("%%file ds.yaml\na: 1\n", "ds.yaml", False),
    ],
)
def test_written_files_are_kept(text: str, name: str, appends: bool) -> None:  # noqa: FBT001  a table's column
    """A cell that writes a file gives its name and text."""
    masked = mask(Cell(0, text), "a.ipynb")
    assert [(name, "a: 1\n", appends)] == [(file.name, file.text, file.appends) for file in masked.written]


def test_databricks_exports_keep_their_commands() -> None:
    """A Databricks source file writes magics as comments, which it would run."""
    text = "# Databricks notebook source\n# MAGIC %pip install trl==0.14.0\n# MAGIC # Title\n# MAGIC %sh ls"
    assert ["pip install trl==0.14.0", "ls"] == [
        line.command for line in databricks_lines(Cell(None, text), "a.py")
    ]
    assert () == databricks_lines(Cell(None, "# MAGIC %pip install trl"), "a.py")


PIECES = (
    "!ls é", "%time x", "%%bash", "x = !a", "'''", '"', "(", ")", "\\", "pip install y", "z?", "if a:",
    "    ", "# c", "é", "\n",
)  # fmt: skip


@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join))
def test_every_position_stays(text: str) -> None:
    """Masking changes neither the length nor the place of a line end."""
    masked = mask(Cell(0, text), "a.ipynb").text
    assert re.sub(r"[^\n]", " ", text) == re.sub(r"[^\n]", " ", masked)
