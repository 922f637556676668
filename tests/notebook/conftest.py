"""A shell of IPython with the magics loaded, as in a notebook."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CODE = """\
from transformers import AutoModelForCausalLM, Trainer, TrainingArguments
args = TrainingArguments("out", per_device_train_batch_size=4, optim="adamw_torch")
# vramlint: set sequence_length=512
"""
TRAINING = """\
trainer = Trainer(model=AutoModelForCausalLM.from_pretrained("meta-llama/Llama-2-7b-hf"), args=args)
trainer.train()
"""


class Notebook:
    """A shell, of which nothing is executed that would need transformers: history alone is what the magics read."""

    def __init__(self, shell: Any) -> None:
        self.shell = shell

    def run(self, code: str) -> Any:
        """Execute a cell and return its value."""
        done = self.shell.run_cell(code, store_history=True)
        done.raise_error()
        return done.result

    def pretend(self, code: str) -> None:
        """Put a cell into the history without executing it."""
        self.shell.history_manager.store_inputs(self.shell.execution_count, code, code)
        self.shell.execution_count += 1


@pytest.fixture
def notebook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Notebook]:
    """A new shell in an empty folder, without options of this machine's owner."""
    shells = pytest.importorskip("IPython.core.interactiveshell", reason="IPython is not installed")
    for name in ("IPYTHONDIR", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.delenv("VRAMLINT_GPU", raising=False)
    monkeypatch.chdir(tmp_path)
    config = pytest.importorskip("traitlets.config").Config({"HistoryManager": {"enabled": False}})
    shell = shells.InteractiveShell(config=config)
    shell.history_manager.reset()
    made = Notebook(shell)
    made.run("%load_ext vramlint")
    yield made
    shell.restore_sys_module_state()
    shells.InteractiveShell.clear_instance()
