"""Check every script and notebook below some directories: `python -m benchmarks.robustness TREES…`.

Each directory below TREES is taken for a repository. What is printed: how many files there are, which of them met an
error of ours, the slowest, how long a file takes that trains nothing, and with `--findings` what the rules said.
"""

from __future__ import annotations

import argparse
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import process_time
from typing import TYPE_CHECKING

from vramlint.pipeline import analyze
from vramlint.source.filesystem import FileSystem, load

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vramlint.report import FileReport

_SUFFIXES = {".py", ".ipynb"}
_SLOW = 2.0  # seconds
_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Checked:
    """One file: its path, the processor seconds it took, and what came out."""

    path: str
    seconds: float
    report: FileReport

    @property
    def crashed(self) -> bool:
        """Return whether an error of ours ended the analysis."""
        return any(finding.rule == "internal-error" for finding in self.report.findings)


def main() -> None:
    """Check all files and print the summary; exit 1 where a file crashed or was slow."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.robustness")
    parser.add_argument("trees", type=Path, nargs="+", help="directories of repositories")
    parser.add_argument("--findings", action="store_true", help="print each finding of a rule about runs")
    options = parser.parse_args()
    found: list[Checked] = []
    for tree in options.trees:
        for repository in sorted(path for path in tree.resolve().iterdir() if path.is_dir()):
            for one in _checked(repository):
                found.append(one)
                if options.findings:
                    _print_findings(repository.name, one)
    _summary(found)
    raise SystemExit(any(one.crashed or one.seconds > _SLOW for one in found))


def _checked(repository: Path) -> Iterator[Checked]:
    os.chdir(repository)
    paths = (path for path in sorted(repository.rglob("*")) if path.suffix in _SUFFIXES and path.is_file())
    for path in paths:
        relative = path.relative_to(repository).as_posix()
        begin = process_time()
        document, issues = load(relative)
        report = analyze(document, None, FileSystem(), issues)
        yield Checked(f"{repository.name}/{relative}", process_time() - begin, report)


def _print_findings(name: str, one: Checked) -> None:
    for finding in one.report.findings:
        if finding.run is not None:
            line = finding.span.start.line
            print(f"{name}/{finding.span.path}:{line} [{finding.rule}] {finding.message}", flush=True)


def _summary(found: list[Checked]) -> None:
    idle = [one.seconds for one in found if not one.report.runs]
    crashed = [one for one in found if one.crashed]
    slowest = sorted(found, key=lambda one: -one.seconds)[:_SHOWN]
    rules = Counter(finding.rule for one in found for finding in one.report.findings)
    runs = sum(len(one.report.runs) for one in found)
    figures = sum(subject.estimate is not None for one in found for subject in one.report.runs)
    print(f"{len(found)} files, {len(found) - len(idle)} of them train: {runs} runs, {figures} with a figure")
    print(
        f"{len(crashed)} met an error of ours; {sum(one.seconds > _SLOW for one in found)} took over {_SLOW} s"
    )
    if idle:
        print(f"a file that trains nothing takes {median(idle) * 1000:.1f} ms (median)")
    for one in crashed[:_SHOWN]:
        print(f"  error    {one.path}: {one.report.findings[-1].message}")
    for one in slowest:
        print(f"  {one.seconds:6.2f} s {one.path}")
    for rule, count in sorted(rules.items()):
        print(f"  {count:6} {rule}")


if __name__ == "__main__":
    main()
