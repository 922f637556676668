"""The names of settings, the same in JSON, TOML, comments and `--set`, and help with a misspelt one."""

from __future__ import annotations

from difflib import get_close_matches

from vramlint.plan.document import Plan

# The settings that every run reports, in the order of the public contract.
REPORTED = (
    "model",
    "param_dtype",
    "mixed_precision",
    "optimizer",
    "micro_batch_size",
    "sequence_length",
    "image_size",
    "gradient_accumulation_steps",
    "gradient_checkpointing",
    "lora",
    "quantization",
    "sharding",
    "attention",
    "extra_models",
    "trainable",
    "loss",
    "compile",
    "offload",
    "world_size",
    "generation",
)
# Names that stand for parts of plan keys: `frozen`, `sharding.offload_*`, `sharding.world_size`.
SHORTHANDS = ("trainable", "offload", "world_size")
SETTINGS = (*REPORTED, *(name for name in Plan.model_fields if name not in REPORTED))


def nearest(name: str, valid: tuple[str, ...] = SETTINGS) -> str | None:
    """Return the valid name that a misspelt one most likely means, None if none is near."""
    wanted = name.lower().replace("-", "_")
    close = get_close_matches(wanted, valid, n=1, cutoff=0.5)
    return close[0] if close else None


def did_you_mean(name: str, valid: tuple[str, ...] = SETTINGS) -> str:
    """Return the end of a message that helps with a misspelt name."""
    close = nearest(name, valid)
    return f"; did you mean {close!r}?" if close else f"; valid keys are {', '.join(valid)}"
