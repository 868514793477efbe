"""What the demonstration prints: lines a person can follow, and a summary."""

from __future__ import annotations

import select
import sys
from collections.abc import Iterable
from typing import Final

from rich.console import Console, RenderableType
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table

_WHO: Final = 16


class Screen:
    """A terminal (or a file, or a pipe)."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False, emoji=False)

    def title(self, text: str) -> None:
        """The first thing to see."""
        self._console.print(Panel.fit(f"[bold]{escape(text)}[/]", border_style="red"))

    def act(self, number: int, text: str) -> None:
        """A new part of the story."""
        self._console.print()
        self._console.rule(f"[bold]{number}. {escape(text)}[/]", align="left", style="dim")

    def say(self, text: str) -> None:
        """One line of narration."""
        self._console.print(f"  {escape(text)}")

    def starting(self, text: str) -> None:
        """One line while things start."""
        self._console.print(f"  [dim]starting {escape(text)} …[/]")

    def event(self, who: str, text: str, style: str = "cyan") -> None:
        """Somebody does something."""
        self._console.print(f"  [{style}]{escape(who):<{_WHO}}[/] {escape(text)}", overflow="ellipsis", no_wrap=True)

    def trip(self, lines: Iterable[str]) -> None:
        """The moment it is all about."""
        body = "\n".join(escape(line) for line in lines)
        self._console.print(Panel(body, title="[bold]circuit open[/]", border_style="red"))

    def summary(self, rows: Iterable[tuple[str, str]]) -> None:
        """Two columns: what, and how much."""
        table = Table.grid(padding=(0, 2))
        table.add_column(style="bold", no_wrap=True)
        table.add_column(overflow="fold")
        for name, value in rows:
            table.add_row(f"  {escape(name)}", escape(value))
        self._console.print(table)

    def show(self, thing: RenderableType) -> None:
        """Something that knows how to draw itself."""
        self._console.print(thing)

    def plain(self, text: str) -> None:
        """Text for a machine, or to be copied: never wrapped, never styled."""
        self._console.out(text, highlight=False)

    def ask(self, question: str, timeout: float) -> bool | None:
        """A person's yes or no; None when nobody answers within ``timeout`` seconds."""
        self._console.print(f"  [bold yellow]?[/] {escape(question)} \\[y/n] ({timeout:.0f} s) ", end="")
        ready, _, _ = select.select([sys.stdin], [], [], timeout)
        answer = sys.stdin.readline().strip().lower() if ready else ""
        if not ready:
            self._console.print()
        return answer.startswith("y") if answer else None
