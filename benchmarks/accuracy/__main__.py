"""Print how accurate the estimates are: `python -m benchmarks.accuracy`, `--help` for more."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from benchmarks.accuracy.compare import compare
from benchmarks.accuracy.gate import judge, read_limits, read_published_limits
from benchmarks.accuracy.page import Result, brief, full
from benchmarks.accuracy.random_plans import random_benchmark
from benchmarks.accuracy.rows import published_measurements, training_steps

if TYPE_CHECKING:
    from benchmarks.accuracy.compare import Outcome


def main() -> int:
    """Run the benchmark; return 1 if `--gate` was asked for and a limit is exceeded."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy")
    parser.add_argument("--gate", action="store_true", help="exit 1 when a limit of gate.toml is exceeded")
    parser.add_argument("--worst", type=int, default=10, metavar="N", help="list the N worst rows")
    parser.add_argument(
        "--random", type=int, metavar="N", help="compare with the simulator on N plans drawn anew (slow)"
    )
    parser.add_argument("--seed", type=int, help="draw the plans of an earlier run again")
    parser.add_argument("--python", default=sys.executable, help="a Python that has the extra `simulate`")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print every row and every error as JSON")
    form.add_argument("--brief", action="store_true", help="print the few lines that the README shows")
    options = parser.parse_args()

    if options.random is not None:
        return random_benchmark(options.random, options.seed, options.python, options.worst)
    steps = compare(training_steps())
    verdicts = [judge(limits, steps) for limits in read_limits()]
    published = compare(published_measurements())
    result = Result(steps, published, verdicts, tuple(read_published_limits().violations(published)))
    if options.json:
        print(json.dumps(_document(result), indent=1))
    else:
        print("\n".join(brief(result) if options.brief else full(result, options.worst)))
    return int(options.gate and not result.passed)


def _document(result: Result) -> dict[str, Any]:
    return {
        "training_steps": [_record(outcome) for outcome in result.steps],
        "published_measurements": [_record(outcome) for outcome in result.published],
        "gate": [asdict(verdict) for verdict in result.verdicts],
        "published_violations": list(result.published_violations),
    }


def _record(outcome: Outcome) -> dict[str, Any]:
    return {
        "id": outcome.row.id,
        "family": outcome.row.family,
        "split": outcome.row.split,
        "truth": outcome.row.truth,
        "more_than": outcome.row.more_than,
        "estimate": outcome.figures,
        "errors": {figure: outcome.error(figure) for figure in outcome.row.truth},
        "why_not": outcome.why_not,
    }


if __name__ == "__main__":
    sys.exit(main())
