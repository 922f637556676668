"""Print how long an editor waits: `python -m benchmarks.lsp [SCRIPT…] [--peers BIN]`.

A client on a pipe types into a script, one character or one line at a time, and waits after each change for the
diagnostics of that version. Beside it: the time in which libcst parses the same text, and what `ruff server` and
`pylsp` need for the same keystrokes, where they are installed. The limits are shown and never asserted: a shared
machine decides on the seconds.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import TYPE_CHECKING, Any

import libcst

from benchmarks.lsp.client import Client

if TYPE_CHECKING:
    from collections.abc import Sequence

Change = tuple[tuple[int, int], tuple[int, int], str]
"""Where a change starts and ends, line and column from 0, and the text that comes there."""

SCRIPT = Path(__file__).parent.parent / "data" / "finetune.py"
SERVER = (sys.executable, "-m", "vramlint", "lsp")
LONG = 1_000
TYPED = 'note = {"step": step, "loss": loss.item()}'


def main() -> None:
    """Measure each script with each server."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.lsp", description=__doc__)
    parser.add_argument("scripts", nargs="*", type=Path, help="the scripts to type into")
    parser.add_argument("--edits", type=int, default=200, metavar="N", help="changes for each script")
    parser.add_argument("--gpu", default="RTX 4090", help="the GPU that the training must fit")
    parser.add_argument("--peers", type=Path, metavar="BIN", help="a directory with ruff and pylsp")
    options = parser.parse_args()
    texts = {path: path.read_text(encoding="utf-8") for path in options.scripts or (SCRIPT,)}
    if not options.scripts:
        texts[SCRIPT.with_stem("finetune_long")] = long_text(texts[SCRIPT])
    for path, text in texts.items():
        _measure(path, text, options.edits, options.gpu, options.peers)


def long_text(text: str) -> str:
    """Return a script of 1,000 lines: its definitions again under other names, as projects grow them."""
    head, mark, tail = text.partition("\ndef main(")
    body = head[head.index("\ndef ") :] if "\ndef " in head else ""
    copies, number = "", 0
    while body and (head + copies + mark + tail).count("\n") < LONG:
        number += 1
        copies += body.replace("\ndef ", f"\ndef v{number}_").replace("\nclass ", f"\nclass V{number}")
    return head + copies + mark + tail


def _measure(path: Path, text: str, edits: int, gpu: str, peers: Path | None) -> None:
    print(f"{path.name}: {text.count(chr(10))} lines, {edits} changes, milliseconds")
    _print("libcst.parse_module", [_seconds(lambda: libcst.parse_module(text)) for _ in range(5)])
    servers: dict[str, Sequence[str]] = {"vramlint": SERVER}
    for name, arguments in (("ruff", ("server",)), ("pylsp", ())):
        program = shutil.which(name, path=str(peers)) if peers else shutil.which(name)
        if program is not None:
            servers[name] = (program, *arguments)
    with TemporaryDirectory() as folder:
        root = Path(folder)
        (root / path.name).write_text(text, encoding="utf-8")
        for name, command in servers.items():
            client = Client(command, root, {"gpu": gpu} if name == "vramlint" else None)
            try:
                _session(client, name, (root / path.name).as_uri(), text, edits)
            finally:
                client.close()


def _session(client: Client, name: str, uri: str, text: str, edits: int) -> None:
    client.open(uri, text)
    client.diagnostics(uri, 1)
    chance = random.Random(1)
    lines, version = text.split("\n"), 1
    waits: dict[str, list[float]] = {"a line changed": [], "a character typed": []}
    while version <= edits // 2:
        version += 1
        line = chance.randrange(len(lines))
        new = f"{lines[line].split('  # seen')[0]}  # seen {version}"
        waits["a line changed"].append(
            _wait(client, uri, version, ((line, 0), (line, len(lines[line])), new))
        )
        lines[line] = new
    while version <= edits:
        line = _statement(chance, lines)
        margin = lines[line][: len(lines[line]) - len(lines[line].lstrip())]
        version += 1
        client.change(uri, version, (line, 0), (line, 0), margin + "\n")
        client.diagnostics(uri, version)
        for column, character in enumerate(TYPED, start=len(margin)):
            version += 1
            at = (line, column)
            waits["a character typed"].append(_wait(client, uri, version, (at, at, character)))
        lines.insert(line, margin + TYPED)
    for what, times in waits.items():
        _print(f"{name}: {what}", times)
    if name == "vramlint":
        _hovers(client, uri, lines)


def _hovers(client: Client, uri: str, lines: list[str]) -> None:
    """Print the wait for a hover over each place of a setting, and the memory of the server."""
    times = []
    for line, content in enumerate(lines):
        for word in ("AdamW", "from_pretrained", "batch_size", "backward", "import"):
            if word in content:
                place = {"line": line, "character": content.index(word) + 1}
                params = {"textDocument": {"uri": uri}, "position": place}
                times.append(_seconds(lambda: client.request("textDocument/hover", params)))  # noqa: B023  at once
    _print("vramlint: hover", times)
    print(f"  {'vramlint: resident memory':<34}{resident(client.process.pid) / 1e6:8.0f} MB")


def _wait(client: Client, uri: str, version: int, change: Change) -> float:
    began = perf_counter()
    client.change(uri, version, *change)
    client.diagnostics(uri, version)
    return perf_counter() - began


def _statement(chance: random.Random, lines: list[str]) -> int:
    """Return a line before which a statement may stand: one inside a function that ends no bracket."""
    good = [
        number
        for number, line in enumerate(lines)
        if line.startswith("    ")
        and line.strip()
        and not line.strip().startswith((")", "]", "}", "#", "el", '"'))
    ]
    return chance.choice(good or [0])


def _seconds(job: Any) -> float:
    began = perf_counter()
    job()
    return perf_counter() - began


def _print(what: str, times: list[float]) -> None:
    if not times:
        return
    p95 = quantiles(times, n=20)[-1] if len(times) > 1 else times[0]
    print(f"  {what:<34}p50 {1000 * median(times):8.1f}   p95 {1000 * p95:8.1f}   n {len(times)}")


def resident(process: int) -> int:
    """Return the resident memory of a process in bytes, 0 where the system does not say."""
    status = Path(f"/proc/{process}/status")
    if not status.is_file():
        return 0
    row = next((line for line in status.read_text().splitlines() if line.startswith("VmRSS:")), "VmRSS: 0 kB")
    return int(row.split()[1]) * 1024


if __name__ == "__main__":
    main()
