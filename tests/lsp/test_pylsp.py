"""The plugin of python-lsp-server, which may be the one server that JupyterLab starts for Python."""

from __future__ import annotations

import importlib.util
import json
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from vramlint_lsp import jupyter
from vramlint_lsp.convert import path_of
from vramlint_lsp.guest import Documents

# As JupyterLab 4.6 with jupyterlab-lsp 5.3 sends it: cells apart by blank lines, magics as calls of the kernel.
TEXT = """\
get_ipython().run_line_magic("pip", " install transformers")


from transformers import AutoModelForCausalLM, Trainer, TrainingArguments
x = get_ipython().getoutput("nvidia-smi")


model = AutoModelForCausalLM.from_pretrained("meta-llama/Llama-2-7b-hf")


get_ipython().run_cell_magic("memit", "", \"\"\"
args = TrainingArguments("out", per_device_train_batch_size=4, optim="adamw_torch")
# vramlint: set sequence_length=512
Trainer(model=model, args=args, train_dataset=data).train()
\"\"\")
"""
TRAINING_LINE = 13


@pytest.fixture(autouse=True)
def _no_options_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Answer the same on a machine with options of its owner."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("VRAMLINT_GPU", raising=False)


@pytest.fixture
def uri(tmp_path: Path) -> str:
    """The name under which JupyterLab sends `train.ipynb` of a project with an RTX 4090."""
    (tmp_path / "pyproject.toml").write_text('[tool.vramlint]\ngpu = "RTX 4090"\n', encoding="utf-8")
    return (tmp_path / ".virtual_documents" / "train.ipynb").as_uri()


def _documents() -> Documents:
    return Documents(pytest.fail)


def test_findings_stand_in_the_text_with_their_figures(uri: str) -> None:
    """The verdict is at the training call inside a cell magic, for the GPU of the project's own folder."""
    found = _documents().diagnostics(uri, TEXT, {})
    worst = next(one for one in found if one["code"] == "out-of-memory")
    assert 1 == worst["severity"]
    assert "RTX 4090" in worst["message"]
    assert " GB" in worst["message"]
    json.dumps(found)  # plain tables: another server writes them


def test_hover_has_the_whole_run(uri: str) -> None:
    """Where an editor has no lenses, the card at the training call says everything."""
    told = _documents().hover(uri, TEXT, {"line": TRAINING_LINE, "character": 55}, {})
    assert told is not None
    assert "allocated" in told["contents"]["value"]
    assert None is _documents().hover(uri, TEXT, {"line": 1, "character": 0}, {})


def test_options_of_the_other_server(uri: str) -> None:
    """`pylsp.plugins.vramlint.gpu` counts before the project's, and changes with the next look."""
    documents = _documents()
    assert "RTX 4090" in str(documents.diagnostics(uri, TEXT, {"enabled": True}))
    told = str(documents.diagnostics(uri, TEXT, {"gpu": "RTX 3060"}))
    assert "RTX 3060" in told
    assert "RTX 4090" not in told


def test_an_edit_renews_the_findings(uri: str) -> None:
    """The answer belongs to the text that was asked about."""
    documents = _documents()
    assert documents.diagnostics(uri, TEXT, {})
    assert [] == documents.diagnostics(uri, "print('nothing to train')\n", {})


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("file:///home/ada/.virtual_documents/runs/train.ipynb", "/home/ada/runs/train.ipynb"),
        ("file:///home/ada/train.ipynb", "/home/ada/train.ipynb"),
        ("untitled:Untitled-1", "untitled:Untitled-1"),
    ],
)
def test_the_path_is_the_one_that_a_person_sees(uri: str, path: str) -> None:
    """What a script reads beside itself lies in the real folder, not in JupyterLab's mirror."""
    assert path == path_of(uri)


def test_the_options_are_described() -> None:
    """JupyterLab's settings editor is told the options, without defaults that nobody said."""
    specification = jupyter.spec(None)["vramlint"]
    assert 2 == specification["version"]
    assert "vramlint.gpu" in specification["config_schema"]["properties"]


def test_nothing_without_pygls(monkeypatch: pytest.MonkeyPatch) -> None:
    """The entry points load where the extra is not installed, and then offer nothing."""
    monkeypatch.setattr(jupyter, "find_spec", lambda _: None)
    assert {} == jupyter.spec(None)


def test_the_plugin_of_pylsp(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hooks that python-lsp-server calls answer as above, and with nothing where pygls is missing."""
    pytest.importorskip("pylsp", reason="python-lsp-server is not installed")
    plugin = EntryPoint("vramlint", "vramlint_lsp.pylsp_plugin", "pylsp").load()
    document, config = _Document(uri, TEXT), _Config()
    assert "out-of-memory" in str(plugin.pylsp_lint(config=config, document=document))
    place = {"line": TRAINING_LINE, "character": 55}
    assert "allocated" in str(plugin.pylsp_hover(config=config, document=document, position=place))
    plugin._documents.cache_clear()
    monkeypatch.setattr(plugin, "find_spec", lambda _: None)
    assert [] == plugin.pylsp_lint(config=config, document=document)
    plugin._documents.cache_clear()


def test_loading_needs_no_pygls() -> None:
    """What an entry point names imports neither pygls nor the analyzer."""
    for name in ("vramlint_lsp.jupyter", "vramlint_lsp.pylsp_plugin"):
        specification = importlib.util.find_spec(name)
        assert specification is not None
        assert specification.origin is not None
        source = Path(specification.origin).read_text(encoding="utf-8")
        imports = [line for line in source.splitlines() if line.startswith(("import ", "from "))]
        assert not [line for line in imports if "pygls" in line or "lsprotocol" in line or "vramlint" in line]


class _Config:
    def plugin_settings(self, _: str, document_path: str) -> dict[str, Any]:
        assert document_path
        return {"enabled": True}


class _Document:
    def __init__(self, uri: str, source: str) -> None:
        self.uri, self.source, self.path = uri, source, path_of(uri)
