"""Relevance: whether a text could train or run a model, told from a few words before anything is parsed."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vramlint.source.document import Document

# One of these stands in every file that trains or generates through a framework that the analyzer
# knows, in its imports at the latest, and in configuration files of trainers. Searching words one by
# one is some ten times faster than one expression of alternatives.
_SIGNALS = (
    "torch", "train", "Train", "TRAIN", "backward", "lightning", "accelerat", "deepspeed", "transformers",
    "peft", "trl", "unsloth", "diffusers", "timm", "axolotl", "llamafactory", "litgpt", "megatron", "nemo",
    "fastai", "composer", "swift", "vllm", "sglang", ".fit(", "finetun", "fine_tun", "fine-tun", "Finetun",
    "FineTun", "from_pretrained", ".generate(", "pipeline(", "batch_size", "base_model", "sft", "dpo", "grpo",
)  # fmt: skip


def may_train(text: str) -> bool:
    """Return False only for a text that surely neither trains nor runs a model."""
    return any(signal in text for signal in _SIGNALS)


def is_relevant(document: Document) -> bool:
    """Say whether any cell of `document` may train; outputs of a notebook have no part in it."""
    return any(may_train(cell.text) for cell in document.cells)
