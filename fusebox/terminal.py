"""Where commands print, and what keeps other people's text from ordering the terminal about."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Table

_WIDE: Final = 4_000
_LEGIBLE: Final = 16
"""Cells that a column needs at least, unless what stands in it is shorter."""


class _Plain(Console):
    """Shows as a dot whatever a terminal would obey, or could not show: agents choose names, targets and reasons.

    Emoji codes are text like any other: the scope ``agent:x:`` has one in it."""

    def on_broken_pipe(self) -> None:
        """The reader has seen enough; rich would exit with 1, which says something else for many commands."""
        raise BrokenPipeError

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            if segment.control or segment.text == "\n" or segment.text.isprintable():
                yield segment
            else:
                yield Segment("\n".join(map(plain, segment.text.split("\n"))), segment.style)


def console(*, stderr: bool = False) -> Console:
    """A terminal as wide as it is; a file or a pipe as wide as the lines need, so that nothing is cut there."""
    found = _Plain(stderr=stderr, highlight=False, emoji=False)
    if not found.is_terminal:
        found.width = _WIDE
    return found


def plain(text: str) -> str:
    """Text of other people for one cell: what a terminal would obey is shown as a dot."""
    return "".join(char if char.isprintable() else "·" for char in text)


def show(table: Table, *, markup: bool = True) -> None:
    """Print a table on standard output so that each cell can be read, however narrow the terminal."""
    found = console()
    found.print(legible(found, table), markup=markup)


def legible(found: Console, table: Table) -> Table:
    """The table, or where the terminal is too narrow for it, a line for each cell and a blank one after each row."""
    widths = (max(map(cell_len, map(str, (column.header, *column.cells)))) for column in table.columns)
    if sum(min(_LEGIBLE, width) + 2 for width in widths) <= found.width:
        return table
    lines = Table(box=None, show_header=False, pad_edge=False)
    lines.add_column(style="bold", no_wrap=True)
    lines.add_column(overflow="fold")
    for row in zip(*(column.cells for column in table.columns), strict=True):
        for column, cell in zip(table.columns, row, strict=True):
            lines.add_row(column.header, cell)
        lines.add_row()
    return lines
