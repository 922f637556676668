"""Training loops written by hand: `.backward()`, `optimizer.step()`, DataLoader, autocast."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any

from vramlint.facts.inspect_values import each
from vramlint.facts.names import Arm, Call, Place, Scope, root, terminal
from vramlint.facts.script import is_from, lift
from vramlint.facts.setting import Known, OneOf, Origin, Setting, Unknown
from vramlint.facts.shown import source
from vramlint.facts.values import Bound, Instance, Items, Record, Symbol
from vramlint.frontends import freezing, loaders, model_objects, optimizers, smoothing, timm
from vramlint.frontends.base import Context, Training, assumed
from vramlint.frontends.trace import traced

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_EVALUATION = ("eval", "valid", "test", "sample", "generate", "predict", "infer", "visual")
_MODEL_LIBRARIES = {"torchvision", "timm", "transformers"}
# timm.utils.NativeScaler and its copies in MAE, DeiT, Swin and others, by the names they are bound to.
_SCALERS = ("loss_scaler", "amp_scaler", "grad_scaler", "scaler")
_MODEL_NAMES = (
    "model",
    "net",
    "self.model",
    "self.net",
    "unet",
    "transformer",
    "policy",
    "policy_model",
    "student",
    "generator",
    "gpt",
    "network",
    "classifier",
    "encoder",
    "vae",
    "ddp_model",
    "model_engine",
    "engine",
)


def trainings(context: Context) -> Iterator[Training]:
    """Find loops that call `.backward()` and step an optimizer; those of one function are one training."""
    script = context.script
    seen: set[object] = set()
    scaled = [call for call in script.calls(*_SCALERS) if _is_scaled(call)]
    calls = script.calls("backward", "manual_backward")
    written = [call for call in calls if _is_backward(call) and _steps(context, call)]
    helped = [call for call in calls if isinstance(call.node.func, ast.Name) and _is_helped(context, call)]
    for call in sorted((*written, *scaled, *helped), key=lambda call: call.place.order):
        if _is_of_a_library(context, call):
            continue
        key = (
            (call.place.scope, call.place.loops[:1])
            if call.place.scope.kind == "module"
            else call.place.scope
        )
        if key in seen:
            continue
        seen.add(key)
        yield _training(context, call)


def _is_scaled(call: Call) -> bool:
    """Return whether a call is timm's `loss_scaler(loss, optimizer, …)`, which does backward and step in one."""
    arguments = call.node.args
    return len(arguments) > 1 and "optim" in terminal(arguments[1]).lower()


def _is_helped(context: Context, call: Call) -> bool:
    """Return whether a call is a function of the program, `backward(loss, scaler)`, in a loop that steps."""
    steps = context.script.calls("step")
    return bool(call.node.args) and any(step.place.scope is call.place.scope for step in steps)


def _is_backward(call: Call) -> bool:
    """Tell a loop's backward from the definition of an operator's or a library's own."""
    if not isinstance(call.node.func, ast.Attribute):
        return False
    scope: Scope | None = call.place.scope
    while scope is not None:
        node = scope.node
        if isinstance(node, ast.FunctionDef) and node.name in {
            "backward",
            "manual_backward",
            "training_step",
            "compute_loss",
        }:
            return False
        scope = scope.parent
    return True


def _is_of_a_library(context: Context, call: Call) -> bool:
    """Return whether a loop is a method of a class that nothing in the program makes an object of."""
    scope: Scope | None = call.place.scope
    if scope in context.script.reached:
        return False
    while scope is not None and not isinstance(scope.node, ast.ClassDef):
        scope = scope.parent
    if scope is None or not isinstance(scope.node, ast.ClassDef):
        return False
    owners = {scope.node.name}
    for node in context.script.names.scopes:
        if isinstance(node, ast.ClassDef) and any(terminal(base) in owners for base in node.bases):
            owners.add(node.name)
    return not owners & set(context.script.names.calls)


