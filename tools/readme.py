"""Keep the README's console blocks true: run each command in them and put its output below."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"

_BLOCK = re.compile(r"(```console\n\$ ([^\n]*)\n)(.*?)(```\n)", re.DOTALL)


def rendered(text: str, programs: tuple[str, ...] = ("vramlint", "python")) -> str:
    """Return the README with today's output in every console block that runs one of the programs."""
    return _BLOCK.sub(lambda block: _renewed(block) if block[2].startswith(programs) else block[0], text)


def _renewed(block: re.Match[str]) -> str:
    return block[1] + _output(block[2]) + block[4]


def _output(line: str) -> str:
    # A person's own configuration must not change what everyone reads.
    environment = {**os.environ, "XDG_CONFIG_HOME": os.devnull, "PYTHONUTF8": "1"}
    environment.pop("VRAMLINT_GPU", None)
    name, *arguments = shlex.split(line)
    command = [sys.executable, *(["-m", "vramlint"] if name == "vramlint" else []), *arguments]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


if __name__ == "__main__":
    README.write_text(rendered(README.read_text(encoding="utf-8")), encoding="utf-8")
