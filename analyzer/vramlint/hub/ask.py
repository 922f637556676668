"""Asks the hub for one model's config and prints it as JSON: `python -m vramlint.hub.ask ID`.

It runs in a process of its own, since it imports transformers and uses the network, and never runs code
that a repository brings.
"""

from __future__ import annotations

import json
import os
import sys


def main() -> int:
    """Print the config of the model named on the command line; a reason on stderr and 1 if there is none."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    try:
        from transformers import PretrainedConfig  # noqa: PLC0415  the extra may not be installed
    except ImportError:
        sys.stderr.write("transformers is not installed; `pip install 'vramlint[hub]'` brings it\n")
        return 1
    try:
        config, _ = PretrainedConfig.get_config_dict(sys.argv[1], trust_remote_code=False)
    except Exception as error:  # noqa: BLE001  whatever the hub or the network says
        lines = str(error).strip().splitlines()
        sys.stderr.write(f"{lines[0] if lines else type(error).__name__}\n")
        return 1
    if not config:
        sys.stderr.write("the hub has no config.json for it\n")
        return 1
    sys.stdout.write(json.dumps(config, default=str))
    return 0


if __name__ == "__main__":
    sys.exit(main())
