"""Which DataLoader feeds a training loop, and how many samples a batch has."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any

from vramlint.facts.inspect_values import each
from vramlint.facts.names import terminal
from vramlint.facts.setting import Known, Origin, Setting, Unknown
from vramlint.facts.values import Class, Instance, is_scalar
from vramlint.frontends.base import Context, settled
from vramlint.frontends.trace import traced

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vramlint.facts.names import Call, Place

_LOADERS = (
    "DataLoader",
    "StatefulDataLoader",
    "MultiEpochsDataLoader",
    "FastDataLoader",
    "InfiniteDataLoader",
    "create_loader",
)
_NAMES = (
    "micro_batch_size",
    "per_device_train_batch_size",
    "train_batch_size",
    "batch_size",
    "device_batch_size",
    "bs",
    "batchsize",
)
# No step of a training sees more samples than this; a larger number is of tokens.
_MOST_SAMPLES = 131_072
_NOT_TRAINING = ("eval", "val", "test", "dev", "sample", "gen", "infer", "example")


def feeding(context: Context, place: Place) -> Instance | None:
    """Return the loader that the loops around a place draw from, else the one that looks like training."""
    calls = context.script.calls(*_LOADERS)
    by_node = {call.node: call for call in calls}
    for loop in reversed(place.loops):
        if isinstance(loop, ast.For | ast.AsyncFor):
            for made in _drawn(context, loop.iter, place):
                if made.call in by_node:
                    return made
    chosen = _likeliest(context, calls)
    return _made(context, chosen) if chosen is not None else None


def _drawn(context: Context, node: ast.expr, place: Place) -> Iterator[Instance]:
    """Return the objects that an iteration goes over, through `enumerate`, `tqdm` and `zip`."""
    for one in traced(context.script, context.script.value(node, place)):
        if isinstance(one.base.value, Instance):
            yield one.base.value


def _made(context: Context, call: Call) -> Instance | None:
    return next(
        (known.value for known in each(context.script.made(call)) if isinstance(known.value, Instance)), None
    )


def _likeliest(context: Context, calls: list[Call]) -> Call | None:
    """Choose by shuffle or sampler, then by the name it is bound to, then the only one."""
    if len(calls) == 1:
        return None if _is_in_a_test(calls[0]) else calls[0]
    shuffled = [call for call in calls if _shuffles(context, call)]
    named = [call for call in shuffled or calls if not _is_for_evaluation(call)]
    return named[0] if named else None


def _shuffles(context: Context, call: Call) -> bool:
    if any(keyword.arg in {"sampler", "batch_sampler"} for keyword in call.node.keywords):
        return True
    shuffle = context.script.argument(call, "shuffle", 2)
    return shuffle is not None and not (isinstance(shuffle, Known) and shuffle.value is False)


def _is_in_a_test(call: Call) -> bool:
    """Return whether a loader is made in a function that tests: what trains draws from elsewhere."""
    node = call.place.scope.node
    name = node.name.lower() if isinstance(node, ast.FunctionDef) else ""
    return name.startswith(("test", "eval", "valid")) and "train" not in name


def _is_for_evaluation(call: Call) -> bool:
    names = [
        name.lower()
        for name, bindings in call.place.scope.bindings.items()
        for binding in bindings
        if binding.place is call.place
    ]
    node = call.place.scope.node
    if isinstance(node, ast.FunctionDef):
        names.append(node.name.lower())
    return any(part in name for part in _NOT_TRAINING for name in names) and not any(
        "train" in name for name in names
    )


def batch_size(context: Context, place: Place, loader: Instance | None) -> Setting[Any]:
    """Return the samples of a batch: the loader's, else a name that says so."""
    script = context.script
    if loader is None:
        return _by_name(context, place)
    sampler = script.argument(loader, "batch_sampler")
    if sampler is not None and not (isinstance(sampler, Known) and sampler.value is None):
        return _sampled(context, sampler)
    # timm's loader has the image size in between.
    is_timms = any(name.endswith("create_loader") for name in loader.names)
    found = settled(script.argument(loader, "batch_size", 2 if is_timms else 1), "micro_batch_size")
    if found is None:
        return Known(1, Origin("framework-default", "DataLoader(batch_size=1), torch's default"))
    if isinstance(found, Known) and found.value is None:
        return Unknown("the dataset makes the batches itself (batch_size=None)", found.origin)
    if isinstance(found, Unknown) or all(is_scalar(one.value) for one in each(found)):
        return found
    return Unknown(
        "the batch size is known only at run time; name it with --set micro_batch_size=…", _origin(found)
    )


