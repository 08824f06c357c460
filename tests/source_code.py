"""The project's own source code, as the tests that guard it read it."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "imgcls"
COMMANDS = sorted((ROOT / "cli").glob("*.py"))
MODULES = sorted([*PACKAGE.rglob("*.py"), *COMMANDS])
"""Every module that is installed."""
_CHECKING = ("TYPE_CHECKING", "typing.TYPE_CHECKING")


def name_module(path: Path) -> str:
    """Return `imgcls.models.cnn` for its file, and `cli.main` for a command's."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def list_imports(text: str, *, when_called: bool) -> set[str]:
    """Return the names that a module imports: `a.b` for `import a.b`, `a` and `a.b` for
    `from a import b`.

    Args:
        when_called: whether imports inside functions count, and those for the type checker alone;
            else those that run when the module is imported, at whatever depth they stand.
    """
    names = set()
    for node in _walk(ast.parse(text), when_called):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            names.update([module, *[f"{module}.{alias.name}" for alias in node.names]])
    return names


def _walk(node: ast.AST, when_called: bool) -> Iterator[ast.AST]:
    yield node
    for name, value in ast.iter_fields(node):
        runs_later = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for_checker = isinstance(node, ast.If) and ast.unparse(node.test) in _CHECKING
        if not when_called and name == "body" and (runs_later or for_checker):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from _walk(child, when_called)


def list_zones(text: str) -> list[str]:
    """Return the zones that a module's docstring states, `Light` or `Heavy`."""
    docstring = " ".join((ast.get_docstring(ast.parse(text)) or "").split())
    return re.findall(r"\b(Light|Heavy) zone\b", docstring)


def list_texts(tree: ast.AST) -> list[str]:
    """Return the string constants of a module or a part of it, without docstrings."""
    documentation = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    return [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and id(node) not in documentation
    ]


def list_classes(text: str) -> list[str]:
    """Return the names of the classes at the top of a module."""
    return [node.name for node in ast.parse(text).body if isinstance(node, ast.ClassDef)]
