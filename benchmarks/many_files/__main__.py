"""Print how long a folder takes, cold and warm, beside `ruff check`: `python -m benchmarks.many_files FOLDER`.

Cold is a first check, in one process and in several; warm is the same check again, which finds everything in the
cache. The limits are shown and never asserted: a shared machine decides on the seconds.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

WARM_LIMIT, SCALING_LIMIT = 1.5, 1.6


def main() -> None:
    """Time all of it once, and the warm check and ruff several times in turn."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.many_files", description=__doc__)
    parser.add_argument("folder", type=Path, help="a checkout with thousands of Python files")
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="processes of the parallel run")
    parser.add_argument("--repeat", type=int, default=5, metavar="N", help="warm runs, best counts")
    chosen = parser.parse_args()
    files = sum(1 for _ in chosen.folder.rglob("*.py"))
    print(f"{files:,} Python files, {os.cpu_count()} CPUs")
    with TemporaryDirectory() as cache:
        one = _check(chosen.folder, cache, "--no-cache", "--jobs", "1")
        several = _check(chosen.folder, cache, "--jobs", str(chosen.jobs))
        pairs = [(_check(chosen.folder, cache), _ruff(chosen.folder)) for _ in range(chosen.repeat)]
    warm, ruff = (min(times) for times in zip(*pairs, strict=True))
    print(f"  cold, one process    {one:8.2f} s")
    print(
        f"  cold, {chosen.jobs} processes    {several:8.2f} s   {one / several:.2f} times, {SCALING_LIMIT} asked"
    )
    print(f"  warm                 {warm:8.2f} s   at most {WARM_LIMIT} s asked")
    print(f"  ruff check, no cache {ruff:8.2f} s")


def _check(folder: Path, cache: str, *options: str) -> float:
    command = [sys.executable, "-m", "vramlint", "check", ".", "--fail-on", "never", *options]
    return _seconds(command, folder, os.environ | {"XDG_CACHE_HOME": cache})


def _ruff(folder: Path) -> float:
    ruff = shutil.which("ruff", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    return _seconds(
        [ruff or "ruff", "check", "--isolated", "--no-cache", "--exit-zero", "."], folder, os.environ
    )


def _seconds(command: list[str], folder: Path, environment: Mapping[str, str]) -> float:
    began = perf_counter()
    subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)
    return perf_counter() - began


if __name__ == "__main__":
    main()