def _steps(context: Context, call: Call) -> bool:
    """Return whether an optimizer is stepped in the file and the loop is not a library's."""
    script = context.script
    steps = [
        c
        for c in script.calls("step")
        if isinstance(c.node.func, ast.Attribute) and "sched" not in source(c.node.func).lower()
    ]
    if not steps:
        return False
    if any(_is_of_the_same_engine(call, step) for step in steps):
        return True
    if any(step.place.scope is call.place.scope for step in steps):
        return call.place.scope.kind == "module" or bool(optimizers.made(context)) or _zeroes(context, call)
    return bool(optimizers.made(context))


def _is_of_the_same_engine(call: Call, step: Call) -> bool:
    """Return whether `engine.backward(loss)` and `engine.step()` are methods of one object, DeepSpeed's."""
    parts = (call.node.func, step.node.func)
    owners = {source(part.value) for part in parts if isinstance(part, ast.Attribute)}
    return bool(call.node.args) and step.place.scope is call.place.scope and len(owners) == 1


def _zeroes(context: Context, call: Call) -> bool:
    return any(zero.place.scope is call.place.scope for zero in context.script.calls("zero_grad"))


def _training(context: Context, call: Call) -> Training:
    optimizer = optimizers.stepped(context, call.place)
    several = _trained_at_once(context, call) if isinstance(optimizer, Unknown) else None
    model = _model(context, call, optimizer) if several is None else several
    own = optimizers.alike(context, call.place) if isinstance(several, Unknown) else None
    loader = loaders.feeding(context, call.place)
    found: dict[str, Setting[Any]] = {
        "optimizer": own or optimizers.described(context, optimizer),
        "micro_batch_size": loaders.batch_size(context, call.place, loader),
        "gradient_accumulation_steps": _accumulation(context, call),
        "loop": _loop(context, call),
        **smoothing.smoothed(context),
    }
    if isinstance(several, Unknown):
        found |= _each_trained(context, call, several)
    precision = _autocast(context, call)
    if precision is not None:
        found["mixed_precision"] = precision
    return Training("torch", call, model, settings=found)


def _model(context: Context, call: Call, optimizer: Setting[Any] | None) -> Setting[Any] | None:
    """Return the object that is trained: whose parameters the optimizer has, else what is called a model."""
    script = context.script
    for one in traced(script, optimizer):
        made = one.base.value
        if isinstance(made, Instance) and made.call is not None and not _is_made_by_the_model(made):
            found = _parameters_of(context, made)
            if found is not None:
                return found
    for name in _MODEL_NAMES:
        first, _, attribute = name.partition(".")
        if attribute:
            continue
        found = script.evaluator.name(first, call.place, None)
        if found is not None and not isinstance(found, Unknown):
            return found
    return _called(context, call)


def _is_made_by_the_model(made: Instance) -> bool:
    """Return whether an optimizer is made in a method of a module, out of the parameters of its parts."""
    owner = made.place.scope.parent
    bases = owner.node.bases if owner is not None and isinstance(owner.node, ast.ClassDef) else ()
    return any(terminal(base) == "Module" for base in bases)


def _called(context: Context, call: Call) -> Setting[Any] | None:
    """Return what the function around a backward calls as a model, such as `self.model(batch)`."""
    for name, calls in context.script.names.calls.items():
        for other in calls if name else ():
            if other.place.scope is call.place.scope and _calls_model(other.node):
                found = context.script.value(other.node.func, other.place)
                if any(isinstance(one.base.value, Instance) for one in traced(context.script, found)):
                    return found
    return None


def _each_trained(context: Context, call: Call, several: Unknown) -> dict[str, Setting[Any]]:
    """Return the models that are trained at once as alternatives: which of them is the larger is not known."""
    owners = [one for _, model in _owners(context, call).values() for one in traced(context.script, model)]
    settings = [model_objects.described(context, one) for one in owners]
    models = tuple(one for one in settings if isinstance(one, Known))
    why = several.reason.partition(";")[0]
    found: dict[str, Setting[Any]] = {
        "extra_models": Unknown(
            f"{why}; name those beside the largest with --set extra_models=…", several.origin
        )
    }
    if len(models) == len(settings) > 1:
        found["model"] = OneOf(models, several.reason)
    return found


