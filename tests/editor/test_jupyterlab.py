"""JupyterLab in Chromium: findings and hover in cells, by our server and by python-lsp-server's plugin, and the magic.

`.ci/jupyter` installs it; screenshots are kept in `build/screenshots`.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
EDITORS = ROOT / ".editors"
JUPYTER = EDITORS / "jupyter" / "bin" / "jupyter-lab"
DRIVER = EDITORS / "driver"
DRIVE = Path(__file__).parent / "jupyter" / "drive.mjs"
SCREENSHOTS = ROOT / "build" / "screenshots"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
SECONDS = 240

pytestmark = [
    pytest.mark.skipif(not JUPYTER.is_file(), reason="no JupyterLab in .editors (see .ci/jupyter)"),
    pytest.mark.skipif(
        not (DRIVER / "node_modules" / "playwright-core").is_dir(), reason="no driver in .editors"
    ),
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
    pytest.mark.skipif(shutil.which("node") is None, reason="Node is not installed"),
]

TRAINING = """\
from transformers import AutoModelForCausalLM, Trainer, TrainingArguments
model = AutoModelForCausalLM.from_pretrained("meta-llama/Llama-2-7b-hf")
args = TrainingArguments("out", per_device_train_batch_size=4, optim="adamw_torch")
# vramlint: set sequence_length=512
"""
TRAIN = "Trainer(model=model, args=args, train_dataset=data).train()"
# jupyter-lsp leaves out a server without a command.
NO_PYLSP = {"pylsp": {"version": 2, "argv": [], "languages": ["python"], "mime_types": ["text/x-python"]}}


@dataclass(frozen=True, slots=True)
class Lab:
    """A running JupyterLab; `name` is in the names of its screenshots."""

    port: int
    name: str
    environment: dict[str, str]

    def drive(self, mode: str) -> dict[str, Any]:
        """Do what `drive.mjs` does in that mode, and return what it saw."""
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(
            ["node", str(DRIVE), f"http://127.0.0.1:{self.port}", mode, self.name, str(SCREENSHOTS)],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert 0 == done.returncode, done.stderr
        seen: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return seen

    def servers(self) -> dict[str, str]:
        """Return which language servers run."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/lsp/status", timeout=10) as answer:
            sessions = json.load(answer)["sessions"]
        return {name: one["status"] for name, one in sessions.items() if name in {"vramlint", "pylsp"}}


def _notebook(path: Path, *cells: str) -> None:
    made = [
        {
            "cell_type": "code",
            "id": f"c{at}",
            "metadata": {},
            "execution_count": None,
            "outputs": [],
            "source": text,
        }
        for at, text in enumerate(cells)
    ]
    kernel = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    path.write_text(json.dumps({"cells": made, "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}))


def _prepared(home: Path, theme: str, servers: dict[str, Any]) -> dict[str, str]:
    """Write a project and JupyterLab's settings, and return the environment that it runs in."""
    project = home / "project"
    project.mkdir()
    (project / "pyproject.toml").write_text('[tool.vramlint]\ngpu = "RTX 4090"\n')
    _notebook(project / "train.ipynb", "%pip list\n!nvidia-smi", TRAINING, TRAIN)
    _notebook(project / "magic.ipynb", "%load_ext vramlint", f"%%vramlint\n{TRAINING}{TRAIN}", "model")
    settings = {
        "@jupyterlab/lsp-extension/plugin": {"activate": "on"},
        "@jupyterlab/apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
        "@jupyterlab/apputils-extension/themes": {"theme": theme},
    }
    for name, values in settings.items():
        file = home / "settings" / f"{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(values))
    (home / "config").mkdir()
    server = {"LanguageServerManager": {"language_servers": servers}}
    (home / "config" / "jupyter_server_config.json").write_text(json.dumps(server))
    places = {
        "HOME": home, "JUPYTER_CONFIG_DIR": home / "config", "JUPYTER_DATA_DIR": home / "data",
        "JUPYTER_RUNTIME_DIR": home / "runtime", "IPYTHONDIR": home / "ipython", "XDG_CONFIG_HOME": home / "xdg",
        "JUPYTERLAB_SETTINGS_DIR": home / "settings", "VRAMLINT_DRIVER": DRIVER, "CHROMIUM": CHROMIUM or "",
    }  # fmt: skip
    # JupyterLab's own environment has what it needs; that of the tests must not reach its kernels.
    inherited = {
        name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "VRAMLINT_GPU"}
    }
    return inherited | {name: str(place) for name, place in places.items()}


def _served(home: Path, name: str, theme: str, servers: dict[str, Any]) -> Iterator[Lab]:
    environment = _prepared(home, theme, servers)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        *(str(JUPYTER), "--allow-root", "--no-browser", "--ip=127.0.0.1", f"--port={port}"),
        *("--IdentityProvider.token=", "--ServerApp.password=", f"--ServerApp.root_dir={home / 'project'}"),
        *("--LabApp.news_url=", "--LabApp.extension_manager=readonly"),
    ]
    with (home / "jupyter.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        _wait(port)
        yield Lab(port, name, environment)
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=30)


def _wait(port: int) -> None:
    for _ in range(600):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/status", timeout=1):
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.1)
    pytest.fail("JupyterLab did not start")


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A JupyterLab in which our server is the one for Python."""
    yield from _served(tmp_path_factory.mktemp("own"), "server", "JupyterLab Light", NO_PYLSP)


@pytest.fixture(scope="module")
def beside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A JupyterLab that starts python-lsp-server, which calls our plugin; its theme is dark."""
    yield from _served(tmp_path_factory.mktemp("beside"), "plugin", "JupyterLab Dark", {})


def test_cells_by_our_server(own: Lab) -> None:
    """The server is found by itself; the error stands at the training call, with the figures in its text."""
    seen = own.drive("cells")
    assert "stopped" == own.servers()["vramlint"]  # it ran until the page was closed
    assert ".train()" in seen["text"]
    assert "RTX 4090" in seen["diagnostic"]
    assert " GB" in seen["diagnostic"]
    assert "allocated" in seen["hover"]


def test_cells_by_the_plugin(beside: Lab) -> None:
    """JupyterLab starts one server for each language: the same shows through python-lsp-server."""
    seen = beside.drive("cells")
    assert {"pylsp": "stopped", "vramlint": "not_started"} == beside.servers()
    assert "RTX 4090" in seen["diagnostic"]
    assert "allocated" in seen["hover"]


@pytest.mark.parametrize("theme", ["own", "beside"])
def test_the_magic(theme: str, request: pytest.FixtureRequest) -> None:
    """`%%vramlint` shows verdict and chart in the theme's colours, and nothing of its cell has run."""
    seen = request.getfixturevalue(theme).drive("magic")
    assert "Does not fit the RTX 4090" in seen["output"]
    assert seen["polygons"] >= 4
    text, background = (sum(map(int, color.strip("rgba()").split(",")[:3])) for color in seen["colors"])
    assert (text > background) == (theme == "beside")
    assert any("NameError" in one for one in seen["error"])
