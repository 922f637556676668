"""The commands as a person runs them: exit status, output, and one clear line for each wrong use."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from vramlint import __version__
from vramlint import cli as commands_package
from vramlint.cli import gpu_detection

if TYPE_CHECKING:
    from collections.abc import Callable
    from subprocess import CompletedProcess

    Cli = Callable[..., CompletedProcess[str]]

TRAIN = """\
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, Trainer, TrainingArguments
model = AutoModelForCausalLM.from_pretrained("gpt2", torch_dtype=torch.float32)
args = TrainingArguments("out", per_device_train_batch_size=8, optim="adamw_torch")
tokenizer = AutoTokenizer.from_pretrained("gpt2")
def encode(row):
    return tokenizer(row["text"], truncation=True, padding="max_length", max_length=1024)
trainer = Trainer(model=model, args=args, train_dataset=data.map(encode))
trainer.train()
"""


@pytest.fixture
def script(tmp_path: Path) -> str:
    """Write a small training script and return its path."""
    (tmp_path / "train.py").write_text(TRAIN)
    return "train.py"


def test_version(cli: Cli) -> None:
    """The name and the version, and nothing else."""
    assert f"vramlint {__version__}\n" == cli("--version").stdout


@pytest.mark.parametrize("arguments", [(), ("--help",), ("help",)])
def test_help_lists_the_commands(cli: Cli, arguments: tuple[str, ...]) -> None:
    """Every command has a line, in order: one for each file of the package that has a `run`."""
    done = cli(*arguments)
    assert 0 == done.returncode
    named = re.findall(r"^  ([a-z-]+) ", done.stdout, re.MULTILINE)
    commands = [
        file.stem
        for file in Path(commands_package.__path__[0]).glob("*.py")
        if "\ndef run(" in file.read_text(encoding="utf-8")
    ]
    assert sorted(name.replace("_", "-") for name in commands) == named
    assert {"check", "estimate", "explain", "rule"} <= {*named}


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("chek",), "unknown command 'chek'; did you mean 'check'?"),
        (("workspace",), "unknown command 'workspace'"),
        (("check", "a.py", "--gpuu", "4090"), "unknown option '--gpuu'; did you mean '--gpu'?"),
        (("check",), "the following arguments are required: PATH (see vramlint check --help)"),
        (("check", "missing.py"), "missing.py: no such file or folder"),
        (("check", ""), ": no such file or folder"),
        (("check", "trian.py"), "trian.py: no such file or folder; did you mean 'train.py'?"),
        (("check", "empty"), "empty: no scripts or notebooks (.py, .ipynb) in this folder"),
        (("check", "train.py", "--format", "jsno"), "unknown format 'jsno'; did you mean 'json'?"),
        (("check", "train.py", "--gpu", "RTX 4099"), "command line: unknown GPU 'RTX 4099'"),
        (("check", "train.py", "--set", "batch"), "--set batch: write it as key=value"),
        (
            ("check", "train.py", "--set", "optimiser=x"),
            "--set optimiser: unknown setting 'optimiser'; did you mean 'optimizer'?",
        ),
        (("check", "train.py", "--reserve", "some"), "command line: reserve: 'some' is no size"),
        (("explain", "missing.py:3"), "missing.py: no such file or folder"),
        (("explain", "empty"), "empty: is a folder"),
        (("rule", "out-of-memry"), "unknown rule 'out-of-memry'; did you mean 'out-of-memory'?"),
        (("gpus", "voodoo"), "no GPU is called 'voodoo'"),
        (("optimizers", "adamww"), "unknown optimizer 'adamww'; did you mean"),
        (("estimate", "missing.json"), "missing.json: no such file"),
        (("estimate",), "name a plan (PLAN.json or -) or a model (--model ID)"),
    ],
)
def test_wrong_use_is_one_line(
    cli: Cli, script: str, tmp_path: Path, arguments: tuple[str, ...], line: str
) -> None:
    """Exit 2, one line on stderr that names the thing, no traceback, nothing on stdout."""
    (tmp_path / "empty").mkdir()
    done = cli(*arguments)
    assert 2 == done.returncode
    (said,) = done.stderr.splitlines()
    assert said.startswith(f"vramlint: {line}")
    assert script
    assert "" == done.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "missing.py"),
        ("check", "train.py", "--gpu", "RTX 4099"),
        ("check", "--gpuu", "3"),
        ("estimate", "missing.json"),
        ("estimate", "-"),
    ],
)
def test_json_is_a_document_even_where_nothing_works(
    cli: Cli, script: str, arguments: tuple[str, ...]
) -> None:
    """Stdout holds one valid document with the error, whatever happened."""
    assert script
    done = cli(*arguments, "--format", "json", stdin="{")
    assert 2 == done.returncode
    document = json.loads(done.stdout)
    assert 1 == document["version"]
    (error,) = document["errors"]
    assert done.stderr.strip() == f"vramlint: {error['message']}"


def test_a_wrong_path_does_not_hide_the_others(cli: Cli, script: str) -> None:
    """The good file is checked; the exit status still says that something was wrong."""
    done = cli("check", script, "missing.py", "--format", "json")
    assert 2 == done.returncode
    document = json.loads(done.stdout)
    assert ["train.py"] == [file["path"] for file in document["files"]]
    assert 1 == len(document["errors"])


def test_the_exit_status_follows_the_findings(cli: Cli, script: str) -> None:
    """0 where it fits, 1 where it does not, 0 again where the person wants no failure."""
    assert 0 == cli("check", script, "--gpu", "H100").returncode
    assert 1 == cli("check", script, "--gpu", "4GB").returncode
    assert 0 == cli("check", script, "--gpu", "4GB", "--fail-on", "never").returncode


def test_a_script_that_does_not_fit_says_so(cli: Cli, script: str) -> None:
    """The finding stands on the training call, with related lines and ways out."""
    done = cli("check", script, "--gpu", "4GB", "--format", "json")
    (file,) = json.loads(done.stdout)["files"]
    finding = next(one for one in file["findings"] if one["rule"] == "out-of-memory")
    assert ("error", 0, "train.py") == (finding["severity"], finding["run"], finding["path"])
    assert {3, 4} <= {related["start"]["line"] for related in finding["related"]}
    assert {"safe", "unsafe"} >= {fix["safety"] for fix in finding["fixes"] if fix["edits"]}
    assert any(edit["text"] for fix in finding["fixes"] for edit in fix["edits"])
    assert "no" == file["runs"][0]["gpu"]["fits"]


def test_stdin_is_a_file(cli: Cli) -> None:
    """`-` reads a script, or a notebook, from stdin."""
    done = cli("check", "-", "--format", "json", stdin=TRAIN)
    (file,) = json.loads(done.stdout)["files"]
    assert ("-", 1) == (file["path"], len(file["runs"]))


def test_the_gpu_comes_from_the_project_or_the_person(cli: Cli, script: str, tmp_path: Path) -> None:
    """Pyproject is the lowest, the environment above it, the command line on top."""
    (tmp_path / "pyproject.toml").write_text('[tool.vramlint]\ngpu = "T4"\n')
    names = [
        json.loads(cli("check", script, "--format", "json", *flags, **variables).stdout)["files"][0]["runs"][
            0
        ]["gpu"]
        for flags, variables in (
            ((), {}),
            ((), {"VRAMLINT_GPU": "L4"}),
            (("--gpu", "RTX 4090"), {"VRAMLINT_GPU": "L4"}),
        )
    ]
    assert ["T4", "L4", "RTX 4090"] == [gpu["name"] for gpu in names]


def test_a_misspelt_key_in_the_project_is_one_line(cli: Cli, script: str, tmp_path: Path) -> None:
    """The file and the nearest key are named."""
    (tmp_path / "pyproject.toml").write_text("[tool.vramlint]\nworld-sise = 2\n")
    done = cli("check", script)
    assert 2 == done.returncode
    assert done.stderr.endswith("[tool.vramlint]: unknown option 'world-sise'; did you mean 'world-size'?\n")


def test_an_unknown_rule_in_ignore_is_one_line(cli: Cli, script: str, tmp_path: Path) -> None:
    """Ignoring a rule that does not exist is a slip."""
    (tmp_path / "pyproject.toml").write_text('[tool.vramlint]\nignore = ["oom"]\n')
    done = cli("check", script)
    assert (2, 1) == (done.returncode, len(done.stderr.splitlines()))
    assert "pyproject.toml: unknown rule 'oom'" in done.stderr


def test_a_version_that_is_none_is_one_line(cli: Cli, script: str, tmp_path: Path) -> None:
    """A range belongs to a lock file; the option takes a release."""
    (tmp_path / "pyproject.toml").write_text('[tool.vramlint.libraries]\ntorch = ">=2"\n')
    done = cli("check", script)
    assert (2, 1) == (done.returncode, len(done.stderr.splitlines()))
    assert "libraries.torch: should be a version such as 2.6.0, got '>=2'" in done.stderr


def test_rules_can_be_ignored(cli: Cli, script: str, tmp_path: Path) -> None:
    """By option for a project, by comment for a line."""
    (tmp_path / "pyproject.toml").write_text('[tool.vramlint]\nselect = ["out-of-memory"]\n')
    arguments = ("check", script, "--gpu", "4GB", "--format", "json")
    rules = {finding["rule"] for finding in json.loads(cli(*arguments).stdout)["files"][0]["findings"]}
    assert {"out-of-memory"} == rules
    (tmp_path / script).write_text("# vramlint: ignore[out-of-memory]\n" + TRAIN)
    assert 0 == cli(*arguments).returncode


@pytest.mark.parametrize(
    ("name", "content", "rule"),
    [
        ("model.py", b"\x80\x02torch\x00\x01", "unreadable-file"),
        ("latin.ipynb", b"{torch", "unreadable-file"),
        ("broken.py", b"import torch\nloss.backward(\n", "syntax-error"),
        ("long.py", b"import torch\nx = '" + b"a" * 10_000_000 + b"'\n", "unreadable-file"),
        ("deep.py", b"import torch\nx = " + b"(" * 3000 + b")" * 3000 + b"\n", "syntax-error"),
    ],
    ids=["binary", "no JSON", "syntax", "10 MB line", "deep nesting"],
)
def test_bad_files_are_findings(cli: Cli, tmp_path: Path, name: str, content: bytes, rule: str) -> None:
    """A finding of one line, never a traceback."""
    (tmp_path / name).write_bytes(content)
    done = cli("check", name, "--format", "json")
    assert "" == done.stderr
    (finding,) = json.loads(done.stdout)["files"][0]["findings"]
    assert rule == finding["rule"]
    assert 1 == len(finding["message"].splitlines())


def test_a_file_without_training_is_silent(cli: Cli, tmp_path: Path) -> None:
    """Exit 0, one calm line."""
    (tmp_path / "util.py").write_text("print('hello')\n")
    done = cli("check", "util.py")
    assert (0, "1 file, no training or generation found.\n") == (done.returncode, done.stdout)


def test_piped_output_has_no_colour(cli: Cli, script: str) -> None:
    """Escapes are for terminals."""
    assert "\x1b" not in cli("check", script).stdout


def test_explain_tells_every_term(cli: Cli, script: str) -> None:
    """Formula, dimensions, cause and source of each, and what the textbook says."""
    said = cli("explain", script).stdout
    assert "exp_avg" in said
    assert "because of line 4" in said
    assert "source: " in said
    assert "textbook" in said.lower()


def test_explain_tells_one_line(cli: Cli, script: str) -> None:
    """The optimizer's line causes its states; a line without memory says so."""
    said = cli("explain", "train.py:4").stdout
    assert said.startswith("train.py:4")
    assert "of the allocated peak" in said
    assert "causes no memory" in cli("explain", "train.py:1").stdout
    assert script


