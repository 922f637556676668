"""How many tokens a sample has: the tokenizer's `max_length`, a block size, or a name that says so."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any

from vramlint.facts import arguments
from vramlint.facts.setting import Known, OneOf, Origin, Setting, Unknown
from vramlint.facts.shown import source
from vramlint.facts.values import Instance, is_scalar
from vramlint.frontends import loaders
from vramlint.frontends.base import Context, Training, settled
from vramlint.frontends.trace import traced

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from vramlint.facts.names import Call

_KEYWORDS = ("max_length", "max_seq_length", "max_len", "model_max_length")
# Names that hold a length wherever they occur, the most telling first.
_NAMES = (
    "block_size",
    "max_seq_length",
    "max_seq_len",
    "sequence_length",
    "seq_length",
    "seq_len",
    "context_length",
    "max_length",
    "max_len",
    "context_size",
    "max_source_length",
    "cutoff_len",
    "model_max_length",
    "source_max_len",
    "seqlen",
    "n_ctx",
)
_TARGET = "max_target_length"
# How arguments call the two parts of a text that a decoder learns to go on with.
_PROMPTS = ("source", "input", "prompt")
_ANSWERS = ("target", "output", "answer", "response", "completion")
_NOT_TRAINING = ("eval", "test", "generate", "predict", "infer", "sample", "answer")
_LARGEST = 4_000_000


def settings(context: Context, training: Training) -> Mapping[str, Setting[Any]]:
    """Read the length from chunking idioms, from tokenizer calls, or from a telling name."""
    if training.framework == "trl":
        return {}
    found = {
        "sequence_length": _blocks(context)
        or _joined(context, training)
        or _tokenized(context)
        or _named(context, training)
        or _lettered(context),
        "target_length": _target(context, training),
    }
    return {name: setting for name, setting in found.items() if setting is not None}


def _target(context: Context, training: Training) -> Setting[Any] | None:
    """Return the length of what an encoder-decoder should answer: `tokenizer(text_target=…, max_length=…)`."""
    for call in _tokenizer_calls(context):
        given = _given(context, call) if _is_target(call) else None
        if given is not None:
            return given
    evaluator = context.script.evaluator
    found = evaluator.name(_TARGET, training.call.place, None)
    if not (isinstance(found, Known) and _is_length(found.value)):
        found = arguments.declared(evaluator, _TARGET)
    return found if isinstance(found, Known) and _is_length(found.value) else None


def _is_target(call: Call) -> bool:
    return any(keyword.arg == "text_target" for keyword in call.node.keywords)


def _blocks(context: Context) -> Setting[Any] | None:
    """Return the size of `tokens[i : i + block_size]` inside a function that groups texts."""
    for scope in context.script.names.scopes.values():
        node = scope.node
        if (
            isinstance(node, ast.FunctionDef)
            and ("group" in node.name or "chunk" in node.name)
            and scope.returns
        ):
            sizes = [_slice_size(inner) for inner in ast.walk(node) if isinstance(inner, ast.Slice)]
            for size in sizes:
                if size is not None:
                    setting = _length(context.script.value(size, scope.returns[-1][1]))
                    if setting is not None:
                        return setting
    return None


def _slice_size(node: ast.Slice) -> ast.expr | None:
    upper = node.upper
    if (
        isinstance(upper, ast.BinOp)
        and isinstance(upper.op, ast.Add)
        and isinstance(upper.right, ast.Name | ast.Attribute)
    ):
        return upper.right
    return None


def _joined(context: Context, training: Training) -> Setting[Any] | None:
    """Return prompt and answer together, which a decoder reads as one text though each has a length of its own."""
    if not _reads_both_at_once(context, training):
        return None
    given = [(_spelled(call), _given(context, call)) for call in _tokenizer_calls(context)]
    parts = [
        next(
            (one for text, one in given if isinstance(one, Known) and any(word in text for word in words)),
            None,
        )
        for words in (_PROMPTS, _ANSWERS)
    ]
    first, second = parts
    if first is None or second is None:
        return None
    spelled = _spelled_sum(context)
    if spelled is not None:
        return spelled
    detail = f"{first.origin.detail} and {second.origin.detail} together"
    return Known(first.value + second.value, Origin(second.origin.kind, detail, second.origin.span))


def _spelled(call: Call) -> str:
    """Return how a call writes its length, such as `args.source_max_len`."""
    texts = (source(keyword.value) for keyword in call.node.keywords if keyword.arg in _KEYWORDS)
    return next(texts, "").lower()


def _reads_both_at_once(context: Context, training: Training) -> bool:
    """Return whether the trained model is a decoder alone, by the class that loads it."""
    names = {
        name
        for one in traced(context.script, training.model)
        if isinstance(one.base.value, Instance)
        for name in one.base.value.names
    }
    return any("CausalLM" in name or ".AutoModel." in name for name in names)


def _spelled_sum(context: Context) -> Setting[Any] | None:
    """Return what a function names `max_seq_length = max_source_length + max_target_length + 1`."""
    for scope in context.script.names.scopes.values():
        for name in _KEYWORDS:
            for binding in scope.bindings.get(name, ()):
                text = source(binding.value) if isinstance(binding.value, ast.BinOp) else ""
                if (
                    binding.value is not None
                    and any(w in text for w in _PROMPTS)
                    and any(w in text for w in _ANSWERS)
                ):
                    return _length(context.script.value(binding.value, binding.place))
    return None


def _lettered(context: Context) -> Setting[Any] | None:
    """Return the T of a loader of the program's own that is made with B and T."""
    return next((length for _, length in loaders.by_letters(context) if isinstance(length, Known)), None)