def _sampled(context: Context, sampler: Setting[Any]) -> Setting[Any]:
    """Return the `batch_size` that a batch sampler is made with."""
    if isinstance(sampler, Known) and isinstance(sampler.value, Instance):
        given = settled(context.script.argument(sampler.value, "batch_size"), "micro_batch_size")
        if given is not None:
            return given
    why = "a batch sampler decides the batch size; name it with --set micro_batch_size=…"
    return Unknown(why, _origin(sampler))


def _origin(setting: Setting[Any]) -> Origin | None:
    return setting.origin if isinstance(setting, Known | Unknown) else None


def _by_name(context: Context, place: Place) -> Setting[Any]:
    from vramlint.facts import arguments  # noqa: PLC0415  these modules need each other

    evaluator = context.script.evaluator
    part = _minibatch(context)
    if part is not None:
        return part
    for name in (*_NAMES, *(name.upper() for name in _NAMES)):
        found = evaluator.name(name, place, None)
        if isinstance(found, Known) and isinstance(found.value, int) and not isinstance(found.value, bool):
            if found.value > _MOST_SAMPLES:
                why = f"{name} = {found.value} is too large for samples and may count tokens"
                return Unknown(f"{why}; name the samples with --set micro_batch_size=…", found.origin)
            return Known(
                found.value,
                Origin(
                    found.origin.kind,
                    f"{name} = {found.value}" if found.origin.kind == "source" else found.origin.detail,
                    found.origin.span,
                ),
            )
    for name in _NAMES:
        declared = arguments.declared(evaluator, name)
        if isinstance(declared, Known) and isinstance(declared.value, int):
            return declared
    passed = _passed(context)
    lettered = (batch for batch, _ in by_letters(context) if isinstance(batch, Known))
    passed = next(lettered, None) if passed is None else passed
    if passed is not None:
        return passed
    return Unknown("no DataLoader and no batch size was found; name it with --set micro_batch_size=…")


def _minibatch(context: Context) -> Setting[Any] | None:
    """Return what a script sets `args.minibatch_size` to: of a rollout's batch a step sees that part."""
    for scope in (context.script.names.module, *context.script.names.scopes.values()):
        for key, bindings in scope.bindings.items():
            value = bindings[-1].value if key.endswith(".minibatch_size") else None
            setting = context.script.value(value, bindings[-1].place) if value is not None else None
            if isinstance(setting, Known) and isinstance(setting.value, int):
                return setting
    return None


def _passed(context: Context) -> Setting[Any] | None:
    """Return a batch size that calls of the script pass by keyword, if all that train agree."""
    found: dict[object, Setting[Any]] = {}
    for name, calls in context.script.names.calls.items():
        for call in calls:
            if name in {"map", "filter"} or _is_for_evaluation(call):
                continue
            given = [keyword.value for keyword in call.node.keywords if keyword.arg in _NAMES]
            given += [part for part in call.node.args if _is_called_a_batch(part)]
            for node in given if context.script.evaluator.live(call.place) else ():
                setting = context.script.value(node, call.place)
                if isinstance(setting, Known) and isinstance(setting.value, int):
                    found.setdefault(setting.value, setting)
    return next(iter(found.values())) if len(found) == 1 else None


def by_letters(context: Context) -> Iterator[tuple[Setting[Any], Setting[Any]]]:
    """Yield the B and T that loaders of the program's own are made with: sequences in a batch, tokens in each."""
    for name, calls in context.script.names.calls.items():
        for call in calls if "loader" in name.lower() else ():
            given = {keyword.arg: keyword.value for keyword in call.node.keywords}
            made = _made(context, call)
            if made is not None and isinstance(made.local, Class):
                given |= dict(zip(_parameters(made.local), call.node.args, strict=False))
            is_live = context.script.evaluator.live(call.place) and not _is_for_evaluation(call)
            if is_live and "B" in given and "T" in given:
                yield (
                    context.script.value(given["B"], call.place),
                    context.script.value(given["T"], call.place),
                )


def _parameters(owner: Class) -> list[str]:
    """Return the names of what a class is made with."""
    made = (one for one in owner.node.body if isinstance(one, ast.FunctionDef) and one.name == "__init__")
    return [parameter.arg for one in made for parameter in one.args.args[1:]]


def _is_called_a_batch(node: ast.expr) -> bool:
    """Return whether an argument is a name or an attribute that says it is a batch size."""
    return isinstance(node, ast.Name | ast.Attribute) and terminal(node).lower() in _NAMES
