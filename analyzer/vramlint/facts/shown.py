"""Expressions as short text for a person."""

from __future__ import annotations

import ast


def source(node: ast.AST) -> str:
    """Return an expression as short text for a person."""
    if isinstance(node, ast.Constant):
        text = repr(node.value)
    elif isinstance(node, ast.Name):
        text = node.id
    elif isinstance(node, ast.arg):
        text = node.arg
    elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        text = node.name
    elif isinstance(node, ast.Import | ast.ImportFrom):
        text = ", ".join(alias.name for alias in node.names)
    else:
        text = _unparsed(node)
    return text if len(text) <= 80 else f"{text[:77]}..."  # noqa: PLR2004  counts arguments or characters


def _unparsed(node: ast.AST) -> str:
    # Unparsing a whole block or a deep tree would cost more than everything else.
    if isinstance(node, ast.stmt) and not isinstance(
        node, ast.Assign | ast.AugAssign | ast.AnnAssign | ast.Expr
    ):
        return type(node).__name__.lower()
    if isinstance(node, ast.Attribute):
        return f"{source(node.value)}.{node.attr}"
    if isinstance(node, ast.Call):
        return f"{source(node.func)}(…)" if node.args or node.keywords else f"{source(node.func)}()"
    if (
        isinstance(node, ast.Dict | ast.List | ast.Tuple | ast.Set)
        and len(list(ast.iter_child_nodes(node))) > 8  # noqa: PLR2004  counts arguments or characters
    ):
        return {"Dict": "{…}", "List": "[…]", "Tuple": "(…)", "Set": "{…}"}[type(node).__name__]
    try:
        return ast.unparse(node)
    except (RecursionError, ValueError):
        return type(node).__name__