def _trained_at_once(context: Context, call: Call) -> Setting[Any] | None:
    """Return what several optimizers train: one model that they share, or an unknown that names the models."""
    owners = _owners(context, call)
    if not owners:
        return None
    shown = [detail for detail, _ in owners.values()]
    if len(shown) == 1:
        return next(iter(owners.values()))[1]
    why = f"{len(shown)} models are trained at once, {' and '.join(shown[:3])}"
    origin = context.script.origin(call.node, call.place)
    return Unknown(
        f"{why}; name the larger with --set model=… and the rest with --set extra_models=…", origin
    )


def _owners(context: Context, call: Call) -> dict[object, tuple[str, Setting[Any]]]:
    """Return the models whose parameters the optimizers of a loop have, each with what it is shown as."""
    owners: dict[object, tuple[str, Setting[Any]]] = {}
    for candidate in optimizers.candidates(context, call.place):
        for one in traced(context.script, candidate):
            made = one.base.value
            found = (
                _parameters_of(context, made)
                if isinstance(made, Instance) and made.call is not None
                else None
            )
            for begun in traced(context.script, found):
                assert found is not None
                owners.setdefault(begun.key, (begun.base.origin.detail, found))
    return owners


def _parameters_of(context: Context, made: Instance) -> Setting[Any] | None:
    """Return the model whose `.parameters()` an optimizer was made with."""
    argument = context.script.argument(made, "params", 0)
    if timm.is_factory(made):
        return timm.trained(context, made)
    for known in each(argument) if argument is not None else ():
        found = _owner(context, known.value, 0)
        if found is not None:
            return found
    return None


def _owner(context: Context, value: Any, depth: int) -> Setting[Any] | None:
    if depth > 4 or value is None:  # noqa: PLR2004  counts arguments or characters
        return None
    evaluator = context.script.evaluator
    if isinstance(value, Items) and value.items:
        return next((one for item in value.items[:4] for known in each(evaluator.force(item))
                     if (one := _owner(context, known.value, depth + 1))), None)  # fmt: skip
    if isinstance(value, Record) and "params" in value.items:
        groups = each(evaluator.force(value.items["params"]))
        return next((one for known in groups if (one := _owner(context, known.value, depth + 1))), None)
    if isinstance(value, Instance) and value.method in {"parameters", "named_parameters"}:
        return _whole(context, value)
    if isinstance(value, Instance) and value.call is not None and value.call.args:
        inner = evaluator.evaluate(value.call.args[-1], value.place, value.frame)
        return next((one for known in each(inner) if (one := _owner(context, known.value, depth + 1))), None)
    return None


def _whole(context: Context, parameters: Instance) -> Setting[Any] | None:
    """Return the model that `model.fc.parameters()` is a part of, where the script says what else is frozen."""
    receiver = _put_in(context, parameters) or parameters.receiver
    part = receiver.value if isinstance(receiver, Known) else None
    if not (isinstance(part, Bound) and isinstance(part.of, Instance) and part.of.names):
        return receiver
    if next(freezing.frozen(context), None) is not None:
        return Known(part.of, Origin("source", part.attribute))
    call = parameters.call
    origin = context.script.origin(call, parameters.place) if call is not None else None
    return Unknown(
        f"the optimizer has only the parameters of its `{part.attribute}`, and the rest is not frozen here; "
        "name the model with --set model=… and what is frozen with --set frozen='[…]'",
        origin,
    )


def _put_in(context: Context, parameters: Instance) -> Setting[Any] | None:
    """Return `model.fc` as a part of a library's model, where the script put a new module in its place."""
    node = (
        parameters.call.func.value
        if parameters.call and isinstance(parameters.call.func, ast.Attribute)
        else None
    )
    if not isinstance(node, ast.Attribute):
        return None
    for known in each(context.script.value(node.value, parameters.place, parameters.frame)):
        if isinstance(known.value, Instance) and is_from(
            known.value.names, _MODEL_LIBRARIES, _last(known.value)
        ):
            return Known(Bound(known.value, node.attr), known.origin)
    return None


