"""Lengths that a table of learned positions cannot hold: the run would stop with an index error."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vramlint.memory.families.base import Model
    from vramlint.plan.document import Plan

# GPT-2 and its kin call the table of positions wpe, BERT and its kin position_embeddings.
_TABLES = ("wpe.weight", "position_embeddings.weight")


def notes_on_length(plan: Plan, model: Model) -> Iterator[str]:
    """Yield a note where the sequence is longer than the model's learned positions."""
    length = plan.sequence_length or 0
    for name, parameter in model.named_parameters():
        if not name.endswith(_TABLES) or parameter.shape[0] >= length:
            continue
        yield (
            f"the model has {parameter.shape[0]:,} learned positions and the sequence {length:,} tokens: "
            "the run would stop with an index error"
        )
        return
