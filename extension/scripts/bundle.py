"""Puts the server and the wheels it needs into `bundled/`, for every Python that it supports: `bundle.py [TARGET]`.

TARGET is a platform of `vsce package --target`, by default this machine's. libcst and pydantic-core are compiled for
each version of Python; their modules carry the version in the file's name, so that all lie side by side in one folder.
"""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory

HERE = Path(__file__).resolve().parent.parent
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
TARGETS = {
    "linux-x64": ("manylinux_2_17_x86_64", "manylinux2014_x86_64", "manylinux_2_28_x86_64"),
    "linux-arm64": ("manylinux_2_17_aarch64", "manylinux2014_aarch64", "manylinux_2_28_aarch64"),
    "darwin-arm64": ("macosx_11_0_arm64", "macosx_12_0_arm64"),
    "darwin-x64": ("macosx_10_12_x86_64", "macosx_11_0_x86_64"),
    "win32-x64": ("win_amd64",),
    "win32-arm64": ("win_arm64",),
}
# What is never imported by the server.
_LEFT_OUT = ("tests", "__pycache__", "bin")


def main() -> None:
    """Fill `bundled/libs`, and copy the two packages of this repository beside it."""
    target = sys.argv[1] if len(sys.argv) > 1 else _own_target()
    if target not in TARGETS:
        raise SystemExit(f"unknown target {target!r}; known are {', '.join(TARGETS)}")
    bundled = HERE / "bundled"
    for folder in ("libs", "tool"):
        shutil.rmtree(bundled / folder, ignore_errors=True)
    with TemporaryDirectory() as wheels:
        for version in PYTHONS:
            _download(Path(wheels), version, TARGETS[target])
        for wheel in sorted(Path(wheels).glob("*.whl")):
            _unpack(wheel, bundled / "libs")
    for package in ("analyzer/vramlint", "lsp_server/vramlint_lsp"):
        source = HERE.parent / package
        shutil.copytree(source, bundled / "tool" / source.name, ignore=shutil.ignore_patterns("__pycache__"))
    (bundled / "TARGET").write_text(target + "\n", encoding="utf-8")
    print(f"bundled for {target}: {sum(1 for _ in (bundled / 'libs').rglob('*.so'))} compiled modules")


def _own_target() -> str:
    system = {"Linux": "linux", "Darwin": "darwin", "Windows": "win32"}.get(platform.system(), "linux")
    machine = "arm64" if platform.machine().lower() in {"arm64", "aarch64"} else "x64"
    return f"{system}-{machine}"


def _download(wheels: Path, version: str, platforms: tuple[str, ...]) -> None:
    """Fetch what the project and its extra `lsp` depend on, resolved for one version of Python."""
    named = [part for one in platforms for part in ("--platform", one)]
    command = [
        *(
            sys.executable,
            "-m",
            "pip",
            "--disable-pip-version-check",
            "--quiet",
            "download",
            "--dest",
            str(wheels),
        ),
        *("--only-binary=:all:", "--python-version", version, "--implementation", "cp", *named),
        *_requirements(),
    ]
    subprocess.run(command, check=True)


def _requirements() -> list[str]:
    project = tomllib.loads((HERE.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return [*project["dependencies"], *project["optional-dependencies"]["lsp"]]


def _unpack(wheel: Path, libs: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if not any(part in _LEFT_OUT for part in Path(name).parts[:-1]):
                archive.extract(name, libs)


if __name__ == "__main__":
    main()
