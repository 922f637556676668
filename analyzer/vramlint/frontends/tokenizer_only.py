"""A name called like a model that only tokenizers are made of, while the model that trains has another."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from vramlint.facts.names import dotted, terminal
from vramlint.facts.setting import Known
from vramlint.frontends import transformers_models
from vramlint.frontends.base import Context, Remark, Training
from vramlint.frontends.trace import traced

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vramlint.facts.names import Call

_RULE = "model-id-only-for-tokenizer"
_CALLED_LIKE_A_MODEL = re.compile(r"(?i)(^|_)(model|checkpoint|ckpt|base_model|backbone)(_|$)")
_CALLED_OTHERWISE = re.compile(r"(?i)tok|proc|ref|teacher|student|reward|judge|embed|eval|draft")
_READERS = re.compile(r"(Tokenizer\w*|Processor)\.from_pretrained$")


def remarks(context: Context, training: Training) -> Iterator[Remark]:
    """Yield the first such name of a training whose own model is known by another."""
    trained = _trained(context, training)
    if trained is None:
        return
    for call in context.script.calls("from_pretrained"):
        names = context.script.callee(call)
        if not any(_READERS.search(name) for name in names) or not call.node.args:
            continue
        said = dotted(call.node.args[0])
        last = (said or "").rpartition(".")[2]
        if not said or not _CALLED_LIKE_A_MODEL.search(last) or _CALLED_OTHERWISE.search(said):
            continue
        value = context.script.value(call.node.args[0], call.place)
        if not (isinstance(value, Known) and isinstance(value.value, str)) or _is_same(
            value.value, trained.value
        ):
            continue
        if value.origin.span is not None and not _is_used(context, last, call):
            other = f"the model that trains is {trained.value!r}"
            message = f"`{said}` is {value.value!r} and feeds only the tokenizer; {other}"
            yield Remark(_RULE, message, context.script.span(call.node.args[0], call.place), trained.origin)
        return


def _trained(context: Context, training: Training) -> Known[str] | None:
    """Return the id of the one model that trains."""
    found = traced(context.script, training.model)
    if len(found) != 1 or not transformers_models.is_ours(found[0]):
        return None
    model, _ = transformers_models.model_and_dtype(context, found[0])
    value = model.value.get("id") if isinstance(model, Known) and isinstance(model.value, dict) else None
    return Known(value, model.origin) if isinstance(model, Known) and isinstance(value, str) else None


def _is_same(one: str, other: str) -> bool:
    """Return whether two ids are of one repository, or one is a place on disk that only the author knows."""
    return (
        one.lower() == other.lower() or one.startswith((".", "/", "~")) or other.startswith((".", "/", "~"))
    )


def _is_used(context: Context, name: str, tokenizer: Call) -> bool:
    """Return whether the script reads a name for anything but tokenizers, processors and what it prints."""
    for called, calls in context.script.names.calls.items():
        for call in calls:
            if call.node is tokenizer.node or called in {"print", "info", "add_argument", "format", "join"}:
                continue
            if _is_reader(call) or not _mentions(call.node, name):
                continue
            return True
    return False


def _is_reader(call: Call) -> bool:
    node = call.node.func
    owner = terminal(node.value) if isinstance(node, ast.Attribute) else ""
    return terminal(node) == "from_pretrained" and owner.endswith(("Tokenizer", "TokenizerFast", "Processor"))


def _mentions(node: ast.Call, name: str) -> bool:
    """Return whether a call's own arguments read a name."""
    parts = [*node.args, *(keyword.value for keyword in node.keywords)]
    return any(
        (isinstance(inner, ast.Name) and inner.id == name)
        or (isinstance(inner, ast.Attribute) and inner.attr == name)
        for part in parts
        for inner in ast.walk(part)
    )
