"""Print errors and times of several estimators on the same rows: `python -m benchmarks.peers --peers DIR`.

DIR holds one environment for each peer, since they ask for versions that exclude each other; `make peers` makes them.
Rows are the training steps of decoders that all of them could say: causal language models of public
shapes in fp32, pure bf16 or bf16 autocast, whole or with LoRA.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.accuracy.rows import training_steps
from benchmarks.peers.estimators import Fitcheck, Folk, TorchPreflight, Vramlint, functions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.accuracy.rows import Row
    from benchmarks.peers.answer import Answer
    from benchmarks.peers.estimators import Estimator

# What the peers say of themselves that they estimate: dense decoders, and GPT-2 where they know the shape.
_TYPES = frozenset({"gpt2", "llama", "mistral", "qwen2", "qwen3", "phi3", "gemma"})


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers")
    parser.add_argument("--peers", type=Path, required=True, help="folder of the peers' environments")
    options = parser.parse_args()
    rows = [
        row for row in training_steps("training_steps.jsonl") if row.split == "model" and row.family in _TYPES
    ]
    with tempfile.TemporaryDirectory() as cache:
        estimators: list[Estimator] = [
            Vramlint(),
            TorchPreflight(options.peers),
            Fitcheck(options.peers, Path(cache)),
            *functions(options.peers),
            Folk(),
        ]
        answers = [[estimator.answer(row) for estimator in estimators] for row in rows]
    print("\n".join(_page(rows, estimators, answers)))
    return 0


def _page(
    rows: Sequence[Row], estimators: Sequence[Estimator], answers: Sequence[Sequence[Answer]]
) -> list[str]:
    lines = ["Allocated peak of training steps: measured, and the error of each estimate", ""]
    lines.append(f"{'':34}{'measured':>10}" + "".join(f"{one.name:>17}" for one in estimators))
    for row, line in zip(rows, answers, strict=True):
        measured = f"{row.truth['allocated'] / 1e9:7.1f} GB"
        lines.append(f"{row.id:34}{measured:>10}" + "".join(f"{_error(row, one):>17}" for one in line))
    columns = list(zip(*answers, strict=True))
    lines += ["", *_summary(rows, columns)]
    return lines


def _error(row: Row, answer: Answer) -> str:
    if answer.allocated is None:
        return "no figure"
    return f"{100 * (answer.allocated / row.truth['allocated'] - 1):+.1f} %"


def _summary(rows: Sequence[Row], columns: Sequence[Sequence[Answer]]) -> list[str]:
    errors = [
        [
            abs(one.allocated / row.truth["allocated"] - 1)
            for row, one in zip(rows, column, strict=True)
            if one.allocated
        ]
        for column in columns
    ]
    ours = statistics.median(one.seconds for one in columns[0])
    return [
        _line("figures given", [f"{len(column)} of {len(rows)}" for column in errors]),
        _line("median error", [f"{100 * statistics.median(column):.1f} %" for column in errors]),
        _line("largest error", [f"{100 * max(column):.1f} %" for column in errors]),
        _line(
            "within 10 %", [f"{sum(error <= 0.1 for error in column)} of {len(rows)}" for column in errors]
        ),
        _line("time of a process, against ours", [_ratio(column, ours) for column in columns]),
    ]


def _ratio(column: Sequence[Answer], ours: float) -> str:
    times = [one.seconds for one in column if one.seconds]
    return f"{statistics.median(times) / ours:.2f} ×" if times else "none"


def _line(name: str, cells: Sequence[str]) -> str:
    return f"{name:44}" + "".join(f"{cell:>17}" for cell in cells)


if __name__ == "__main__":
    sys.exit(main())
