"""The version of a library comes from the surest text around a script, and says which."""

from __future__ import annotations

import json

import pytest

from vramlint.facts.setting import Origin
from vramlint.facts.versions import Version, versions_for
from vramlint.knowledge.versions import newest
from vramlint.source.neighbours import InMemory
from vramlint.source.parse import parse
from vramlint.source.read import document
from vramlint.source.requirements import from_command, from_file, from_inline_metadata
from vramlint.source.spans import Position, Span

PLACES = {
    "lock": "proj/uv.lock",
    "project": "proj/pyproject.toml",
    "beside": "proj/src/requirements.txt",
    "above": "requirements.txt",
    "git": "proj/.git/HEAD",
}


def versions(text: str, path: str = "proj/src/train.py", **files: str) -> dict[str, Version]:
    """Return the versions for a script in a project; `files` have their paths in `PLACES`."""
    program = parse(document(path, text)[0])
    return dict(versions_for(program, InMemory({PLACES[name]: files[name] for name in files}), {}))


def notebook(*cells: str) -> str:
    """Return a notebook of code cells."""
    return json.dumps({"cells": [{"cell_type": "code", "source": cell} for cell in cells]})


def test_the_newest_known_is_assumed() -> None:
    """Where nobody says, the newest release counts, and the origin says that it is assumed."""
    found = versions("# pip install transformers==4.44.0\nimport transformers")
    text = newest("transformers")
    assert Version(text, Origin("assumed", f"newest known, {text}")) == found["transformers"]


def test_the_last_pin_of_a_notebook_counts() -> None:
    """A later cell installs over an earlier one, and the place is that of its line."""
    text = notebook("!pip install trl==0.13.0", "%pip install -q trl==0.14.0 'peft>=0.10,<0.12'")
    found = versions(text, "a.ipynb")
    span = Span("a.ipynb", Position(1, 0), Position(1, 46), 1)
    line = "pip install -q trl==0.14.0 'peft>=0.10,<0.12'"
    assert Version("0.14.0", Origin("source", line, span)) == found["trl"]
    detail = f"{line}; 0.11.1 is the newest known release that this allows"
    assert Version("0.11.1", Origin("source", detail, span)) == found["peft"]


def test_options_come_first() -> None:
    """What the project states is above what a script pins."""
    program = parse(document("a.ipynb", notebook("!pip install trl==0.14.0"))[0])
    found = versions_for(program, InMemory(), {"trl": "0.9.6"})["trl"]
    assert Version("0.9.6", Origin("override", "libraries: trl 0.9.6")) == found


def test_inline_metadata_counts() -> None:
    """A script's own metadata block (PEP 723) pins."""
    text = '# /// script\n# dependencies = [\n#   "trl==0.14.0",\n# ]\n# ///\nimport trl\n'
    place = Span("proj/src/train.py", Position(3, 0), Position(3, 0))
    assert Version("0.14.0", Origin("source", "trl==0.14.0", place)) == versions(text)["trl"]


def test_the_nearest_directory_counts() -> None:
    """A file beside the script is nearer than one above, whatever its kind."""
    found = versions(
        "",
        lock='[[package]]\nname = "trl"\nversion = "0.16.1"\n',
        beside="# trl==0.1\ntorch\ntrl>=0.14,<0.15  # why\n",
    )
    assert "0.14.0" == found["trl"].text
    assert "proj/src/requirements.txt: trl>=0.14,<0.15" in found["trl"].origin.detail
    place = Span("proj/src/requirements.txt", Position(3, 0), Position(3, 0))
    assert place == found["trl"].origin.span


def test_a_lock_is_surer_than_a_range() -> None:
    """In one directory the lock says what is installed."""
    found = versions(
        "",
        project='[project]\ndependencies = ["transformers>=4.40"]\n',
        lock='[[package]]\nname = "transformers"\nversion = "4.44.2"\nsource = {}\n',
    )
    assert "4.44.2" == found["transformers"].text


