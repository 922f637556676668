"""What a function's parameter holds: the argument of each call in the file, or its default."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any

from vramlint.facts import arguments, attributes, hydra, parsers
from vramlint.facts.attributes import keyword
from vramlint.facts.names import root
from vramlint.facts.setting import Known, Origin, Setting, Unknown
from vramlint.facts.values import Bound, Class, Frame, Function, Instance, Record, is_scalar

if TYPE_CHECKING:
    from vramlint.facts.evaluate import Evaluator
    from vramlint.facts.names import Binding, Call, Place, Scope

MOST_CALLS = 6
_SECTIONS = ("model.", "data.", "model.init_args.", "data.init_args.")


def argument(evaluator: Evaluator, binding: Binding, frame: Frame | None) -> Setting[Any]:
    """Return what a parameter holds, in the given call or in any call of the file."""
    scope = binding.place.scope
    name = binding.target
    if name in {"self", "cls"} and scope.parent is not None and scope.parent.kind == "class":
        return _own_object(evaluator, binding, scope, frame)
    at = frame
    while at is not None:
        if at.scope is scope:
            return _passed(evaluator, binding, at.call) or _default(evaluator, binding)
        at = at.parent
    calls = sites(evaluator, scope)
    if not calls:
        return _spawned(evaluator, binding) or _default(evaluator, binding)
    if len(calls) > MOST_CALLS:
        return _default(evaluator, binding)
    settings = []
    for call in calls:
        made = Instance((), call.node, call.place, local=_function(scope))
        settings.append(_passed(evaluator, binding, made) or _default(evaluator, binding))
    return evaluator.joined(settings, f"parameter `{name}` differs between calls")


def _spawned(evaluator: Evaluator, binding: Binding) -> Setting[Any] | None:
    """Return what `mp.spawn(function, args=(…))` or `Process(target=function, args=(…))` gives a parameter."""
    scope = binding.place.scope
    function = scope.node
    if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
        return None
    names = [parameter.arg for parameter in (*function.args.posonlyargs, *function.args.args)]
    for name, ahead in (("spawn", 1), ("Process", 0)):
        for call in evaluator.names.calls.get(name, ()):
            given = {keyword.arg: keyword.value for keyword in call.node.keywords}
            target = given.get("target", given.get("fn", call.node.args[0] if call.node.args else None))
            passed = given.get("args", call.node.args[1] if ahead and len(call.node.args) > 1 else None)
            if not isinstance(target, ast.Name) or passed is None or not evaluator.live(call.place):
                continue
            meant = evaluator.evaluate(target, call.place)
            is_own = (
                isinstance(meant, Known) and isinstance(meant.value, Function) and meant.value.scope is scope
            )
            index = names.index(binding.target) - ahead if binding.target in names else -1
            if is_own and index >= 0:
                return evaluator.unpacked(passed, (index,), call.place, None)
    return None


def rest(evaluator: Evaluator, binding: Binding, frame: Frame | None) -> Setting[Any] | None:
    """Return what `**kwargs` holds: what the call gives beyond the named parameters, or click's options."""
    scope = binding.place.scope
    function = scope.node
    if (
        not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        or function.args.kwarg is not binding.node
    ):
        return None
    options = arguments.all_decorated(evaluator, scope)
    if options is not None:
        return options
    at = frame
    while at is not None and at.scope is not scope:
        at = at.parent
    calls = [] if at is not None else sites(evaluator, scope)
    made = (
        at.call
        if at is not None
        else Instance((), calls[0].node, calls[0].place)
        if len(calls) == 1
        else None
    )
    if made is None or made.call is None:
        return None
    named = {parameter.arg for parameter in (*function.args.args, *function.args.kwonlyargs)}
    parts: list[Setting[Any]] = []
    for given in made.call.keywords:
        if given.arg is None:
            parts.append(evaluator.evaluate(given.value, made.place, made.frame))
        elif given.arg not in named:
            inner: Setting[Any] = evaluator.evaluate(given.value, made.place, made.frame)
            parts.append(evaluator.known(Record({given.arg: inner}), given.value, made.place))
    if any(not isinstance(part, Known) for part in parts):
        return None
    return attributes.merged(evaluator, parts, made.call, made.place)


def _ungiven(evaluator: Evaluator, binding: Binding) -> Setting[Any]:
    """Return a parameter without a default that nothing here gives: a command's, a handler's, or unknown."""
    name, scope = binding.target, binding.place.scope
    origin = evaluator.origin(binding.node, binding.place)
    handled = parsers.handler_arguments(evaluator, scope)
    if handled is not None:
        return handled
    if parsers.is_command(evaluator, scope):
        return parsers.command_object(evaluator, binding) or arguments.without_default(name, origin)
    return Unknown(f"`{name}` is a parameter that no call in this file gives", origin)


