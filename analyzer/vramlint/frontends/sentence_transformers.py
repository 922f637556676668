"""sentence-transformers: its trainers, and the older `model.fit(train_objectives=[(loader, loss)])`.

Source: sentence-transformers 5, `trainer.py`, `fit_mixin.py`; a trainer's arguments are transformers' own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vramlint.facts.script import is_from, lift
from vramlint.facts.setting import Known, Origin, Setting, Unknown
from vramlint.facts.values import Instance, Items
from vramlint.frontends import hf_trainer, loaders
from vramlint.frontends.base import Context, Training, assumed, settled
from vramlint.frontends.dtypes import short_dtype
from vramlint.frontends.trace import traced

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from vramlint.facts.names import Call

_PACKAGES = {"sentence_transformers"}
_TRAINERS = {
    "SentenceTransformerTrainer",
    "CrossEncoderTrainer",
    "SparseEncoderTrainer",
    "MultiVectorEncoderTrainer",
}
_TASKS = {
    "SentenceTransformer": "feature-extraction",
    "CrossEncoder": "sequence-classification",
    "SparseEncoder": "sparse-encoding",
    "MultiVectorEncoder": "multi-vector-encoding",
}
_MODELS = set(_TASKS)


def trainings(context: Context) -> Iterator[Training]:
    """Find the trainers that train and the models that fit."""
    if not context.script.names.imports & _PACKAGES:
        return
    yield from hf_trainer.trained(
        context, _PACKAGES, _TRAINERS, "transformers", lambda _names: hf_trainer.DEFAULTS
    )
    for call in context.script.calls("fit"):
        owner = context.script.receiver(call)
        if any(_is_model(one.base.value) for one in traced(context.script, owner)):
            yield Training("transformers", call, owner, settings=_fitted(context, call))


def _is_model(value: object) -> bool:
    return isinstance(value, Instance) and is_from(value.names, _PACKAGES, _MODELS)


def _task_of(made: Instance) -> str:
    names = (name.rpartition(".")[2] for name in made.names)
    return next(_TASKS[name] for name in names if name in _TASKS)


def _fitted(context: Context, call: Call) -> dict[str, Setting[Any]]:
    amp = context.script.argument(call, "use_amp")
    on = isinstance(amp, Known) and amp.value is True
    origin = amp.origin if isinstance(amp, Known) else Origin("framework-default", "fit(use_amp=False)")
    return {
        "micro_batch_size": _batch(context, call),
        "gradient_accumulation_steps": assumed(1, "fit() steps after every batch"),
        "mixed_precision": Known("fp16" if on else "no", origin),
        "optimizer": _optimizer(context, call),
    }


def _batch(context: Context, call: Call) -> Setting[Any]:
    """Return the batch of the first loader of `train_objectives`, or of CrossEncoder's `train_dataloader`."""
    given = context.script.argument(call, "train_objectives", 0)
    given = context.script.argument(call, "train_dataloader", 0) if given is None else given
    for _ in range(2):
        if isinstance(given, Known) and isinstance(given.value, Items) and given.value.items:
            given = context.script.evaluator.force(given.value.items[0])
    for one in traced(context.script, given):
        if isinstance(one.base.value, Instance) and is_from(one.base.value.names, {"torch"}, {"DataLoader"}):
            return loaders.batch_size(context, call.place, one.base.value)
    return loaders.batch_size(context, call.place, loaders.feeding(context, call.place))


def _optimizer(context: Context, call: Call) -> Setting[Any]:
    if context.script.argument(call, "optimizer_class") is not None:
        return Unknown("optimizer_class is not followed; name it with --set optimizer=…")
    return Known({"name": "torch.optim.AdamW"}, Origin("framework-default", "fit(optimizer_class=AdamW)"))


def settings(context: Context, training: Training) -> Mapping[str, Setting[Any]]:
    """Read the model, its dtype and its length where sentence-transformers made it."""
    for one in traced(context.script, training.model):
        made = one.base.value
        if _is_model(made):
            name = settled(context.script.argument(made, "model_name_or_path", 0), "model")
            name = settled(context.script.argument(made, "model_name", 0), "model") if name is None else name
            found: dict[str, Setting[Any]] = {"param_dtype": _dtype(context, made)}
            by_hand = Unknown(
                "the modules are put together by hand; name the model with --set model=…", one.base.origin
            )
            found["model"] = by_hand if name is None else lift(name, _named) or name
            found["task"] = Known(_task_of(made), one.base.origin)
            length = _length(context, training)
            return {**found, "sequence_length": length} if length is not None else found
    return {}


def _named(known: Known[Any]) -> Setting[Any]:
    if isinstance(known.value, str):
        short = known.value if "/" in known.value else _in_its_own_organization(known.value)
        return Known({"id": short}, known.origin)
    return _by_hand(known.origin)


def _by_hand(origin: Origin) -> Unknown:
    return Unknown("the modules are put together by hand; name the model with --set model=…", origin)


def _in_its_own_organization(name: str) -> str:
    """Return the full name of a model that sentence-transformers finds without one, such as all-MiniLM-L6-v2."""
    own = name.startswith(("all-", "paraphrase-", "multi-qa-", "msmarco-", "stsb-", "nli-", "distiluse-"))
    return f"sentence-transformers/{name}" if own else name


def _dtype(context: Context, made: Instance) -> Setting[Any]:
    from vramlint.facts.values import Record  # noqa: PLC0415  few scripts give model_kwargs

    given = context.script.argument(made, "model_kwargs")
    if isinstance(given, Known) and isinstance(given.value, Record):
        for name in ("torch_dtype", "dtype"):
            if name in given.value.items:
                value = context.script.evaluator.force(given.value.items[name])
                short = short_dtype(value.value) if isinstance(value, Known) else None
                if short is not None and isinstance(value, Known):
                    return Known(short, value.origin)
    default = context.default("transformers.from_pretrained", "dtype")
    return default or Unknown("the dtype of loading depends on the version")


def _length(context: Context, training: Training) -> Setting[Any] | None:
    """Return what `model.max_seq_length = n` sets before the training."""
    found: Setting[Any] | None = None
    for scope in (context.script.names.module, *context.script.names.scopes.values()):
        for name, bindings in scope.bindings.items():
            if name.endswith(".max_seq_length"):
                for binding in bindings:
                    if binding.value is not None and binding.place.order < training.call.place.order:
                        found = context.script.value(binding.value, binding.place)
    return found