def _last(made: Instance) -> set[str]:
    return {name.rpartition(".")[2] for name in made.names}


def _at(context: Context, made: Instance, detail: str) -> Origin:
    assert made.call is not None
    return context.script.origin(made.call, made.place, detail)


def _accumulation(context: Context, call: Call) -> Setting[Any]:
    """Return how many backward passes go into one step: `if i % n == 0`, or an inner loop over n."""
    script = context.script
    scope = call.place.scope
    for step in script.calls("step"):
        if step.place.scope is not scope or "sched" in source(step.node.func).lower():
            continue
        # A step with a backward of its own in the same branch is of another model: a GAN's generator.
        alone = [arm for arm in step.place.path if not _goes_back_in(context, call, arm)]
        for arm in alone:
            if arm in call.place.path or not isinstance(arm.branch, ast.If) or arm.place is None:
                continue
            divisor = _divisor(_spelled_out(context, arm.branch.test, arm.place))
            if divisor is not None:
                return script.value(divisor, arm.place)
        skipped = _skipped_by(call, step)
        if skipped is not None:
            return script.value(skipped, step.place)
        inner = [loop for loop in call.place.loops if loop not in step.place.loops]
        if inner and isinstance(inner[-1], ast.For) and (count := _range(inner[-1].iter)) is not None:
            return script.value(count, call.place)
    skipped = _skipped(call) or _divided(call)
    if skipped is not None:
        return script.value(skipped, call.place)
    return assumed(1, "every backward is followed by a step")


def _goes_back_in(context: Context, call: Call, arm: Arm) -> bool:
    others = (one for one in context.script.calls("backward", "manual_backward") if one.node is not call.node)
    return any(one.place.scope is call.place.scope and arm in one.place.path for one in others)


def _skipped(call: Call) -> ast.expr | None:
    """Return n of `if (i + 1) % n: continue` between backward and step."""
    for loop in reversed(call.place.loops[-1:]):
        for statement in getattr(loop, "body", ()):
            if (
                isinstance(statement, ast.If)
                and statement.body
                and isinstance(statement.body[-1], ast.Continue)
            ):
                divisor = _divisor(statement.test)
                if divisor is not None and statement.lineno > call.node.lineno:
                    return divisor
    return None


def _divided(call: Call) -> ast.expr | None:
    """Return n of `loss = loss / accumulation_steps` or `(loss / accumulation_steps).backward()`."""
    loss = call.node.func.value if isinstance(call.node.func, ast.Attribute) else call.node.args[0]
    parts = [loss, *(value for _, value, _ in _loop_bindings(call))]
    for part in parts:
        for node in ast.walk(part):
            if (
                isinstance(node, ast.BinOp)
                and isinstance(node.op, ast.Div)
                and "accum" in source(node.right).lower()
            ):
                return node.right
    return None


def _skipped_by(call: Call, step: Call) -> ast.expr | None:
    """Return n of `if (i + 1) % n: continue` between backward and step."""
    body = call.place.loops[-1].body if call.place.loops[-1:] == step.place.loops[-1:] != () else []  # type: ignore[attr-defined]
    for statement in body:
        between = call.node.lineno <= statement.lineno < step.node.lineno
        if between and isinstance(statement, ast.If) and isinstance(statement.body[-1], ast.Continue):
            divisor = _divisor(statement.test)
            if divisor is not None:
                return divisor
    return None


def _spelled_out(context: Context, test: ast.expr, place: Place) -> ast.expr:
    """Return what a name in a test was assigned, so that `if not is_accumulating` shows its modulo."""
    inner = test.operand if isinstance(test, ast.UnaryOp) else test
    if not isinstance(inner, ast.Name):
        return test
    bindings, _, _ = context.script.evaluator.bindings(inner.id, place, None)
    return bindings[0].value if bindings and bindings[0].value is not None else test


def _divisor(test: ast.expr) -> ast.expr | None:
    """Return n of a test such as `(i + 1) % n == 0`."""
    for node in ast.walk(test):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod):
            return node.right
    return None