def sites(evaluator: Evaluator, scope: Scope) -> list[Call]:
    """Return the live calls of a function in the file, those inside itself left out."""
    if not isinstance(scope.node, ast.FunctionDef | ast.AsyncFunctionDef):
        return []
    name = scope.node.name
    is_method = scope.parent is not None and scope.parent.kind == "class"
    if name == "__init__" and scope.parent is not None and isinstance(scope.parent.node, ast.ClassDef):
        name = scope.parent.node.name
    found = []
    for call in evaluator.names.calls.get(name, ()):
        if call.place.scope is scope or not evaluator.live(call.place):
            continue
        if isinstance(call.node.func, ast.Name) and is_method and name == scope.node.name:
            continue
        if not _calls(evaluator, call, scope, is_method=is_method and name == scope.node.name):
            continue
        found.append(call)
    # A function may be called by another name: what was followed there knows.
    return found or evaluator.callers.get(scope, [])


def _calls(evaluator: Evaluator, call: Call, scope: Scope, *, is_method: bool) -> bool:
    """Return whether a call of the right name means this function: in its own module, by its name alone."""
    if root(call.place.scope) is root(scope):
        return is_method or not isinstance(call.node.func, ast.Attribute)
    if is_method:
        return isinstance(call.node.func, ast.Attribute)
    callee = evaluator.evaluate(call.node.func, call.place)
    if not isinstance(callee, Known):
        return False
    own = scope.parent if scope.parent is not None and scope.parent.kind == "class" else scope
    return isinstance(callee.value, Function | Class) and callee.value.scope is own


def first_call(evaluator: Evaluator, scope: Scope, frame: Frame | None) -> Place | None:
    """Return the place of the call a function is read for, or of its first call in the file."""
    at = frame
    while at is not None:
        if at.scope is scope:
            return at.call.place
        at = at.parent
    if not isinstance(scope.node, ast.FunctionDef | ast.AsyncFunctionDef):
        return None
    for call in evaluator.names.calls.get(scope.node.name, ()):
        if isinstance(call.node.func, ast.Name) and call.place.scope is not scope:
            return call.place
    return None


def _function(scope: Scope) -> Function | None:
    node = scope.node
    return Function(node, scope) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) else None


def _own_object(evaluator: Evaluator, binding: Binding, scope: Scope, frame: Frame | None) -> Setting[Any]:
    """Return the object a method works on: that of the call, else any object of the class."""
    assert scope.parent is not None
    if binding.target == "cls" and isinstance(scope.parent.node, ast.ClassDef):
        return evaluator.known(Class(scope.parent.node, scope.parent), binding.node, binding.place)
    at = frame
    while at is not None:
        if at.scope is scope and at.call.receiver is not None and at.call.method is not None:
            return at.call.receiver
        if at.scope is scope and isinstance(at.call.local, Class):
            return Known(at.call, Origin("source", binding.target))
        at = at.parent
    node = scope.parent.node
    assert isinstance(node, ast.ClassDef)
    owner = Class(node, scope.parent)
    constructed = [call for call in evaluator.names.calls.get(node.name, ()) if evaluator.live(call.place)]
    call = constructed[0] if len(constructed) == 1 else None
    place = call.place if call else binding.place
    names = tuple(evaluator.base_names(owner))
    return Known(
        Instance(names, call.node if call else None, place, local=owner),
        evaluator.origin(node, scope.parent.place or place),
    )


def _passed(evaluator: Evaluator, binding: Binding, call: Instance) -> Setting[Any] | None:
    """Return the argument that a call gives a parameter, None if it leaves it out."""
    function = binding.place.scope.node
    assert isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
    positional = [parameter.arg for parameter in (*function.args.posonlyargs, *function.args.args)]
    if positional[:1] in (["self"], ["cls"]):
        positional = positional[1:]
    position = positional.index(binding.target) if binding.target in positional else None
    return keyword(evaluator, call, binding.target, position)


def _default(evaluator: Evaluator, binding: Binding) -> Setting[Any]:  # noqa: PLR0911  one early return for each kind of value
    """Return a parameter's default; it is as weak as that of a command-line argument."""
    scope = binding.place.scope
    option = arguments.decorated(evaluator, scope, binding.target)
    if option is not None:
        return option
    composed = hydra.configuration(evaluator, scope)
    if composed is not None:
        return composed
    name = binding.target
    # LightningCLI fills the parameters of modules by section.
    sections = ("", *_SECTIONS) if "LightningCLI" in evaluator.names.calls else ("",)
    flag = arguments.flag_of(evaluator, name, sections)
    if flag is not None:
        return flag
    if binding.value is None:
        return _ungiven(evaluator, binding)
    place = scope.place or binding.place
    setting = evaluator.evaluate(binding.value, place)
    inner = parsers.typer_default(evaluator, setting.value, name) if isinstance(setting, Known) else None
    if inner is not None:
        return inner
    if isinstance(setting, Known) and is_scalar(setting.value):
        origin = evaluator.origin(binding.value, place, "argument-default", f"default of parameter {name}")
        return Known(setting.value, origin)
    if isinstance(setting, Known) and isinstance(setting.value, Bound):
        return evaluator.run_time(binding.value, place)
    return setting