def test_rule_prints_its_page(cli: Cli) -> None:
    """The docstring is the documentation."""
    said = cli("rule", "out-of-memory").stdout
    assert said.startswith("# out-of-memory\n")
    assert "## What it assumes" in said
    assert "out-of-memory" in cli("rule").stdout


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("gpus", "4090"), "RTX 4090"),
        (("optimizers", "torch.optim.AdamW"), "torch.optim.AdamW"),
        (("optimizers", "adamw_bnb_8bit"), "bitsandbytes.optim.AdamW8bit"),
        (("models", "llama-2-7b"), "meta-llama/Llama-2-7b"),
    ],
)
def test_catalogues_can_be_listed(cli: Cli, arguments: tuple[str, ...], expected: str) -> None:
    """A pattern narrows the list."""
    done = cli(*arguments)
    assert 0 == done.returncode
    assert expected in done.stdout


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("NVIDIA GeForce RTX 4090, 24564\n", "RTX 4090"),
        ("NVIDIA H100 80GB HBM3, 81559\nNVIDIA T4, 15360\n", "T4"),
        ("no devices were found\n", None),
        ("", None),
    ],
)
def test_the_answer_of_nvidia_smi(answer: str, expected: str | None) -> None:
    """The smallest GPU counts; anything that is no answer means none."""
    gpu = gpu_detection._smallest(answer)
    assert expected == (None if gpu is None else gpu.name)


def test_a_missing_or_failing_nvidia_smi_is_fine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No program, or one that fails: no GPU, no noise."""
    monkeypatch.setenv("PATH", str(tmp_path))
    gpu_detection.detect.cache_clear()
    assert None is gpu_detection.detect()
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\nexit 9\n")
    program.chmod(0o755)
    assert "" == gpu_detection._ask(str(program))