def _range(node: ast.expr) -> ast.expr | None:
    if isinstance(node, ast.Call) and terminal(node.func) == "range" and len(node.args) == 1:
        return node.args[0]
    return None


def _loop(context: Context, call: Call) -> Setting[Any]:
    """Return how the loop is written: where gradients are dropped, and whether outputs outlive backward."""
    script = context.script
    scope, order = call.place.scope, call.place.order
    forward = _forward(context, call)
    found: dict[str, Any] = {"set_to_none": True, "zero_grad": "end", "keeps_outputs": _keeps(call)}
    for zero in script.calls("zero_grad"):
        if zero.place.scope is not scope:
            continue
        given = script.argument(zero, "set_to_none", 0)
        if isinstance(given, Known) and given.value is False:
            found["set_to_none"] = False
        before = zero.place.order < order
        found["zero_grad"] = (
            "end" if not before else "start" if zero.place.order < forward else "before_backward"
        )
    for clip in script.calls("clip_grad_norm_"):
        limit = script.argument(clip, "max_norm", 1)
        if isinstance(limit, Known) and isinstance(limit.value, int | float) and limit.value > 0:
            found["clip_grad_norm"] = float(limit.value)
    return Known(found, script.origin(call.node, call.place, "the loop as written"))


def _forward(context: Context, call: Call) -> int:
    """Return the rank of the statement that begins the forward pass: the first model call of the loop."""
    place = call.place
    ranks = [
        other.place.order
        for calls in context.script.names.calls.values()
        for other in calls
        if other.place.scope is place.scope
        and other.place.order < place.order
        and other.place.loops[-1:] == place.loops[-1:]
        and _calls_model(other.node)
    ]
    return min(ranks, default=place.order)


def _keeps(call: Call) -> bool:
    """Return whether a name still holds the model's outputs when backward runs."""
    loss = source(call.node.func.value if isinstance(call.node.func, ast.Attribute) else call.node.args[0])
    for name, value, _ in _loop_bindings(call):
        if isinstance(value, ast.Call) and _calls_model(value) and name != loss:
            return True
    return False


def _calls_model(node: ast.Call) -> bool:
    text = terminal(node.func).lower()
    return any(part in text for part in ("model", "net", "policy", "student", "transformer")) or text in {
        "engine",
        "gpt",
    }


def _loop_bindings(call: Call) -> list[tuple[str, ast.expr, Place]]:
    """Return what is assigned before backward in the same loop."""
    scope, loops = call.place.scope, call.place.loops
    return [
        (name, binding.value, binding.place)
        for name, bindings in scope.bindings.items()
        for binding in bindings
        if binding.value is not None
        and binding.place.order < call.place.order
        and binding.place.loops[-1:] == loops[-1:]
    ]


def _autocast(context: Context, backward: Call) -> Setting[Any] | None:
    """Return the dtype of the autocast around the forward pass, None where there is none."""
    script = context.script
    module = root(backward.place.scope)
    names = script.evaluator.modules.loaded.get(module, script.names)
    found = [
        _autocast_dtype(context, known.value)
        for expression, place, _ in names.withs
        if _is_around(context, backward, place)
        for known in each(script.value(expression, place))
        if isinstance(known.value, Instance) and is_from(known.value.names, {"torch"}, {"autocast"})
    ]
    # An inner `autocast(enabled=False)` keeps a part of the forward pass in float32, not all of it.
    on = [one for one in found if not (isinstance(one, Known) and one.value == "no")]
    if found:
        return (on or found)[0]
    for scope in script.names.scopes.values():
        for node in getattr(scope.node, "decorator_list", ()):
            call = Call(node, scope.place) if isinstance(node, ast.Call) and scope.place else None
            if call and is_from(script.callee(call), {"torch"}, {"autocast", "custom_fwd"}):
                return _autocast_dtype(context, Instance(script.callee(call), call.node, call.place))
    return None


def _is_around(context: Context, backward: Call, place: Place) -> bool:
    """Return whether a `with` may hold the forward pass: in the loop before backward, or in a function it calls."""
    if not context.script.evaluator.live(place) or _in_evaluation(place):
        return False
    if place.scope is not backward.place.scope:
        return True
    shared = not backward.place.loops or bool(set(place.loops) & set(backward.place.loops))
    return shared and place.order <= backward.place.order