def test_the_search_ends_at_the_project() -> None:
    """Files above the directory with `.git` belong to somebody else."""
    assert "0.14.0" == versions("", above="trl==0.14.0")["trl"].text
    assert newest("trl") == versions("", above="trl==0.14.0", git="")["trl"].text


def test_a_written_file_counts() -> None:
    """A notebook that writes its requirements pins them."""
    text = notebook("%%writefile requirements.txt\ntrl==0.14.0\n", "!pip install -r requirements.txt")
    assert "0.14.0" == versions(text, "a.ipynb")["trl"].text


@pytest.mark.parametrize("wanted", ["trl>=99", "trl==0.14.0,!=0.14.0,>99", "trl==nonsense-"])
def test_what_nothing_satisfies_is_passed_over(wanted: str) -> None:
    """A range without a release, or no range at all, leaves the newest known, or what it names itself."""
    assert versions("", beside=wanted)["trl"].text in {newest("trl"), "99", "0.14.0"}


@pytest.mark.parametrize(
    ("command", "pins"),
    [
        ("pip install -q 'transformers==4.44' trl>=0.9 -U", [("transformers", "==4.44"), ("trl", ">=0.9")]),
        ("cd x && pip install torch==2.1.0+cu121 -f page==1; ls", [("torch", "==2.1.0+cu121")]),
        ("python -m pip install Flash_Attn==2.5 | tail", [("flash-attn", "==2.5")]),
        ("conda install -n env==1 pytorch=2.1 trl", [("torch", "==2.1.*")]),
        ("uv pip install pytorch-lightning~=2.2.0", [("lightning", "~=2.2.0")]),
        ("pip install git+https://github.com/huggingface/trl.git@v0.14.0", [("trl", "==0.14.0")]),
        ("pip install git+https://github.com/huggingface/trl", []),
        ("pip install 'trl", []),
        ("echo trl==1", []),
        ("pip install trl", []),
    ],
)
def test_commands(command: str, pins: list[tuple[str, str]]) -> None:
    """Installing commands pin what they name with a version."""
    assert pins == [(pin.library, pin.specifier) for pin in from_command(command)]


@pytest.mark.parametrize(
    ("name", "text", "pins"),
    [
        (
            "requirements.txt",
            "-r base.txt\n--no-binary x==1\ntrl[a,b] == 0.9.6 ; python_version > '3'",
            ["==0.9.6"],
        ),
        (
            "environment.yml",
            "dependencies:\n  - pytorch::pytorch=2.1.2=cuda\n  - pip:\n    - trl==0.9",
            ["==2.1.2.*", "==0.9"],
        ),
        ("setup.cfg", "[options]\ninstall_requires =\n    trl>=0.9,<1", [">=0.9,<1"]),
        ("poetry.lock", '[[package]]\nname = "trl"\nversion = "0.9.6"', ["==0.9.6"]),
        ("Pipfile.lock", '{"default": {"trl": {"version": "==0.9.6"}, "x": 1}}', ["==0.9.6"]),
        (
            "pyproject.toml",
            '[project]\ndependencies = ["trl>1; x"]\n[dependency-groups]\na = ["trl<2", {b = 1}]',
            [">1", "<2"],
        ),
        (
            "pyproject.toml",
            '[tool.poetry.dependencies]\na = "^1.2"\nb = "^0.2.1"\nc = "~1.2"\nd = "1"\ne = {version = ">1"}',
            [">=1.2,<2", ">=0.2.1,<0.3", ">=1.2,<1.3", "==1", ">1"],
        ),
        ("pyproject.toml", "[project", []),
        ("Pipfile.lock", "{", []),
    ],
)  # fmt: skip
def test_files(name: str, text: str, pins: list[str]) -> None:
    """Each kind of file gives its pins; broken ones none."""
    assert pins == [pin.specifier for pin in from_file(name, text)]


@pytest.mark.parametrize("text", ["# /// script\n# dependencies = [\n# ///\n", "# /// script\n", "trl==1"])
def test_broken_metadata_pins_nothing(text: str) -> None:
    """A block that is no TOML, or is never closed, is a comment."""
    assert [] == list(from_inline_metadata(text))
