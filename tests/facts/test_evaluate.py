"""The evaluator: what expressions are worth, where the value stands, and when it gives up."""

from __future__ import annotations

import ast
from textwrap import dedent
from typing import TYPE_CHECKING, Any

import pytest

from vramlint.facts.script import Script
from vramlint.facts.setting import Known, OneOf, Setting, Unknown, alternatives
from vramlint.facts.values import Instance, Symbol
from vramlint.source.spans import Position, Span

if TYPE_CHECKING:
    from collections.abc import Mapping


def script(*cells: str, flags: Mapping[str, str] | None = None) -> Script:
    """Return the script of some cells."""
    trees = [(index, ast.parse(dedent(cell))) for index, cell in enumerate(cells)]
    return Script(trees, _span, flags)


def _span(node: Any, cell: int | None) -> Span:
    start = Position(node.lineno, node.col_offset)
    return Span("train.py", start, Position(node.end_lineno, node.end_col_offset), cell)


def shown(*cells: str, flags: Mapping[str, str] | None = None) -> Setting[Any]:
    """Return what the last `show(…)` of a script is given."""
    read = script(*cells, flags=flags)
    call = read.calls("show")[-1]
    return read.value(call.node.args[0], call.place)


@pytest.mark.parametrize(
    ("expected", "text"),
    [
        (16, "n = 4\nshow(n * 2 ** 2)"),
        (3, "show(7 // 2)"),
        (2, "a, (b, c) = 1, (2, 3)\nshow(b)"),
        (4, "show({'x': 4}['x'])"),
        (5, "show({'x': 4}.get('y', 5))"),
        (6, "inner = {'b': 6}\nshow({'a': 1, **inner}['b'])"),
        (7, "show(dict(a=7)['a'])"),
        (3, "show(len([1, 2, 3]))"),
        (2, "show(min(2, 8))"),
        (2, "show(min(2, run_time()))"),
        (8, "show(int('8'))"),
        ("gpt2-xl", "size = 'xl'\nshow(f'gpt2-{size}')"),
        ("gpt2", "show('GPT2'.lower())"),
        ("a/b", "show('{}/{}'.format('a', 'b'))"),
        ("x", "import torch\nshow('x' if torch.cuda.is_available() else 'y')"),
        (3, "show(0 or 3)"),
        (False, "show(unknown() and False)"),
        (False, "show(not 'text')"),
        (True, "show('bf' in 'bf16')"),
        (True, "show(None is None)"),
        (9, "class C:\n    size = 9\nshow(C.size)"),
        (9, "class C:\n    def __init__(self, n):\n        self.n = n\nshow(C(9).n)"),
        (4, "from types import SimpleNamespace\nc = SimpleNamespace(n=4)\nshow(c.n)"),
        (5, "from enum import Enum\nclass E(Enum):\n    A = 5\nshow(E.A.value)"),
        (6, "def double(x):\n    return 2 * x\nshow(double(3))"),
        (5, "def f(x, y=5):\n    return y\nshow(f(1))"),
        (2, "show((lambda: 2)())"),
        (3, "from typing import NamedTuple\nclass T(NamedTuple):\n    a: int = 3\nshow(T().a)"),
        (12, "x = 4\nx *= 3\nshow(x)"),
        (1, "def f():\n    return 1, 2\na, b = f()\nshow(a)"),
        (8, "import os\nshow(int(os.environ.get('BATCH', '8')))"),
        (2, "args = make()\nargs.n = 2\nshow(args.n)"),
        (1, "if True:\n    n = 1\nelse:\n    n = 2\nshow(n)"),
        (1, "n = 1\nif 0:\n    n = 2\nshow(n)"),
        (1, "try:\n    n = 1\nexcept ValueError:\n    n = 2\nshow(n)"),
        (2, "if __name__ == '__main__':\n    n = 2\n    show(n)"),
        (3, "with open('f') as f:\n    n = 3\nshow(n)"),
        (4, "def f():\n    global n\n    n = 4\nf()\nshow(n)"),
        (2, "if x():\n    raise SystemExit\nelse:\n    n = 2\nshow(n)"),
    ],
)
def test_value(expected: object, text: str) -> None:
    """An expression that needs no run has its value."""
    setting = shown(text)
    assert isinstance(setting, Known)
    assert expected == setting.value


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        ("known only at run time", "for n in data:\n    show(n)"),
        ("known only at run time", "n = 1\nfor _ in data:\n    n += 1\n    show(n)"),
        ("calls itself", "def f(n):\n    return f(n + 1)\nshow(f(1))"),
        ("not bound", "show(nowhere)"),
        ("from models import *", "from models import *\nshow(batch_size)"),
        ("environment variable HOME", "import os\nshow(os.environ.get('HOME'))"),
        ("no call in this file gives", "def f(n):\n    show(n)"),
        ("cannot be computed", "show(1 // 0)"),
        ("cannot be computed", "show(10 ** 1000)"),
        ("cannot be computed", "show('a' * 10**9)"),
        ("not among the keys", "show({'a': 1}['b'])"),
        ("**run_time", "show({**run_time()}['b'])"),
    ],
)
def test_unknown(reason: str, text: str) -> None:
    """What only a run can tell is unknown, and the reason says so."""
    setting = shown(text)
    assert isinstance(setting, Unknown)
    assert reason in setting.reason


