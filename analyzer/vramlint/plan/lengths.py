"""How long a model's inputs can be, where the script does not say."""

from __future__ import annotations

from typing import Any

from vramlint.facts.setting import Setting, alternatives
from vramlint.knowledge import models

# A length to expect where only an upper bound is known: long contexts are rarely filled in training.
USUAL_LENGTH = 2048
SHORTEST = 16
_FIELDS = (
    "max_position_embeddings",
    "n_positions",
    "max_seq_len",
    "seq_length",
    "n_ctx",
    "max_sequence_length",
)


def longest_input(value: Any) -> int | None:
    """Return the longest input of a model in the plan's form, None where it is not known."""
    if not isinstance(value, dict):
        return None
    config = dict(value.get("config") or {})
    if value.get("id"):
        record = models.find(value["id"])
        config = {**(record.config if record is not None else {}), **config}
    inner = config.get("text_config")
    for table in (config, inner if isinstance(inner, dict) else {}):
        for field in _FIELDS:
            if isinstance(table.get(field), int) and table[field] > 0:
                return int(table[field])
    return None


def usual_length(value: Any) -> int:
    """Return the length to assume for a model: 2048 tokens, or fewer where the model takes fewer."""
    longest = longest_input(value)
    return min(USUAL_LENGTH, longest) if longest else USUAL_LENGTH


def bounds(model: Setting[Any]) -> tuple[int, int, int] | None:
    """Return a low, expected and high length, None where the model's longest input is not known."""
    lengths = [longest_input(value) for value in alternatives(model)]
    known = [length for length in lengths if length]
    if not known:
        return None
    highest = max(known)
    return min(SHORTEST, highest), min(USUAL_LENGTH, *known), highest
