"""Who may import whom: the one table behind ``docs/architecture.md``, its diagram and the import test."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent

ALLOWED: Final[dict[str, tuple[str, ...]]] = {
    "fusebox": (),
    "breakers": ("fusebox",),
    "governance": ("fusebox",),
    "rabbitmq": ("fusebox", "breakers", "governance"),
    "collector": ("fusebox", "breakers", "governance", "rabbitmq"),
    "dashboards": ("fusebox", "collector"),
    "examples": ("fusebox", "breakers", "governance", "rabbitmq", "collector", "dashboards"),
}
"""Each package and the packages of ours that it may import. An arrow never points the other way."""

NARROWED: Final[dict[tuple[str, str], tuple[str, ...]]] = {
    ("dashboards", "collector"): ("collector.queries", "collector.why")
}
"""Where only some modules of an allowed package may be imported."""


@dataclass(frozen=True, slots=True)
class Import:
    """One import statement's target, seen from a file."""

    module: str
    """The importing module, dotted."""
    target: str
    """The imported module of ours, dotted."""
    at_load: bool
    """True when it runs while the module loads: not in a function, not for type checkers only."""
    line: int


def modules() -> dict[str, Path]:
    """Every module of the packages above: dotted name to file."""
    found = {}
    for package in ALLOWED:
        for file in sorted((ROOT / package).rglob("*.py")):
            parts = file.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


def imports() -> Iterator[Import]:
    """Every import of one of our modules by another."""
    known = modules()
    for module, file in known.items():
        for node, at_load in _statements(ast.parse(file.read_text(encoding="utf-8")), at_load=True):
            for target in _targets(node, module, file.name == "__init__.py", known):
                if target.partition(".")[0] in ALLOWED and target != module:
                    yield Import(module, target, at_load, node.lineno)


def cycle(edges: Iterable[tuple[str, str]]) -> list[str]:
    """Some cycle of a directed graph, or ``[]``."""
    graph: dict[str, set[str]] = {}
    for source, target in edges:
        graph.setdefault(source, set()).add(target)
    done: set[str] = set()
    for start in sorted(graph):
        found = _walk(graph, start, [], done)
        if found:
            return found
    return []


def _walk(graph: dict[str, set[str]], node: str, path: list[str], done: set[str]) -> list[str]:
    if node in path:
        return [*path[path.index(node) :], node]
    if node in done:
        return []
    for target in sorted(graph.get(node, ())):
        found = _walk(graph, target, [*path, node], done)
        if found:
            return found
    done.add(node)
    return []


def _statements(node: ast.AST, at_load: bool) -> Iterator[tuple[ast.Import | ast.ImportFrom, bool]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child, at_load
        else:
            deferred = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) or _type_checking(child)
            yield from _statements(child, at_load and not deferred)


def _type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)


def _targets(node: ast.Import | ast.ImportFrom, module: str, package: bool, known: dict[str, Path]) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    base = node.module or ""
    if node.level:
        parents = module.split(".")
        base = ".".join([*parents[: len(parents) - node.level + package], *([base] if base else [])])
    names = [f"{base}.{alias.name}" for alias in node.names]
    return [name if name in known else base for name in names]
