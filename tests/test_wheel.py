"""What is shipped works by itself: the wheel, installed elsewhere and tried without the source tree."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("analyzer/vramlint", "lsp_server/vramlint_lsp")
MOST_BYTES = 2_000_000

# Tests that need the installed package alone, and none of the repository's other files.
TAKEN_ALONG = ("cases", "conftest.py", "mdtest.py", "mdtest")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel from a copy of the tree, so that nothing is written into the repository."""
    copy = tmp_path_factory.mktemp("source")
    for name in ("analyzer", "lsp_server"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    target = tmp_path_factory.mktemp("wheel")
    _run(
        sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index",
        "--wheel-dir", str(target), str(copy),
    )  # fmt: skip
    return next(target.glob("*.whl"))


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Install the wheel into an environment of its own, which borrows the dependencies of this one.

    A path named in a .pth file comes after the environment's own packages, and .pth files inside
    it (an editable install of the source tree among them) are not read.
    """
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False, symlinks=True)
    scheme = sysconfig.get_paths("venv", vars={"base": str(folder), "platbase": str(folder)})
    interpreter = Path(scheme["scripts"], "python")
    _run(
        sys.executable, "-m", "pip", "--python", str(interpreter), "install", "--no-deps", "--no-index",
        str(wheel),
    )  # fmt: skip
    Path(scheme["purelib"], "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return str(interpreter)


def test_the_wheel_is_small(wheel: Path) -> None:
    """Under two megabytes, catalogue included."""
    assert wheel.stat().st_size < MOST_BYTES


def test_the_wheel_holds_the_packages_and_nothing_else(wheel: Path) -> None:
    """Every file of both packages is in, py.typed and data too; tests, examples and benchmarks are not."""
    names = {name for name in ZipFile(wheel).namelist() if ".dist-info/" not in name}
    files = {
        path.relative_to((ROOT / package).parent).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {"vramlint/py.typed", "vramlint_lsp/py.typed"} <= names
    assert files == names


def test_the_source_tree_is_out_of_the_way(python: str, tmp_path: Path) -> None:
    """The interpreter under test imports what was installed, not what lies in the repository."""
    where = _run(python, "-c", "import vramlint, vramlint_lsp; print(vramlint.__file__)", cwd=tmp_path)
    assert Path(python).parent.parent in Path(where.strip()).parents


def test_the_installed_command_checks_an_example(python: str, tmp_path: Path) -> None:
    """`vramlint check` of the wheel reads a script and finds its training."""
    script = shutil.copy(ROOT / "examples" / "train_gpt2.py", tmp_path)
    command = Path(python).with_name("vramlint")
    page = _run(str(command), "check", str(script), "--gpu", "RTX 4090", "--fail-on", "never", cwd=tmp_path)
    assert "train_gpt2.py" in page
    assert "GB" in page


def test_the_case_pages_pass_on_the_wheel(python: str, tmp_path: Path) -> None:
    """The same pages of expectations hold for the installed package."""
    tests = tmp_path / "tests"
    tests.mkdir()
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for name in TAKEN_ALONG:
        source = ROOT / "tests" / name
        if source.is_dir():
            shutil.copytree(source, tests / name)
        elif source.exists():
            shutil.copy(source, tests)
    assert " passed" in _run(python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests", cwd=tmp_path)


def _run(*command: str, cwd: Path | None = None) -> str:
    """Run a command without the paths that point into the repository, and return what it printed."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        command,
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert 0 == done.returncode, done.stdout + done.stderr
    return done.stdout
