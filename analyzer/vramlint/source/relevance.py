"""Relevance: whether a text could train or run a model, told from a few words before anything is parsed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vramlint.source.document import Document
    from vramlint.source.neighbours import Neighbours

# Parts of words, in lower case, the likeliest first. One of them stands in every file that trains or
# generates through a framework that the analyzer knows, in its imports at the latest, and in the
# configuration files of trainers. A false alarm costs a parse; a miss would hide a training run.
_SIGNALS = (
    "torch", "train", "batch", "transformers", "tun", "backward", "lightning", "accelerat", "deepspeed",
    "peft", "trl", "unsloth", "diffus", "timm", "axolotl", "llama", "gpt", "llm", "megatron", "nemo",
    "fastai", "composer", "swift", "sglang", ".fit(", "generat", "pipeline(", "base_model", "lora",
)  # fmt: skip


# An entry point without a word of training is short: some imports, a call, perhaps arguments.
_LONGEST_ENTRY = 4_000
_STARTS = re.compile(r"^(?:if __name__|[a-z_][\w.]*\()", re.MULTILINE)
_IMPORT = re.compile(r"^[ \t]*(?:from|import)[ \t]+(\.*)(\w*)((?:\.\w+)*)", re.MULTILINE)


def may_train(text: str) -> bool:
    """Return False only for a text that surely neither trains nor runs a model."""
    lowered = text.lower()
    return any(signal in lowered for signal in _SIGNALS)


def is_relevant(document: Document) -> bool:
    """Say whether any cell of `document` may train; outputs of a notebook have no part in it.

    What a shell script starts, its own words need not say.
    """
    if document.kind == "shell":
        return any(
            "python" in cell.text or ".py" in cell.text or may_train(cell.text) for cell in document.cells
        )
    return any(may_train(cell.text) for cell in document.cells)


def leads_to_training(document: Document, neighbours: Neighbours) -> bool:
    """Say whether a short script that starts something imports a file beside it that may train."""
    if document.kind != "script" or not document.cells:
        return False
    text = document.cells[0].text
    if len(text) > _LONGEST_ENTRY or not _STARTS.search(text):
        return False
    from vramlint.source.imports import Repository  # noqa: PLC0415  only few files get here

    repository = Repository(document.path, neighbours)
    for dots, first, rest in _IMPORT.findall(text):
        if not dots and first:
            content = repository.source(first, rest.split(".")[1:])
            if content is not None and may_train(content):
                return True
    return False