def _autocast_dtype(context: Context, made: Instance) -> Setting[Any] | None:
    script = context.script
    assert made.call is not None
    enabled = script.argument(made, "enabled", 2 if made.names[0].count(".") == 1 else 0)
    if isinstance(enabled, Known) and enabled.value is False:
        return Known("no", enabled.origin)
    dtype = script.argument(made, "dtype", 1)
    if dtype is None or (isinstance(dtype, Known) and dtype.value is None):
        why = "autocast on CUDA is float16 unless a dtype is given"
        return Known("fp16", script.origin(made.call, made.place, why))
    return lift(dtype, _precision)


def _precision(known: Known[Any]) -> Setting[Any]:
    value = known.value.name if isinstance(known.value, Symbol) else known.value
    short = {"bfloat16": "bf16", "float16": "fp16", "half": "fp16", "float32": "no"}.get(
        str(value).removeprefix("torch.")
    )
    if short is None:
        return Unknown(f"the autocast dtype {known.origin.detail} is known only at run time", known.origin)
    return Known(short, known.origin)


def _in_evaluation(place: Place) -> bool:
    node = place.scope.node
    name = node.name.lower() if isinstance(node, ast.FunctionDef) else ""
    return "train" not in name and any(part in name for part in _EVALUATION)


def settings(context: Context, training: Training) -> Mapping[str, Setting[Any]]:
    """Read what a plain torch script says beside the loop: compile and data-parallel wrappers."""
    found: dict[str, Setting[Any]] = {}
    for one in traced(context.script, training.model):
        for made in one.through:
            if is_from(made.names, {"torch"}, {"compile"}) and made.call is not None:
                found["compile"] = Known(True, _at(context, made, "torch.compile(…)"))  # noqa: FBT003  the setting's own value
            if is_from(made.names, {"torch"}, {"DataParallel"}) and made.call is not None:
                found["sharding"] = Known(
                    {"kind": "dp", "world_size": 1}, _at(context, made, "DataParallel(…)")
                )
            if is_from(made.names, {"torch"}, {"DistributedDataParallel"}) and made.call is not None:
                found["sharding"] = _distributed(context, made)
    if "sharding" not in found and (wrapped := _wrapped(context)) is not None:
        found["sharding"] = wrapped
    compiled = None if "compile" in found else _compiled(context, training)
    return found if compiled is None else {**found, "compile": compiled}


def _wrapped(context: Context) -> Setting[Any] | None:
    """Return the data parallelism of a wrapper that is surely called, where the model is not followed to it."""
    script = context.script
    for call in script.calls("DistributedDataParallel", "DDP"):
        is_own = root(call.place.scope) is script.names.module
        if (
            is_own
            and is_from(script.callee(call), {"torch"}, {"DistributedDataParallel"})
            and all(script.evaluator.decided(arm) for arm in call.place.path)
        ):
            return _distributed(context, Instance(script.callee(call), call.node, call.place))
    return None


def _compiled(context: Context, training: Training) -> Setting[Any] | None:
    """Return whether the model is compiled after the optimizer was made with its parameters."""
    script = context.script
    trained = {one.key for one in traced(script, training.model)}
    for call in script.calls("compile"):
        if not is_from(script.callee(call), {"torch"}, {"compile"}) or not script.evaluator.live(call.place):
            continue
        if trained & {one.key for one in traced(script, script.argument(call, "model", 0))}:
            origin = script.origin(call.node, call.place, "torch.compile(…)")
            if all(script.evaluator.decided(arm) for arm in call.place.path):
                return Known(True, origin)  # noqa: FBT003  the setting's own value
            return Unknown("the run decides whether the model is compiled", origin)
    return None


def _distributed(context: Context, made: Instance) -> Setting[Any]:
    count = context.world_size.value if context.world_size is not None else 2
    return Known({"kind": "ddp", "world_size": count}, _at(context, made, "DistributedDataParallel(…)"))
