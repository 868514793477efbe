"""Tables of commands, on terminals of any width."""

import io

from rich.console import Console
from rich.table import Table

from fusebox.terminal import legible

COLUMNS = ("time", "agent", "operation", "reason")
ROW = ("2026-01-31 12:00:00", "ticket-helper", "tickets.comment", "the same comment five times, no progress")


def shown(width: int) -> list[list[str]]:
    """The words of each line that a terminal so wide shows of two rows."""
    table = Table(*COLUMNS, box=None)
    for _ in range(2):
        table.add_row(*ROW)
    console = Console(width=width, file=io.StringIO())
    console.print(legible(console, table))
    assert isinstance(console.file, io.StringIO)
    return [line.split() for line in console.file.getvalue().splitlines()]


def test_a_table_that_fits_stays_one() -> None:
    lines = shown(200)
    assert lines == [list(COLUMNS), " ".join(ROW).split(), " ".join(ROW).split()]


def test_a_terminal_too_narrow_for_the_columns_gets_a_line_for_each_cell() -> None:
    lines = shown(60)
    assert lines[:5] == [[name, *cell.split()] for name, cell in zip(COLUMNS, ROW, strict=True)] + [[]]
    assert len(lines) == 10
