"""What every benchmark prints: a table for people, and one JSON object as its last line."""

from __future__ import annotations

import json
import operator
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from rich.console import Console
from rich.table import Table

_OPERATORS: Final[dict[str, Callable[[float, float], bool]]] = {"<=": operator.le, ">=": operator.ge}


@dataclass(slots=True)
class Report:
    """Figures of one benchmark, beside their targets."""

    benchmark: str
    figures: dict[str, float] = field(default_factory=dict)
    targets: dict[str, tuple[str, float]] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)

    def add(self, name: str, value: float, target: tuple[str, float] | None = None) -> None:
        """Note a figure, and the target it is held against."""
        self.figures[name] = round(value, 4)
        if target:
            self.targets[name] = target

    def show(self) -> None:
        """Print the table and the JSON line."""
        met = {name: _OPERATORS[op](self.figures[name], limit) for name, (op, limit) in self.targets.items()}
        table = Table("figure", "value", "target", "met", title=self.benchmark)
        for name, value in self.figures.items():
            target = self.targets.get(name)
            table.add_row(name, f"{value:g}", f"{target[0]} {target[1]:g}" if target else "", _word(met.get(name)))
        Console().print(table)
        for what in self.skipped:
            print(f"skipped: {what} is not installed (make bench-peers)")
        result = {"figures": self.figures, "targets": self.targets, "met": met, "skipped": self.skipped}
        print(json.dumps({"benchmark": self.benchmark, **result}))


def _word(met: bool | None) -> str:
    return {True: "yes", False: "NO", None: ""}[met]
