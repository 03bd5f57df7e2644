"""A hash of a method's source, so that a bench runs a method again after it was edited.

Over the file of its class and whatever that imports from `methods/`, transitively. Comments,
docstrings and layout do not count. The rooms below are covered by the version of excise.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
from importlib.util import find_spec
from pathlib import Path
from textwrap import dedent

from excise.methods.method import Method

ROOM = "excise.methods"


def code_of(method: type[Method]) -> str:
    """SHA-256 in hexadecimal."""
    trees: dict[str, str] = {}
    waiting = [method.__module__]
    while waiting:
        module = waiting.pop()
        if module in trees:
            continue
        tree = ast.parse(_text(module, method))
        trees[module] = ast.dump(_bare(tree))
        waiting += [name for name in _imported(tree) if name.startswith(f"{ROOM}.")]
    listed = "\n".join(f"{name} {trees[name]}" for name in sorted(trees))
    return hashlib.sha256(listed.encode()).hexdigest()


def _text(module: str, method: type[Method]) -> str:
    if module == method.__module__ and not module.startswith(f"{ROOM}."):
        return dedent(inspect.getsource(method))  # a method of somebody else's, perhaps a script's
    spec = find_spec(module)
    return Path(spec.origin).read_text("utf-8") if spec and spec.origin else ""


def _imported(tree: ast.AST) -> list[str]:
    """Modules named by `from x import y`; y may be a module too."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            inside = [f"{node.module}.{alias.name}" for alias in node.names]
            found += [node.module, *(name for name in inside if _is_module(name))]
    return found


def _is_module(name: str) -> bool:
    if not name.startswith(f"{ROOM}."):
        return False
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:  # a name inside a module
        return False


def _bare(tree: ast.AST) -> ast.AST:
    """The tree without docstrings."""
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [s for s in body if not _is_text(s)]  # type: ignore[attr-defined]
    return tree


def _is_text(statement: ast.AST) -> bool:
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )
