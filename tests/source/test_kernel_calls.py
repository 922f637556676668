"""Magics as calls of the kernel: as JupyterLab's client and exported notebooks write them."""

from __future__ import annotations

from vramlint.source.document import Cell, Document
from vramlint.source.parse import parse

QUOTES = '"""'


def _parsed(text: str) -> tuple[str, list[str]]:
    program = parse(Document("train.ipynb", "notebook", (Cell(None, text),)))
    assert () == program.issues
    return "\n".join(program.cells[0].lines), [line.command for line in program.shell]


def test_shell_lines_are_kept() -> None:
    """What the shell is given, in the order of the text; other magics are calls without meaning."""
    text = (
        'get_ipython().system("torchrun --nproc_per_node 2 train.py")\n'
        "get_ipython().run_line_magic('pip', 'install torch')\n"
        'files = get_ipython().getoutput("ls \\"my data\\"")\n'
        'get_ipython().run_line_magic("matplotlib", "inline")\n'
        'get_ipython().run_line_magic("run", "train.py --batch 4")\n'
    )
    assert (
        text,
        [
            "torchrun --nproc_per_node 2 train.py",
            "pip install torch",
            'ls "my data"',
            "python train.py --batch 4",
        ],
    ) == _parsed(text)


def test_the_body_of_a_cell_magic_keeps_its_places() -> None:
    """Python inside `%%time` counts as if the magic were not there; nothing moves."""
    head = f'get_ipython().run_cell_magic("memit", "-r 1", {QUOTES}'
    text = f"a = 1\n{head}\nb = 2\nc = 'x'\n{QUOTES})\nd = 3\n"
    assert (f"a = 1\n{' ' * len(head)}\nb = 2\nc = 'x'\n    \nd = 3\n", []) == _parsed(text)


def test_quotes_inside_a_cell_magic() -> None:
    """The client writes three quotes of the body with backslashes."""
    escaped = '\\"\\"\\"'
    text = f'get_ipython().run_cell_magic("time", "", {QUOTES}\nb = {escaped}x{escaped}\n{QUOTES})\n'
    assert f"b =    {QUOTES}x   {QUOTES}" in _parsed(text)[0]


def test_a_shell_cell_and_a_written_file() -> None:
    """`%%bash` gives its lines to the shell, and `%%writefile` makes a file; neither is Python."""
    text = (
        f'get_ipython().run_cell_magic("bash", "", {QUOTES}\naccelerate launch train.py\n{QUOTES})\n'
        f'get_ipython().run_cell_magic("writefile", "-a train.py", {QUOTES}\nx = 1\n{QUOTES})\n'
    )
    program = parse(Document("train.ipynb", "notebook", (Cell(None, text),)))
    assert ["accelerate launch train.py"] == [line.command for line in program.shell]
    assert [("train.py", "x = 1\n", True)] == [
        (file.name, file.text, file.appends) for file in program.written
    ]
    assert "" == "".join(program.cells[0].lines).strip()
