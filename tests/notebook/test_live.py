"""Live facts: what the kernel holds is looked at, and takes the place of guesses."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest

from vramlint.notebook.live import Live, LiveGpu, LiveModel, look
from vramlint.notebook.measured import others

if TYPE_CHECKING:
    from tests.notebook.conftest import Notebook

MODEL = """\
import torch
from torch import nn

class Tiny(nn.Module):
    def __init__(self, width=256):
        super().__init__()
        self.up = nn.Linear(width, 1024)
        self.down = nn.Linear(1024, width)

    def forward(self, x):
        return self.down(torch.relu(self.up(x)))

batch_size = 32
model = Tiny()
optimizer = torch.optim.AdamW(model.parameters())
"""
LOOP = """\
for step in range(3):
    inputs = torch.randn(batch_size, 256)
    loss = model(inputs).pow(2).mean()
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
"""
PARAMETERS = 2 * 256 * 1024 + 1024 + 256
GIGA = 10**9


@pytest.fixture
def torch() -> Any:
    """torch, where it is installed."""
    return pytest.importorskip("torch", reason="torch is not installed")


def test_nothing_without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """A session that has not imported torch is not made to."""
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    assert Live() == look({"model": object()})
    assert "torch" not in sys.modules


def test_a_model_and_its_optimizer(torch: Any) -> None:
    """Counts, dtypes and states are those of the objects; parts, aliases and losses are no models of their own."""
    model = torch.nn.Sequential(torch.nn.Linear(256, 1024), torch.nn.Linear(1024, 256).half())
    model[0].weight.requires_grad = False
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    model[0].bias.sum().backward()
    optimizer.step()
    live = look(
        {
            "model": model,
            "same": model,
            "part": model[0],
            "loss": torch.nn.MSELoss(),
            "opt": optimizer,
            "x": 1,
        }
    )
    (found,) = live.models
    assert ("model", "torch.nn.modules.container.Sequential", PARAMETERS) == (
        found.name,
        found.kind,
        found.parameters,
    )
    assert PARAMETERS - 256 * 1024 == found.trainable
    assert {"float32": 256 * 1024 + 1024, "float16": 256 * 1024 + 256} == found.dtypes
    assert ("cpu",) == found.devices
    assert {"momentum_buffer": 4 * 1024} == live.optimizers[0].states
    assert live.gpu is None


def test_static_and_live_agree(notebook: Notebook, torch: Any) -> None:
    """The parameters and states that the analyzer counts are those that the kernel holds after a step."""
    assert torch is not None
    notebook.run(MODEL)
    notebook.run(LOOP)
    result = notebook.run("%vramlint")
    (run,) = result.document["files"][0]["runs"]
    assert PARAMETERS == run["memory"]["parameters"] == result.live.models[0].parameters
    terms = {term["name"]: term["bytes"] for term in run["memory"]["terms"]}
    states = result.live.optimizers[0].states
    assert terms["exp_avg"] == states["exp_avg"] == 4 * PARAMETERS
    assert terms["weights"] == result.live.models[0].bytes
    assert "as estimated" in repr(result)


def test_a_measured_dtype_takes_the_place_of_a_default(notebook: Notebook, torch: Any) -> None:
    """What no line says is taken from the object, and marked as measured."""
    assert torch is not None
    notebook.run("import torch\ntorch.set_default_dtype(torch.bfloat16)")
    notebook.run(MODEL + "torch.set_default_dtype(torch.float32)")
    notebook.pretend(LOOP)
    (run,) = notebook.run("%vramlint").document["files"][0]["runs"]
    assert "bfloat16" == run["settings"]["param_dtype"]["value"]
    assert "measured" == run["settings"]["param_dtype"]["origin"]["kind"]


def test_another_model_in_the_cell_to_come(notebook: Notebook, torch: Any) -> None:
    """The kernel's model says nothing about a cell that makes one of its own."""
    assert torch is not None
    notebook.run(MODEL)
    wider = MODEL.replace("1024", "2048")
    result = notebook.run(f"%%vramlint\n{wider}{LOOP}")
    (run,) = result.document["files"][0]["runs"]
    assert 2 * 256 * 2048 + 2048 + 256 == run["memory"]["parameters"]
    assert "measured" not in str(run["settings"])


def test_memory_of_others() -> None:
    """What is taken of a GPU, less what this kernel's allocator holds, is not there for the training."""
    gpu = LiveGpu("NVIDIA GeForce RTX 4090", 24 * GIGA, 10 * GIGA, 3 * GIGA, 4 * GIGA)
    assert 10 * GIGA == others(gpu, None)
    assert 0 == others(LiveGpu("", 24 * GIGA, 20 * GIGA, 3 * GIGA, 4 * GIGA), None)


def test_the_dtype_of_most_parameters() -> None:
    """A model in bfloat16 with norms in float32 is a bfloat16 model."""
    model = LiveModel("m", "x.M", 10, 10, 24, {"float32": 2, "bfloat16": 8}, ("cpu",))
    assert "bfloat16" == model.dtype
