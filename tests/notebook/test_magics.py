"""`%vramlint` and `%%vramlint`: what was executed is what counts, in the order of execution."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING

import pytest
from tests.notebook.conftest import CODE, TRAINING, Notebook

if TYPE_CHECKING:
    from pathlib import Path


def test_the_session_so_far(notebook: Notebook) -> None:
    """The report is of the executed cells, by their numbers, for the GPU that is named."""
    notebook.pretend(CODE)
    notebook.pretend(TRAINING)
    result = notebook.run('%vramlint --gpu "RTX 4090"')
    assert "Does not fit the RTX 4090" in repr(result)
    assert "In cell 3:2" in repr(result)
    assert [3] == [run["cell"] for run in result.document["files"][0]["runs"]]


def test_the_order_of_execution_counts(notebook: Notebook) -> None:
    """The value that was set last is the one that holds, wherever its cell stands in the notebook."""
    notebook.pretend(CODE)
    notebook.pretend(CODE.replace("size=4", "size=8"))
    notebook.pretend(TRAINING)
    (run,) = notebook.run("%vramlint").document["files"][0]["runs"]
    assert 8 == run["settings"]["micro_batch_size"]["value"]


def test_a_cell_that_was_executed_again_counts_once(notebook: Notebook) -> None:
    """The run of the first execution is over."""
    notebook.pretend(CODE)
    notebook.pretend(TRAINING)
    notebook.pretend(TRAINING)
    result = notebook.run("%vramlint")
    assert [4] == [run["cell"] for run in result.document["files"][0]["runs"]]
    assert all(finding["run"] in {0, None} for finding in result.document["files"][0]["findings"])


def test_a_corrected_cell_counts_once(notebook: Notebook) -> None:
    """Where the front end names its cells, the text of one may have changed between its executions."""
    for text in (CODE, TRAINING.replace("train()", "train("), TRAINING):
        cell = "a" if text == CODE else "b"
        notebook.shell.events.trigger("pre_run_cell", type("Info", (), {"cell_id": cell})())
        notebook.pretend(text)
    file = notebook.run("%vramlint").document["files"][0]
    assert [4] == [run["cell"] for run in file["runs"]]
    assert "syntax-error" not in [finding["rule"] for finding in file["findings"]]


def test_a_cell_before_it_runs(notebook: Notebook) -> None:
    """Nothing of the cell is executed, and it alone is reported on."""
    notebook.pretend(CODE)
    result = notebook.run(f"%%vramlint --gpu 24GB\n{TRAINING}boom = 1 / 0\n")
    (run,) = result.document["files"][0]["runs"]
    assert (3, 3) == (run["cell"], run["line"])
    assert "no" == run["gpu"]["fits"]
    assert "trainer" not in notebook.shell.user_ns


def test_what_stands_below_the_magic_has_not_run(notebook: Notebook) -> None:
    """A cell counts up to its `%vramlint`."""
    below = textwrap.indent(CODE + TRAINING, "    ")
    result = notebook.run(f"answer = %vramlint\nif 0:\n{below}\nanswer")
    assert "trains and generates nothing" in repr(result)
    assert "trains and generates nothing" in result._repr_html_()


def test_html_has_no_scripts_and_escapes(notebook: Notebook) -> None:
    """Bars, a chart, findings with savings; what comes from the code is text."""
    notebook.pretend(CODE)
    notebook.pretend(TRAINING.replace("trainer.train()", "# <script>alert(1)</script>\ntrainer.train()"))
    html = notebook.run("%vramlint --gpu 4090")._repr_html_()
    assert "<script" not in html
    assert "<svg" in html
    assert "polygon" in html
    assert "saves" in html
    assert "prefers-color-scheme:dark" in html


def test_the_project_is_heard(notebook: Notebook, tmp_path: Path) -> None:
    """`[tool.vramlint]` of the folder that the kernel runs in names the GPU."""
    (tmp_path / "pyproject.toml").write_text('[tool.vramlint]\ngpu = "A100 80GB"\n', encoding="utf-8")
    notebook.pretend(CODE)
    notebook.pretend(TRAINING)
    assert "A100 80GB" in repr(notebook.run("%vramlint"))
    assert "H200" in repr(notebook.run("%vramlint --gpu H200"))


def test_a_wrong_option_is_one_line(notebook: Notebook) -> None:
    """The message names the nearest option, without a traceback through the tool."""
    error = pytest.importorskip("IPython.core.error").UsageError
    with pytest.raises(error, match=r"unknown option '--gpuu'; did you mean '--gpu'\?"):
        notebook.run("%vramlint --gpuu 24GB")
    with pytest.raises(error, match="4091"):
        notebook.run("%vramlint --gpu 4091")


def test_importing_the_package_stays_free() -> None:
    """The extension costs nothing where nobody loads it."""
    code = (
        "import sys, vramlint, json; print(json.dumps([m for m in sys.modules if m.startswith('vramlint')]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ["vramlint"] == json.loads(done.stdout)
