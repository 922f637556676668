"""Relevance: whether a text could train or run a model, told from a few words before anything is parsed."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vramlint.source.document import Document

# Parts of words, in lower case, the likeliest first. One of them stands in every file that trains or
# generates through a framework that the analyzer knows, in its imports at the latest, and in the
# configuration files of trainers. A false alarm costs a parse; a miss would hide a training run.
_SIGNALS = (
    "torch", "train", "batch", "transformers", "tun", "backward", "lightning", "accelerat", "deepspeed",
    "peft", "trl", "unsloth", "diffus", "timm", "axolotl", "llama", "gpt", "llm", "megatron", "nemo",
    "fastai", "composer", "swift", "sglang", ".fit(", "generat", "pipeline(", "base_model", "lora",
)  # fmt: skip


def may_train(text: str) -> bool:
    """Return False only for a text that surely neither trains nor runs a model."""
    lowered = text.lower()
    return any(signal in lowered for signal in _SIGNALS)


def is_relevant(document: Document) -> bool:
    """Say whether any cell of `document` may train; outputs of a notebook have no part in it."""
    return any(may_train(cell.text) for cell in document.cells)
