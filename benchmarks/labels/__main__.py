"""Print how well labelled files are read: `python -m benchmarks.labels TREES`.

TREES holds one directory `owner+name` for each repository of `benchmarks/data/labels.jsonl` and `labels_more.jsonl`,
checked out at the commit that its labels name; what is not there is left out.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
from collections import Counter
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from benchmarks.labels.compare import verdict
from benchmarks.labels.rows import rows
from vramlint.pipeline import analyze
from vramlint.source.filesystem import FileSystem, load

if TYPE_CHECKING:
    from benchmarks.labels.compare import Verdict
    from benchmarks.labels.rows import Label, Row
    from vramlint.report import FileReport

_IGNORED = "not_applicable"
_VERDICTS: tuple[Verdict, ...] = ("right", "unknown", "wrong")


def main() -> None:
    """Read every file and print the score, by how a fact is determined, by its scope and by its name."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.labels")
    parser.add_argument("trees", type=Path, help="the directory of the repositories")
    parser.add_argument("--facts", action="store_true", help="list each fact that is not right")
    parser.add_argument("--preflight", metavar="COMMAND", help="torch-preflight, to count its figures too")
    options = parser.parse_args()
    found = [row for row in rows() if row.file(options.trees).is_file()]
    print(f"{len(found)} of {len(rows())} labelled files are there.")
    judged: list[tuple[Row, Label, Verdict]] = []
    estimated, slowest = 0, (0.0, "")
    for row in found:
        begin = perf_counter()
        report = _report(options.trees, row)
        slowest = max(slowest, (perf_counter() - begin, row.id))
        estimated += any(subject.estimate is not None for subject in report.runs)
        runs = [subject.run for subject in report.runs]
        judged += [(row, label, verdict(label, runs)) for label in row.labels if label.how != _IGNORED]
        if options.facts:
            _list(row, judged, report)
    for title, key in (("how", "how"), ("scope", "scope"), ("fact", "name")):
        _table(title, [(getattr(label, key), one) for _, label, one in judged])
    _table("", [("all", one) for _, _, one in judged])
    print(
        f"\nA memory figure for {estimated} of {len(found)} files; slowest {slowest[0]:.2f} s: {slowest[1]}"
    )
    if options.preflight:
        count = sum(_preflight(options.preflight, row.file(options.trees)) for row in found)
        print(f"torch-preflight gives one for {count} of them")


def _preflight(command: str, path: Path) -> bool:
    """Say whether the peer resolves a file's model; without that it prints the bare CUDA context."""
    done = subprocess.run(
        [command, "estimate", str(path), "-f", "json"], capture_output=True, text=True, check=False
    )
    try:
        return bool(json.loads(done.stdout).get("resolved"))
    except json.JSONDecodeError:
        return False


def _report(trees: Path, row: Row) -> FileReport:
    os.chdir(trees / row.repository.replace("/", "+"))
    document, issues = load(row.path)
    return analyze(document, None, FileSystem(), issues)


def _list(row: Row, judged: list[tuple[Row, Label, Verdict]], report: FileReport) -> None:
    for one, label, result in judged:
        if one is not row or result == "right":
            continue
        values = [str(subject.run.settings.get(label.name))[:150] for subject in report.runs[:2]]
        print(f"{result:8}{label.how:18}{row.id}  {label.name}: {label.value!r}, launches {label.launched}")
        print(f"         {values}")


def _table(title: str, verdicts: list[tuple[str, Verdict]]) -> None:
    counts = Counter(verdicts)
    if title:
        print(f"\n{title:32}{'right':>8}{'unknown':>9}{'wrong':>7}")
    for name in sorted({name for name, _ in verdicts}):
        each = [counts[name, one] for one in _VERDICTS]
        total = sum(each)
        print(
            f"{name:32}{each[0]:8}{each[1]:9}{each[2]:7}   {each[0] / total:4.0%} right, {each[2] / total:.0%} wrong"
        )


if __name__ == "__main__":
    main()
