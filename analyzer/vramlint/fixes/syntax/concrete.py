"""Changes of one statement's concrete syntax, with libcst, which keeps every blank and comment around the change."""

from __future__ import annotations

from typing import TYPE_CHECKING

import libcst as cst

from vramlint.fixes.script import CannotEdit

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_HEADER = "if 1:\n"
"""Stands above an indented statement, so that it parses."""


_NO_BLANK = cst.SimpleWhitespace("")


def with_argument(text: str, callee: str, name: str, code: str, aliases: Sequence[str] = ()) -> str:
    """Return a statement in which the call of `callee` has `name=code`."""

    def change(call: cst.Call) -> cst.Call:
        value = cst.parse_expression(code)
        arguments = list(call.args)
        for index, argument in enumerate(arguments):
            if argument.keyword is not None and argument.keyword.value in {name, *aliases}:
                arguments[index] = argument.with_changes(value=value)
                return call.with_changes(args=arguments)
        return call.with_changes(args=_appended(call, name, value))

    return _changed(text, callee, change)


def without_argument(text: str, callee: str, name: str) -> str:
    """Return a statement in which the call of `callee` has no keyword `name`."""
    return _changed(text, callee, lambda call: call.with_changes(args=_without(call.args, (name,))))


def with_callee(text: str, callee: str, name: str, dropped: Sequence[str] = ()) -> str:
    """Return a statement that calls `name` where it called `callee`, without the dropped keywords."""

    def change(call: cst.Call) -> cst.Call:
        return call.with_changes(func=cst.parse_expression(name), args=_without(call.args, dropped))

    return _changed(text, callee, change)


def _without(arguments: Sequence[cst.Arg], dropped: Sequence[str]) -> list[cst.Arg]:
    kept = [one for one in arguments if one.keyword is None or one.keyword.value not in dropped]
    if kept and len(kept) < len(arguments) and kept[-1] is not arguments[-1]:
        last = arguments[-1]
        kept[-1] = kept[-1].with_changes(comma=last.comma, whitespace_after_arg=last.whitespace_after_arg)
    return kept


def _appended(call: cst.Call, name: str, value: cst.BaseExpression) -> list[cst.Arg]:
    """Return the arguments with one more, laid out as the last of them is."""
    arguments = list(call.args)
    tight = cst.AssignEqual(cst.SimpleWhitespace(""), cst.SimpleWhitespace(""))
    new = cst.Arg(value, keyword=cst.Name(name), equal=tight)
    if not arguments:
        return [new]
    last = arguments[-1]
    if last.star == "**":
        arguments[-1:] = [new.with_changes(comma=_between(call)), last]
        return arguments
    comma, ending = _between(call), last.comma
    arguments[-1] = last.with_changes(comma=_with_comment(comma, ending), whitespace_after_arg=_NO_BLANK)
    if not isinstance(ending, cst.Comma):
        return [*arguments, new.with_changes(whitespace_after_arg=last.whitespace_after_arg)]
    return [*arguments, new.with_changes(comma=_without_comment(ending))]


def _with_comment(comma: cst.Comma, ending: object) -> cst.Comma:
    """Return a comma that keeps the comment behind the one that it replaces."""
    after = comma.whitespace_after
    old = ending.whitespace_after if isinstance(ending, cst.Comma) else None
    if isinstance(after, cst.ParenthesizedWhitespace) and isinstance(old, cst.ParenthesizedWhitespace):
        return comma.with_changes(whitespace_after=after.with_changes(first_line=old.first_line))
    return comma


def _without_comment(comma: cst.Comma) -> cst.Comma:
    after = comma.whitespace_after
    if not isinstance(after, cst.ParenthesizedWhitespace):
        return comma
    return comma.with_changes(whitespace_after=after.with_changes(first_line=cst.TrailingWhitespace()))


def _between(call: cst.Call) -> cst.Comma:
    """Return the comma that stands between arguments of this call: with a line end where each has its own line."""
    for argument in call.args[:-1]:
        if isinstance(argument.comma, cst.Comma) and isinstance(
            argument.comma.whitespace_after, cst.ParenthesizedWhitespace
        ):
            plain = argument.comma.whitespace_after.with_changes(
                first_line=cst.TrailingWhitespace(), empty_lines=[]
            )
            return argument.comma.with_changes(whitespace_after=plain)
    if isinstance(call.whitespace_before_args, cst.ParenthesizedWhitespace):
        plain = call.whitespace_before_args.with_changes(first_line=cst.TrailingWhitespace(), empty_lines=[])
        return cst.Comma(whitespace_after=plain)
    return cst.Comma(whitespace_after=cst.SimpleWhitespace(" "))


class _Changer(cst.CSTTransformer):
    """Changes the first call of a name."""

    def __init__(self, callee: str, change: Callable[[cst.Call], cst.Call]) -> None:
        super().__init__()
        self.callee = callee
        self.change = change
        self.done = False

    def leave_Call(self, original_node: cst.Call, updated_node: cst.Call) -> cst.Call:  # noqa: N802  libcst's name
        if self.done or _dotted(original_node.func) != self.callee:
            return updated_node
        self.done = True
        return self.change(updated_node)


def _changed(text: str, callee: str, change: Callable[[cst.Call], cst.Call]) -> str:
    is_indented = text[:1].isspace()
    try:
        module = cst.parse_module(_HEADER + text + "\n" if is_indented else text + "\n")
    except cst.ParserSyntaxError as error:
        raise CannotEdit(f"libcst does not read the statement: {error.message}") from None
    changer = _Changer(callee, change)
    code = module.visit(changer).code
    if not changer.done:
        raise CannotEdit(f"no call of {callee} in the statement")
    return code.removeprefix(_HEADER if is_indented else "").removesuffix("\n")


def _dotted(node: cst.BaseExpression) -> str:
    parts = []
    while isinstance(node, cst.Attribute):
        parts.append(node.attr.value)
        node = node.value
    if isinstance(node, cst.Name):
        parts.append(node.value)
    return ".".join(reversed(parts))