def test_branches_are_alternatives() -> None:
    """Undecided branches keep both values, in the order of the text."""
    setting = shown("n = 1\nif flag():\n    n = 2\nshow(n)")
    assert isinstance(setting, OneOf)
    assert (1, 2) == alternatives(setting)


def test_both_arms_hide_what_was_before() -> None:
    """A name bound in every arm has no older value left."""
    setting = shown("n = 1\nif flag():\n    n = 2\nelif other():\n    n = 3\nelse:\n    n = 4\nshow(n)")
    assert (2, 3, 4) == alternatives(setting)


def test_inside_an_arm_the_other_is_not_seen() -> None:
    """A place in one arm does not see the binding of the other."""
    setting = shown("if flag():\n    n = 1\n    show(n)\nelse:\n    n = 2")
    assert (1,) == alternatives(setting)


def test_conditional_imports_keep_both_names() -> None:
    """A fallback import leaves two qualified names, the first one first."""
    read = script("try:\n    from a import Adam\nexcept ImportError:\n    from b import Adam\nx = Adam(1)")
    assert ("a.Adam", "b.Adam") == read.callee(read.calls("Adam")[0])


def test_a_method_of_a_text_has_no_qualified_name() -> None:
    """Nothing is invented for the method of a literal."""
    read = script("x = ('s').join(parts)")
    assert (".join",) == read.callee(read.calls("join")[0])


def test_the_origin_is_where_the_value_stands() -> None:
    """A value passed on keeps the line where it is written."""
    setting = shown("\nsize = 4\nother = size\nshow(other)")
    assert isinstance(setting, Known)
    assert setting.origin.span is not None
    assert 2 == setting.origin.span.start.line


def test_calls_of_one_parameter_differ() -> None:
    """A parameter that two calls give differently is one of both."""
    assert (1, 2) == alternatives(shown("def f(n):\n    show(n)\nf(1)\nf(n=2)"))


def test_a_notebook_is_one_module() -> None:
    """A cell sees what earlier cells bind, and not what later ones rebind."""
    read = script("n = 1", "show(n)", "n = 2", "show(n)")
    values = [read.value(call.node.args[0], call.place) for call in read.calls("show")]
    assert [(1,), (2,)] == [alternatives(value) for value in values]


def test_dead_calls_are_left_out() -> None:
    """A call that never runs is not offered to frontends."""
    assert [] == script("DEBUG = False\nif DEBUG:\n    train()").calls("train")


ARGPARSE = """
    import argparse
    parser = argparse.ArgumentParser()
    parser.add_argument("-b", "--batch-size", type=int, default="8")
    parser.add_argument("--no-cache", dest="cache", action="store_false")
    parser.add_argument("--fp16", action="store_true")
    parser.add_argument("--model", required=True)
    parser.add_argument("--name")
    parser.add_argument("folder")
    parser.set_defaults(seed=7)
    args = parser.parse_args()
"""


@pytest.mark.parametrize(
    ("expected", "expression"),
    [
        (8, "args.batch_size"),
        (8, "vars(args)['batch_size']"),
        (8, "args.__dict__['batch_size']"),
        (True, "args.cache"),
        (False, "args.fp16"),
        (True, "not args.fp16"),
        (7, "args.seed"),
    ],
)
def test_argument_defaults(expected: object, expression: str) -> None:
    """An argument is worth its default, and the origin says that it is one."""
    setting = shown(f"{dedent(ARGPARSE)}\nshow({expression})")
    assert isinstance(setting, Known)
    assert (expected, "argument-default") == (setting.value, setting.origin.kind)


