"""Print what a check costs beside its own imports and beside a parse: `python -m benchmarks.speed`.

The limits are shown and never asserted: a shared machine decides on the seconds, so only ratios of
the best of several interleaved runs mean anything.
"""

from __future__ import annotations

import argparse
import compileall
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import TYPE_CHECKING

import libcst

import vramlint
from vramlint.pipeline import analyze
from vramlint.source.read import document

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SCRIPT = Path(__file__).parent.parent / "data" / "finetune.py"
PROCESS_LIMIT, ANALYSIS_LIMIT = 1.6, 2.5


def main() -> None:
    """Time both pairs and print their ratios."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed", description=__doc__)
    parser.add_argument("--repeat", type=int, default=15, metavar="N", help="runs of each, best counts")
    repeat = parser.parse_args().repeat
    text = SCRIPT.read_text(encoding="utf-8")
    print(f"{SCRIPT.name}: {len(text.splitlines())} lines, best of {repeat}, interleaved")

    _refuse_to_time_a_failure()

    # As pip does when it installs: libcst and pydantic have their bytecode too.
    compileall.compile_dir(Path(vramlint.__file__).parent, quiet=1)
    imports = [sys.executable, "-c", "import libcst, pydantic"]
    with TemporaryDirectory() as empty:
        alone = Path(shutil.copy(SCRIPT, empty))
        process, inside, process_base = best(
            repeat,
            lambda: _process(_check(alone)),
            lambda: _process(_check(SCRIPT)),
            lambda: _process(imports),
        )
    _print("whole process `vramlint check`", process, "import libcst, pydantic", process_base, PROCESS_LIMIT)
    ratio = inside / process_base
    print(
        f"  the same inside this project, whose files are read too: {1000 * inside:.0f} ms, ratio {ratio:.2f}"
    )

    # Each round sees a text of its own, so that no cache of a whole file answers.
    texts, same_texts = (iter([f"{text}# {number}\n" for number in range(repeat)]) for _ in range(2))
    analysis, parse = best(
        repeat, lambda: _analyze(next(texts)), lambda: libcst.parse_module(next(same_texts))
    )
    _print("analysis in process", analysis, "libcst.parse_module", parse, ANALYSIS_LIMIT)


def best(repeat: int, *calls: Callable[[], object]) -> tuple[float, ...]:
    """Return each call's shortest time in seconds; they take turns, so that a busy moment hits them all."""
    rounds = [[_seconds(call) for call in calls] for _ in range(repeat)]
    return tuple(min(times) for times in zip(*rounds, strict=True))


def _seconds(call: Callable[[], object]) -> float:
    began = perf_counter()
    call()
    return perf_counter() - began


def _analyze(text: str) -> None:
    read, issues = document(SCRIPT.name, text)
    analyze(read, issues=issues)


def _refuse_to_time_a_failure() -> None:
    read, issues = document(SCRIPT.name, SCRIPT.read_text(encoding="utf-8"))
    report = analyze(read, issues=issues)
    if not any(judged.estimate for judged in report.runs):
        sys.exit(f"{SCRIPT.name} has no estimate, so its time means nothing")


def _check(script: Path) -> list[str]:
    return [sys.executable, "-m", "vramlint", "check", str(script), "--gpu", "24GB", "--fail-on", "never"]


def _process(command: Sequence[str]) -> None:
    subprocess.run(command, check=True, capture_output=True, stdin=subprocess.DEVNULL)


def _print(name: str, seconds: float, base_name: str, base: float, limit: float) -> None:
    print(
        f"  {name}: {1000 * seconds:.0f} ms, {base_name}: {1000 * base:.0f} ms, "
        f"ratio {seconds / base:.2f} (limit {limit})"
    )


if __name__ == "__main__":
    main()
