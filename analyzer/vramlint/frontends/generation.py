"""Scripts that only generate: `model.generate(…)` or `pipeline("text-generation")` with a model of transformers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vramlint.facts.script import is_from
from vramlint.facts.setting import Known, Origin, Setting
from vramlint.frontends import transformers_models
from vramlint.frontends.base import Context, Training, assumed
from vramlint.frontends.dtypes import short_dtype
from vramlint.frontends.trace import traced

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vramlint.facts.names import Call
    from vramlint.facts.values import Instance

_TASKS = {"text-generation": "causal-lm", "text2text-generation": "seq2seq-lm"}
_USUAL_NEW_TOKENS = 20


def trainings(context: Context) -> Iterator[Training]:
    """Find the models that generate; a run that trains in the same program hides them."""
    if "transformers" not in context.script.names.imports:
        return
    seen: set[object] = set()
    for call in context.script.calls("generate"):
        owner = context.script.receiver(call)
        for one in traced(context.script, owner):
            if (
                one.key not in seen
                and transformers_models.is_ours(one)
                and _is_named(context, one.base.value)
            ):
                seen.add(one.key)
                yield Training("transformers", call, owner, "inference", settings=_settings(context, call))
    yield from _pipelines(context)


def _is_named(context: Context, made: Instance) -> bool:
    name = context.script.argument(made, "pretrained_model_name_or_path", 0)
    return isinstance(name, Known) and isinstance(name.value, str)


def _settings(context: Context, call: Call) -> dict[str, Setting[Any]]:
    origin = context.script.origin(call.node, call.place)
    rows = _rows(context, call)
    spec: dict[str, Any] = {"engine": "transformers", "batch": rows.value, **_new_tokens(context, call)}
    return {
        "optimizer": Known(None, Origin("framework-default", "generation has no optimizer")),
        "micro_batch_size": rows,
        "generation": Known(spec, origin),
    }


def _rows(context: Context, call: Call) -> Known[int]:
    sequences = context.script.argument(call, "num_return_sequences")
    count = sequences.value if isinstance(sequences, Known) and isinstance(sequences.value, int) else 1
    return assumed(max(count, 1), "one prompt at a time")


def _new_tokens(context: Context, call: Call) -> dict[str, int]:
    given = context.script.argument(call, "max_new_tokens")
    given = context.script.argument(call, "max_length") if given is None else given
    known = isinstance(given, Known) and isinstance(given.value, int) and given.value > 0
    return {"new_tokens": given.value if known else _USUAL_NEW_TOKENS}  # type: ignore[union-attr]


def _pipelines(context: Context) -> Iterator[Training]:
    """Find `pipeline("text-generation", model="…")` whose result is called."""
    script = context.script
    for call in script.calls("pipeline"):
        if not is_from(script.callee(call), {"transformers"}, {"pipeline"}):
            continue
        task, model = script.argument(call, "task", 0), script.argument(call, "model", 1)
        kind = _TASKS.get(task.value) if isinstance(task, Known) and isinstance(task.value, str) else None
        if kind is None or not (isinstance(model, Known) and isinstance(model.value, str)):
            continue
        if not _is_called(context, call):
            continue
        found: dict[str, Setting[Any]] = {**_settings(context, call)}
        found["model"] = Known({"id": model.value}, model.origin)
        found["task"] = Known(kind, script.origin(call.node, call.place))
        found["param_dtype"] = _dtype(context, call)
        yield Training("transformers", call, None, "inference", settings=found)


def _is_called(context: Context, made: Call) -> bool:
    """Return whether some call of the program has the pipeline as its function."""
    names = [
        name
        for name, bindings in made.place.scope.bindings.items()
        for one in bindings
        if one.value is made.node
    ]
    return any(name in context.script.names.calls for name in names)


def _dtype(context: Context, call: Call) -> Setting[Any]:
    for name in ("dtype", "torch_dtype"):
        given = context.script.argument(call, name)
        short = short_dtype(given.value) if isinstance(given, Known) else None
        if short is not None and isinstance(given, Known):
            return Known(short, given.origin)
    return context.default("transformers.from_pretrained", "dtype") or assumed(
        "float32", "the dtype of loading"
    )
