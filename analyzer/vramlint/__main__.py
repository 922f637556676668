"""`python -m vramlint` is the command `vramlint`."""

from __future__ import annotations

import sys

from vramlint.cli import main

if __name__ == "__main__":
    sys.exit(main())
