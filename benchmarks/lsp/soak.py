"""Edit at random for a long time: `python -m benchmarks.lsp.soak [--edits 20000]`.

A client on a pipe changes a script in bursts, as fast as the server reads. At check points it waits for the newest
version and compares its diagnostics with those of a fresh analysis of the same text. It fails where they differ,
where the server dies or complains, or where its memory grows by more than a tenth after it has warmed up.
"""

from __future__ import annotations

import argparse
import random
import sys
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import TYPE_CHECKING, Any

from benchmarks.lsp.__main__ import SCRIPT, SERVER, resident
from benchmarks.lsp.client import Client
from vramlint.pipeline import analyze
from vramlint.settings import Settings, find_gpu
from vramlint.source.filesystem import FileSystem
from vramlint.source.read import document

if TYPE_CHECKING:
    from collections.abc import Iterator

GPU = "RTX 4090"
GROWTH = 1.10
_WARM = 0.2
"""The part of the edits after which memory is taken as the base."""
_AGAIN = 150
"""After so many edits the script is put back, or only rubble would be left of it."""

# What training scripts are made of, and what breaks them.
FRAGMENTS = (
    "x", "\n", "    ", "(", ")", "[", '"', "'''", "#", "=", ",", "8", "0", "é", "😀", "\t", "\r\n", "def f():\n",
    "batch_size=16", "model.gradient_checkpointing_enable()\n", "optimizer.step()\n", "# vramlint: ignore\n",
    "# vramlint: set sequence_length=4096\n", "torch.optim.SGD(model.parameters())", "import torch\n", "\x0c", "\\",
)  # fmt: skip


@dataclass
class Buffer:
    """The text as the editor has it; columns are UTF-16 units, as the protocol's default is."""

    text: str
    version: int = 1
    chance: random.Random = field(default_factory=lambda: random.Random(7))

    def edit(self, client: Client, uri: str) -> None:
        """Replace a short stretch somewhere by a fragment, or by nothing."""
        start = self._whole(self.chance.randrange(len(self.text) + 1))
        length = self.chance.choice((0, 0, 0, 1, 3, 12, 40))
        end = self._whole(min(start + length, len(self.text)))
        new = self.chance.choice(FRAGMENTS) if self.chance.random() < 0.8 else ""
        if new.endswith("\r") or (start and self.text[start - 1] == "\r" and new.startswith("\n")):
            new = ""
        self._replace(client, uri, start, end, new)

    def reset(self, client: Client, uri: str, text: str) -> None:
        """Put the whole text back."""
        self._replace(client, uri, 0, len(self.text), text)

    def _replace(self, client: Client, uri: str, start: int, end: int, new: str) -> None:
        self.version += 1
        client.change(uri, self.version, self._position(start), self._position(end), new)
        self.text = self.text[:start] + new + self.text[end:]

    def _whole(self, offset: int) -> int:
        """Return an offset that does not part the two characters of a line end."""
        parted = 0 < offset < len(self.text) and self.text[offset - 1 : offset + 1] == "\r\n"
        return offset - 1 if parted else offset

    def _position(self, offset: int) -> tuple[int, int]:
        before = self.text[:offset].replace("\r\n", "\n").replace("\r", "\n")
        line = before.rpartition("\n")[2]
        return before.count("\n"), len(line.encode("utf-16-le", "surrogatepass")) // 2


def main() -> None:
    """Run, and exit with status 1 where something is wrong."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.lsp.soak", description=__doc__)
    parser.add_argument("--edits", type=int, default=20_000, metavar="N")
    parser.add_argument("--script", type=Path, default=SCRIPT)
    options = parser.parse_args()
    wrong = [*soak(options.script.read_text(encoding="utf-8"), options.edits)]
    for line in wrong:
        print(line)
    sys.exit(1 if wrong else 0)


def soak(text: str, edits: int, check_points: int = 40) -> Iterator[str]:
    """Edit a text, and yield a line for everything that is wrong."""
    began = perf_counter()
    with TemporaryDirectory() as folder:
        path = Path(folder).resolve() / "train.py"
        path.write_text(text, encoding="utf-8")
        client = Client(SERVER, path.parent, {"gpu": GPU})
        try:
            yield from _edited(client, path, text, edits, check_points)
        finally:
            client.close()
        yield from (f"the server says: {line}" for line in client.shown)
    print(f"{edits} edits in {perf_counter() - began:.0f} s")


def _edited(client: Client, path: Path, text: str, edits: int, check_points: int) -> Iterator[str]:
    uri, buffer, base = path.as_uri(), Buffer(text), 0
    client.open(uri, text)
    every = max(edits // check_points, 1)
    for number in range(1, edits + 1):
        if number % _AGAIN == 0:
            buffer.reset(client, uri, text)
        else:
            buffer.edit(client, uri)
        if number % every == 0:
            difference = _difference(client.diagnostics(uri, buffer.version), path, buffer.text)
            if difference:
                yield f"after {number} edits the findings differ from a fresh analysis: {difference}"
            now = resident(client.process.pid)
            base = now if number <= max(edits * _WARM, every) else base
            if number % (every * 10) == 0:
                print(f"  {number:>6} edits, {now / 1e6:.0f} MB")
    now = resident(client.process.pid)
    print(f"resident memory: {base / 1e6:.0f} MB when warm, {now / 1e6:.0f} MB at the end")
    if now > base * GROWTH:
        yield f"memory grew by {now / base - 1:.0%}"


def _difference(shown: list[dict[str, Any]], path: Path, text: str) -> str:
    """Return what only one of the two says; nothing where they agree."""
    read, issues = document(str(path), text)
    report = analyze(read, Settings(gpu=find_gpu(GPU, "soak")), FileSystem(), issues)
    expected = {f"{one.rule}:{one.span.start.line}: {one.message}" for one in report.findings}
    found = {f"{one['code']}:{one['range']['start']['line'] + 1}: {one['message']}" for one in shown}
    return "; ".join(sorted(expected ^ found))


if __name__ == "__main__":
    main()
