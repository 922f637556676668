"""The example notebook in a real kernel: what the kernel holds is what the analyzer reads from the file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / "examples" / "live_notebook.ipynb"
PROBE = """
import json
[model], [optimizer] = report.live.models, report.live.optimizers
[run] = [run for file in report.document["files"] for run in file["runs"]]
print("PROBE" + json.dumps({
    "parameters": model.parameters, "weights": model.bytes, "states": dict(optimizer.states),
    "estimated": run["memory"], "recorded": repr(recorded),
}))
"""


@pytest.fixture(scope="module")
def seen() -> dict[str, Any]:
    """Run all cells of the example and one that looks at the results."""
    for name in ("torch", "nbclient", "ipykernel", "nbformat"):
        pytest.importorskip(name, reason=f"{name} is not installed")
    code = (
        "import nbformat, nbclient, sys\n"
        "notebook = nbformat.read(sys.argv[1], 4)\n"
        "notebook.cells.append(nbformat.v4.new_code_cell(sys.stdin.read()))\n"
        "nbclient.NotebookClient(notebook, timeout=120, kernel_name='python3').execute()\n"
        "print(nbformat.writes(notebook))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(NOTEBOOK)],
        input=PROBE,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert 0 == done.returncode, done.stderr
    executed: dict[str, Any] = json.loads(done.stdout)
    return executed


def _probe(seen: dict[str, Any]) -> dict[str, Any]:
    text = "".join(seen["cells"][-1]["outputs"][0]["text"])
    found: dict[str, Any] = json.loads(text.removeprefix("PROBE"))
    return found


def _check() -> dict[str, Any]:
    command = [
        sys.executable,
        "-m",
        "vramlint",
        "check",
        str(NOTEBOOK),
        *("--gpu", "RTX 4090"),
        "--format",
        "json",
        "--fail-on",
        "never",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    report: dict[str, Any] = json.loads(done.stdout)
    return report["files"][0]["runs"][0]["memory"]


def test_live_facts_are_the_static_ones(seen: dict[str, Any]) -> None:
    """Parameters, weights and states: counted by torch in the kernel, and read from the file without running it."""
    live, static = _probe(seen), _check()
    terms = {term["name"]: term["bytes"] for term in static["terms"]}
    assert live["parameters"] == static["parameters"]
    assert live["weights"] == terms["weights"]
    assert live["states"]["exp_avg"] == terms["exp_avg"]
    assert live["states"]["exp_avg_sq"] == terms["exp_avg_sq"]


def test_the_session_reads_as_the_file_does(seen: dict[str, Any]) -> None:
    """The history of the kernel gives the estimate that the saved notebook gives."""
    assert _check()["allocated"] == _probe(seen)["estimated"]["allocated"]


def test_the_output_is_html(seen: dict[str, Any]) -> None:
    """The notebook keeps HTML for browsers and text for everything else."""
    shown = [out["data"] for cell in seen["cells"] for out in cell.get("outputs", []) if "data" in out]
    assert "<svg" in "".join(shown[0]["text/html"])
    assert "Fits the RTX 4090" in "".join(shown[0]["text/plain"])


def test_without_a_gpu_nothing_is_recorded(seen: dict[str, Any]) -> None:
    """Where torch has no CUDA, `watch` says so instead of showing zeros."""
    if pytest.importorskip("torch").cuda.is_available():
        pytest.skip("this machine has a GPU")
    assert "there is no CUDA memory to record" in _probe(seen)["recorded"]
