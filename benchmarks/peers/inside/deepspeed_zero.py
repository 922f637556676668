"""DeepSpeed's `estimate_zero2_model_states_mem_needs` for one GPU without offload: states only, by the count alone."""

from __future__ import annotations

import json
import sys

from deepspeed.runtime.zero.stage_1_and_2 import estimate_zero2_model_states_mem_needs


def main() -> None:
    """Print its bytes of GPU memory."""
    row = json.load(sys.stdin)
    _, gpu = estimate_zero2_model_states_mem_needs(row["parameters"], 1, 1, cpu_offload=False)
    print(json.dumps({"allocated": gpu}))


main()
