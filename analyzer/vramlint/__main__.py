"""`python -m vramlint` is the command `vramlint`."""

from __future__ import annotations

import gc
import sys


def main() -> int:
    """Run the command line and return its exit status.

    A command is short and makes few cycles: scanning its many small values for them, while modules are imported
    and once more at the end, costs a tenth of its time.
    """
    gc.set_threshold(50_000, 50, 100)
    from vramlint import cli  # noqa: PLC0415  the imports are what should not be scanned

    try:
        return cli.main()
    finally:
        gc.freeze()


if __name__ == "__main__":
    sys.exit(main())
