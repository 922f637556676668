"""The extension in a real VS Code: checks inside the extension host, and what a person sees in Chromium.

`.ci/vscode` installs both; screenshots are kept in `build/screenshots`.
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
EXTENSION = ROOT / "extension"
HERE = Path(__file__).parent / "vscode"
SCREENSHOTS = ROOT / "build" / "screenshots"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
SECONDS = 300

pytestmark = [
    pytest.mark.skipif(not (EDITORS / "ready").is_file(), reason="no VS Code in .editors (see .ci/vscode)"),
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
    pytest.mark.skipif(
        not (EXTENSION / "dist" / "panel.js").is_file() or not (EXTENSION / "bundled" / "TARGET").is_file(),
        reason="the extension is not built (make extension)",
    ),
]

SETTINGS: dict[str, Any] = {
    "workbench.startupEditor": "none",
    "telemetry.telemetryLevel": "off",
    "extensions.autoUpdate": False,
    "extensions.autoCheckUpdates": False,
    "update.mode": "none",
    "chat.disableAIFeatures": True,
    "workbench.secondarySideBar.defaultVisibility": "hidden",
    "editor.minimap.enabled": False,
    "files.autoSave": "off",
    "files.hotExit": "off",
    "security.workspace.trust.enabled": False,
    "vramlint.gpu": "RTX 4090",
}


@dataclass(frozen=True, slots=True)
class Edition:
    """A release of VS Code: its folder in `.editors`, the Node that it wants, and flags that only it knows."""

    folder: str
    node: str
    flags: tuple[str, ...] = ()

    @property
    def command(self) -> list[str]:
        """Return what starts it."""
        entry = EDITORS / self.folder / "node_modules/code-server/out/node/entry.js"
        return [self.node, str(entry), *self.flags]


# 1.139, the newest, and 1.100, the oldest that the tests drive; engines.vscode asks for 1.91 at least.
NEWEST = Edition(
    "vscode",
    str(EDITORS / "bin" / "node"),
    ("--reconnection-grace-time", "2", "--vscode-option", "enable-smoke-test-driver"),
)
OLDEST = Edition("vscode-oldest", "node")


@dataclass(frozen=True, slots=True)
class Workbench:
    """A running VS Code and the folder it shows."""

    edition: Edition
    port: int
    folder: Path
    home: Path

    def drive(self, mode: str) -> dict[str, Any]:
        """Do what `drive.mjs` does in that mode, and return what it saw."""
        screenshots = SCREENSHOTS / self.edition.folder
        screenshots.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(
            [
                "node",
                str(HERE / "drive.mjs"),
                f"http://127.0.0.1:{self.port}",
                str(self.folder),
                mode,
                str(screenshots),
            ],
            env=_environment(self.home),
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        seen: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return seen


def _environment(home: Path) -> dict[str, str]:
    places = dict.fromkeys(("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME"), str(home / "xdg"))
    own = {
        "VRAMLINT_DRIVER": str(EDITORS / "driver"),
        "VRAMLINT_EXTENSION": str(EXTENSION),
        "VRAMLINT_RESULT": str(home / "result.txt"),
        "CHROMIUM": CHROMIUM or "",
    }
    # The server must be the bundled one, not what the tests run with.
    inherited = {
        name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "VIRTUAL_ENV"}
    }
    return inherited | places | own


def _start(
    edition: Edition, home: Path, settings: dict[str, Any]
) -> tuple[subprocess.Popen[bytes], Workbench]:
    folder = home / "project"
    folder.mkdir()
    examples = ROOT / "examples"
    shutil.copy(examples / "finetune_llama_trainer.py", folder / "train.py")
    shutil.copy(examples / "notebook.ipynb", folder / "notebook.ipynb")
    (folder / "other").mkdir()
    shutil.copy(examples / "finetune_llama_trainer.py", folder / "other" / "finetune.py")
    (folder / "plain.py").write_text("import torch\nprint(torch.__version__)\n", encoding="utf-8")
    user = home / "user" / "User"
    user.mkdir(parents=True)
    (user / "settings.json").write_text(json.dumps(settings), encoding="utf-8")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        *edition.command,
        *("--config", str(home / "config.yaml"), "--auth", "none", "--bind-addr", f"127.0.0.1:{port}"),
        *("--user-data-dir", str(home / "user"), "--extensions-dir", str(home / "extensions")),
        *("--disable-telemetry", "--disable-update-check", "--disable-getting-started-override"),
    ]
    environment = _environment(home)
    vsix = next(EXTENSION.glob("*.vsix"))
    subprocess.run(
        [*command, "--install-extension", str(vsix), "--force"],
        env=environment,
        check=True,
        capture_output=True,
    )
    with (home / "code-server.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, str(folder)], env=environment, stdout=log, stderr=log, start_new_session=True
        )
    return process, Workbench(edition, port, folder, home)


def _wait(port: int) -> None:
    for _ in range(300):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=1):
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.1)
    pytest.fail("VS Code did not start")


def _served(edition: Edition, home: Path, settings: dict[str, Any]) -> Iterator[Workbench]:
    process, workbench = _start(edition, home, settings)
    try:
        _wait(workbench.port)
        yield workbench
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=20)


@pytest.fixture(scope="module", params=[NEWEST, OLDEST], ids=["newest", "oldest"])
def trusting(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workbench]:
    """A VS Code that trusts its folder."""
    edition: Edition = request.param
    if not (EDITORS / edition.folder / "node_modules").is_dir():
        pytest.skip(f"no {edition.folder} in .editors (see .ci/vscode)")
    yield from _served(edition, tmp_path_factory.mktemp("trusting"), SETTINGS)


@pytest.fixture(scope="module")
def wary(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workbench]:
    """A VS Code that does not trust its folder, which names an interpreter of its own."""
    home = tmp_path_factory.mktemp("wary")
    wary = {
        **SETTINGS,
        "security.workspace.trust.enabled": True,
        "security.workspace.trust.startupPrompt": "never",
    }
    for workbench in _served(NEWEST, home, wary):
        folder = workbench.folder / ".vscode"
        folder.mkdir()
        marker = workbench.home / "was-run"
        evil = workbench.folder / "evil.sh"
        evil.write_text(f'#!/bin/sh\ntouch {marker}\nexec python3 "$@"\n', encoding="utf-8")
        evil.chmod(0o755)
        (folder / "settings.json").write_text(
            json.dumps({"vramlint.interpreter": [str(evil)]}), encoding="utf-8"
        )
        yield workbench


def test_inside_the_extension_host(trusting: Workbench) -> None:
    """Each check of `host.js` is fine, and there are as many as it has."""
    lines = trusting.drive("host")["lines"]
    assert [] == [line for line in lines if not line.startswith("ok ")]
    assert (HERE / "host.js").read_text(encoding="utf-8").count(": async () => {") == len(lines)


def test_what_a_person_sees(trusting: Workbench) -> None:
    """Lens, status, the panel with its chart and figures, what-if, a jump to the line, the choice of the GPU."""
    seen = trusting.drive("look")
    assert seen["lens"].startswith("peak 106.2 GB in the backward pass · exceeds RTX 4090")
    assert "108.9 GB · RTX 4090" in seen["status"]
    assert seen["title"] == "train at train.py:48"
    assert seen["verdict"] == "does not fit RTX 4090"
    assert "exp_avg" in seen["terms"]
    assert seen["unlabelled"] == 0
    assert seen["applicable"] >= 2
    assert seen["outcome"].startswith("108.9 GB → ")
    assert "\N{MINUS SIGN}" in seen["outcome"]
    assert seen["largest"].startswith("Largest that fits: ")
    assert seen["position"].startswith("Ln ")
    assert not seen["position"].startswith("Ln 1,")


def test_an_untrusted_folder_runs_nothing_of_its_own(wary: Workbench) -> None:
    """The bundled server answers, and the interpreter that the folder names was never started."""
    assert wary.drive("untrusted")["lens"].startswith("peak 106.2 GB")
    assert not (wary.home / "was-run").exists()