def _tokenized(context: Context) -> Setting[Any] | None:
    """Return the longest `max_length` of the tokenizer calls that prepare training texts."""
    found: list[Setting[Any]] = []
    unbounded: Call | None = None
    for call in _tokenizer_calls(context):
        given = None if _is_target(call) else _given(context, call)
        if given is not None:
            found.append(given)
        elif _truncates(context, call) and unbounded is None:
            unbounded = call
    known = [setting for setting in found if isinstance(setting, Known)]
    if known:
        return max(known, key=lambda setting: setting.value)
    if found:
        return found[0]
    if unbounded is not None:
        origin = context.script.origin(unbounded.node, unbounded.place)
        why = "the tokenizer truncates without max_length, so the model's longest input is the only bound"
        return Unknown(f"{why}; name it with --set sequence_length=…", origin)
    return None


def _tokenizer_calls(context: Context) -> Iterator[Call]:
    for name, calls in context.script.names.calls.items():
        if "tokeniz" not in name.lower() and name not in {
            "encode_plus",
            "batch_encode_plus",
            "processor",
            "tok",
            "apply_chat_template",
            "encode",
        }:
            continue
        for call in calls:
            node = call.place.scope.node
            inside = node.name.lower() if isinstance(node, ast.FunctionDef) else ""
            if (
                call.node.keywords
                and not any(part in inside for part in _NOT_TRAINING)
                and context.script.evaluator.live(call.place)
            ):
                yield call


def _given(context: Context, call: Call) -> Setting[Any] | None:
    for keyword in call.node.keywords:
        if keyword.arg in _KEYWORDS:
            setting = context.script.argument(call, keyword.arg)
            if isinstance(setting, Unknown) and source(keyword.value).endswith(".model_max_length"):
                setting = _of_the_tokenizer(context) or setting
            return _length(setting) if setting is not None else None
    return None


def _of_the_tokenizer(context: Context) -> Setting[Any] | None:
    """Return the `model_max_length` that the script's only tokenizer is loaded with."""
    calls = [
        call
        for call in context.script.calls("from_pretrained")
        if any(keyword.arg == "model_max_length" for keyword in call.node.keywords)
    ]
    return context.script.argument(calls[0], "model_max_length") if len(calls) == 1 else None


def _truncates(context: Context, call: Call) -> bool:
    setting = context.script.argument(call, "truncation")
    return isinstance(setting, Known) and setting.value not in {False, None, "do_not_truncate"}


def _length(setting: Setting[Any] | None) -> Setting[Any] | None:
    """Return a setting if it can be a length: a positive number, or an honest unknown."""
    if isinstance(setting, Unknown | OneOf) or setting is None:
        return setting
    if isinstance(setting.value, float) and setting.value.is_integer():
        setting = Known(int(setting.value), setting.origin)
    value = setting.value
    if isinstance(value, int) and not isinstance(value, bool):
        return setting if 0 < value <= _LARGEST else None
    if value is None and setting.origin.kind == "argument-default":
        return settled(setting, "sequence_length")
    if is_scalar(value):
        return None
    return Unknown(
        f"`{setting.origin.detail}` is known only at run time; name it with --set sequence_length=…",
        setting.origin,
    )


def _named(context: Context, training: Training) -> Setting[Any] | None:
    """Return the value of a name that says it is a length."""
    evaluator = context.script.evaluator
    for name in (*_NAMES, *(name.upper() for name in _NAMES)):
        if _is_bound_in_a_loop(context, training, name):
            continue
        found = evaluator.name(name, training.call.place, None)
        if isinstance(found, Known) and _is_length(found.value):
            detail = f"{name} = {found.value}" if found.origin.kind == "source" else found.origin.detail
            return Known(found.value, Origin(found.origin.kind, detail, found.origin.span))
    for name in _NAMES:
        declared = arguments.declared(evaluator, name)
        if isinstance(declared, Known) and _is_length(declared.value):
            return declared
    return _keyword(context)


def _is_bound_in_a_loop(context: Context, training: Training, name: str) -> bool:
    """Return whether a name gets its value in the training loop itself, as lengths of samples drawn there do."""
    found, _, _ = context.script.evaluator.bindings(name, training.call.place, None)
    loops = training.call.place.loops
    return any(not set(binding.place.loops).isdisjoint(loops) for binding in found)


def _keyword(context: Context) -> Setting[Any] | None:
    """Return a length that is passed by a telling keyword to some call of the script, if all agree."""
    found: dict[int, Setting[Any]] = {}
    for calls in context.script.names.calls.values():
        for call in calls:
            for keyword in call.node.keywords:
                if keyword.arg and keyword.arg.endswith(_NAMES) and not _is_decoding(call):
                    setting = context.script.argument(call, keyword.arg)
                    if isinstance(setting, Known) and _is_length(setting.value):
                        found.setdefault(setting.value, setting)
    return next(iter(found.values())) if len(found) == 1 else None


def _is_decoding(call: Call) -> bool:
    return any(part in source(call.node.func) for part in ("generate", "pipeline", "infer", "sample"))


def _is_length(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value <= _LARGEST
