"""Texts that are padded to one length: the model is handed a mask, for the rule that speaks of it."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from vramlint.facts.setting import Known
from vramlint.frontends.base import Context, Remark, Training

if TYPE_CHECKING:
    from collections.abc import Iterator

_TOKENIZERS = ("tokenizer", "tok", "encode_plus", "batch_encode_plus", "processing_class")
_NOT_TRAINING = ("eval", "test", "generate", "predict", "infer", "sample", "prompt")


def remarks(context: Context, training: Training) -> Iterator[Remark]:
    """Yield the first call that pads training texts to `max_length`, where a language model is trained on them."""
    if training.kind != "train" or training.framework == "trl":
        return
    for call in context.script.calls(*_TOKENIZERS):
        node = call.place.scope.node
        inside = node.name.lower() if isinstance(node, ast.FunctionDef) else ""
        given = context.script.argument(call, "padding")
        if any(part in inside for part in _NOT_TRAINING) or not isinstance(given, Known):
            continue
        if given.value == "max_length" and given.origin.span is not None:
            yield Remark("padding-mask-disables-flash", 'padding="max_length"', given.origin.span)
            return