@pytest.mark.parametrize(("expression", "flag"), [("args.model", "--model"), ("args.folder", "FOLDER")])
def test_arguments_without_default(expression: str, flag: str) -> None:
    """An argument that must be given is unknown, and the reason names it."""
    setting = shown(f"{dedent(ARGPARSE)}\nshow({expression})")
    assert isinstance(setting, Unknown)
    assert flag in setting.reason


def test_the_launch_line_wins() -> None:
    """A flag of the launch line stands above the default."""
    setting = shown(f"{dedent(ARGPARSE)}\nshow(args.batch_size)", flags={"batch_size": "32"})
    assert isinstance(setting, Known)
    assert (32, "launch") == (setting.value, setting.origin.kind)


DATACLASSES = """
    from dataclasses import dataclass, field
    from transformers import HfArgumentParser, TrainingArguments
    @dataclass
    class Model:
        name: str
        layers: int = field(default=3, metadata={"help": "how many"})
    @dataclass
    class Ours(TrainingArguments):
        bf16: bool = True
    parser = HfArgumentParser((Model, Ours))
    model, training = parser.parse_args_into_dataclasses()
"""


def test_dataclasses_from_the_command_line() -> None:
    """Fields of parsed dataclasses are argument defaults; one without a default is unknown."""
    layers, name = (shown(f"{dedent(DATACLASSES)}\nshow(model.{field})") for field in ("layers", "name"))
    assert isinstance(layers, Known)
    assert (3, "default of --layers") == (layers.value, layers.origin.detail)
    assert isinstance(name, Unknown)
    assert "--name" in name.reason


def test_a_subclass_is_its_base() -> None:
    """An object of a class in the file has the qualified names of its bases."""
    setting = shown(f"{dedent(DATACLASSES)}\nshow(training)")
    assert isinstance(setting, Known)
    assert isinstance(setting.value, Instance)
    assert ("transformers.TrainingArguments",) == setting.value.names


def test_click_options() -> None:
    """A parameter that click declares has the option's default."""
    setting = shown(
        "import click\n@click.option('--batch-size', default=4)\ndef main(batch_size):\n    show(batch_size)"
    )
    assert isinstance(setting, Known)
    assert (4, "argument-default") == (setting.value, setting.origin.kind)


def test_getattr_of_torch() -> None:
    """A dtype named by a text has its place where the text stands."""
    setting = shown("import torch\nname = 'bfloat16'\nshow(getattr(torch, name))")
    assert isinstance(setting, Known)
    assert Symbol("torch.bfloat16") == setting.value


@pytest.mark.parametrize(
    "text",
    [
        "show(" + "(" * 80 + "1" + ")" * 80 + ")",
        "show(" + " + ".join(["1"] * 90) + ")",
        "".join(f"x{i} = x{i - 1} + x{i - 1}\n" for i in range(1, 400)) + "show(x399)",
        "def f(n):\n    return g(n)\ndef g(n):\n    return f(n)\nshow(f(1))",
        "".join(f"if a():\n    n = {i}\n" for i in range(40)) + "show(n)",
        "class A(B):\n    pass\nclass B(A):\n    n = 1\nshow(A().missing)",
    ],
)
def test_bounded(text: str) -> None:
    """Deep, long and circular programs come to an end without an error."""
    assert shown(text) is not None


def test_self_points_at_its_class() -> None:
    """An object that a later cell makes has the origin of the cell that holds its class."""
    read = script("\n\n\nclass Net:\n    def run(self):\n        show(self)", "Net().run()")
    call = read.calls("show")[0]
    setting = read.value(call.node.args[0], call.place)
    assert isinstance(setting, Known)
    assert setting.origin.span is not None
    assert (0, 4) == (setting.origin.span.cell, setting.origin.span.start.line)


def test_a_name_that_very_many_branches_bind_is_given_up() -> None:
    """Each link of such a chain asks for all before it; three thousand must not take minutes."""
    links = "\n".join(f"if run_time() > {number}:\n    n = n + {number}" for number in range(3000))
    value = shown(f"n = 1\n{links}\nshow(n)")
    assert isinstance(value, Unknown)
    assert "more than 64 branches" in value.reason
