"""What `accelerate estimate-memory` prints as "Training using Adam", for a config instead of a model of the hub.

The command itself asks the hub for the model's page first; what it computes then is called here as it does.
"""

from __future__ import annotations

import json
import sys

from accelerate import init_empty_weights
from accelerate.commands.estimate import estimate_training_usage
from accelerate.utils import calculate_maximum_sizes
from transformers import AutoConfig, AutoModelForCausalLM


def main() -> None:
    """Print the largest of the parts, in bytes."""
    row = json.load(sys.stdin)
    config = AutoConfig.for_model(**row["config"])
    with init_empty_weights():
        model = AutoModelForCausalLM.from_config(config)
    size, _ = calculate_maximum_sizes(model)
    dtype = "float32" if row["precision"] == "fp32" else "float16"
    print(json.dumps({"allocated": max(estimate_training_usage(size, dtype).values())}))


main()
