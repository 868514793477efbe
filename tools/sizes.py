"""Prints how long functions and files are: ``python -m tools.sizes``. Numbers to look at, not limits."""

from __future__ import annotations

import ast
from pathlib import Path
from statistics import quantiles

from tools.layers import ROOT, modules


def main() -> None:
    """One line for functions, one for files, then the longest of each."""
    functions = sorted((lines, where) for file in modules().values() for lines, where in _functions(file))
    files = sorted((len(file.read_text().splitlines()), _name(file)) for file in modules().values())
    _print("function bodies", functions)
    _print("files", files)


def _print(title: str, sized: list[tuple[int, str]]) -> None:
    cuts = quantiles([lines for lines, _ in sized], n=100)
    print(f"{title}: {len(sized)}; lines: median {cuts[49]:.0f}, p90 {cuts[89]:.0f}, p99 {cuts[98]:.0f}")
    for lines, where in sized[:-6:-1]:
        print(f"  {lines:5}  {where}")


def _functions(file: Path) -> list[tuple[int, str]]:
    """Lines of each function's body without its docstring, and where it is."""
    nodes = [n for n in ast.walk(ast.parse(file.read_text())) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    return [(_length(node), f"{_name(file)}:{node.lineno} {node.name}") for node in nodes]


def _length(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    body = node.body[1:] if ast.get_docstring(node) is not None else node.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def _name(file: Path) -> str:
    return file.relative_to(ROOT).as_posix()


if __name__ == "__main__":
    main()
