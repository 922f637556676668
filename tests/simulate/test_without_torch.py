"""What the simulator says before it needs torch: what is missing, what it does not run, and its chart."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import pytest

from vramlint.plan.document import Plan
from vramlint.simulate.chart import html, write_chart
from vramlint.simulate.errors import CannotSimulate, MissingPackage
from vramlint.simulate.limits import fallbacks, refuse
from vramlint.simulate.result import Phase, Simulation, Tensors

if TYPE_CHECKING:
    from pathlib import Path

WITHOUT_TORCH = """
import importlib.util as util, sys
found = util.find_spec
util.find_spec = lambda name, *package: None if name == "torch" else found(name, *package)
from vramlint.cli import main
sys.exit(main(sys.argv[1:]))
"""
LLAMA: dict[str, Any] = {"model": {"id": "meta-llama/Llama-2-7b-hf"}, "micro_batch_size": 1}


def plan(**settings: Any) -> Plan:
    """Return a plan of Llama 2 7B."""
    return Plan.model_validate(LLAMA | settings)


def simulation() -> Simulation:
    """Return a made-up simulation of two phases."""
    curve = (("load", 0, 10_000_000), ("forward", 1, 30_000_000), ("forward", 1, 20_000_000))
    phases = {
        "load": Phase(10_000_000, 10_000_000, 0, {"weights": 10_000_000}, 0),
        "forward": Phase(30_000_000, 20_000_000, 1, {"weights": 10_000_000, "activations": 20_000_000}, 1),
    }
    tensors = (
        Tensors("activations", 2, 20_000_000, (10, 5), "float32", "aten.mm", "site-packages/a<b>.py:3"),
    )
    return Simulation(
        30_000_000, "forward", 1, phases, tensors, curve, 5, 5, 3, 0.1, "cuda", {"torch": "2.13.0"}, ()
    )


def test_without_torch_one_line_names_the_extra(tmp_path: Path) -> None:
    """Where torch is missing, the exit status is 2 and the line says what to install."""
    path = tmp_path / "plan.json"
    path.write_text('{"model": {"id": "gpt2"}}')
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, "simulate", str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert 2 == done.returncode
    assert 1 == done.stderr.count("\n")
    assert "torch is not installed; `pip install 'vramlint[simulate]'` brings it" in done.stderr


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"quantization": "nf4"}, "nf4"),
        ({"sharding": {"kind": "zero3", "world_size": 8}}, "zero3 on 8 GPUs"),
        ({"mode": "inference"}, "inference"),
        ({"framework": "megatron"}, "megatron"),
        ({"extra_models": [{"role": "reference"}]}, "reference"),
        ({"fp8": "delayed"}, "fp8"),
    ],
)
def test_a_refusal_names_the_feature(settings: dict[str, Any], named: str) -> None:
    """What needs a real GPU, several of them, or another's code is refused by name."""
    with pytest.raises(CannotSimulate, match=named):
        refuse(plan(**settings))


def test_an_ordinary_plan_is_not_refused() -> None:
    """LoRA, checkpointing and autocast on one GPU run as they are, without a note."""
    usual = plan(lora={"r": 8}, gradient_checkpointing=True, mixed_precision="bf16")
    refuse(usual)
    assert (usual, ()) == fallbacks(usual)


def test_what_needs_a_compiler_runs_otherwise_and_says_so() -> None:
    """A compiled model runs uncompiled, and a Triton loss as the model's own, each with its difference."""
    changed, notes = fallbacks(plan(compile=True, loss="liger"))
    assert (False, "default") == (changed.compile, changed.loss)
    assert ["uncompiled" in notes[0], "logits" in notes[1]] == [True, True]


def test_the_chart_stands_alone() -> None:
    """The page has its picture inside, asks for nothing from elsewhere, and escapes the names of files."""
    page = html(simulation(), "train.py")
    assert 1 == page.count("<svg")
    assert "http" not in page.replace("http://www.w3.org", "")
    assert "<script" not in page
    assert "a&lt;b&gt;.py:3" in page
    assert 2 == page.count("<polygon")


def test_a_chart_in_another_form_is_refused(tmp_path: Path) -> None:
    """Only .html and .png are written."""
    with pytest.raises(CannotSimulate, match=r"\.html or \.png"):
        write_chart(simulation(), "train.py", str(tmp_path / "t.gif"))


@pytest.mark.skipif(find_spec("matplotlib") is not None, reason="matplotlib is installed")
def test_png_without_matplotlib_is_refused(tmp_path: Path) -> None:
    """The message says which package is missing, and that .html needs none."""
    with pytest.raises(MissingPackage, match=r"matplotlib.*\.html"):
        write_chart(simulation(), "train.py", str(tmp_path / "t.png"))
