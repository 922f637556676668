"""Runs vramlint out of the extension: the bundled packages first, or last where the environment's own shall win."""

import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
BUNDLED = [str(HERE / "tool"), str(HERE / "libs")]

if os.environ.get("VRAMLINT_IMPORT_STRATEGY") == "fromEnvironment":
    sys.path += BUNDLED
else:
    sys.path[:1] = BUNDLED

from vramlint.__main__ import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
