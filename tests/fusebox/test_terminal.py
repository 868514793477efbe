"""What commands show: tables on terminals of any width, and nothing that an agent wrote orders a terminal about."""

from __future__ import annotations

import io

import pytest
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from fusebox import terminal
from fusebox.terminal import legible

COLUMNS = ("time", "agent", "operation", "reason")
ROW = ("2026-01-31 12:00:00", "ticket-helper", "tickets.comment", "the same comment five times, no progress")
CLEARS = "\x1b[2J\x1b]52;c;ZXZpbA==\x07"
"""Clears the screen, and writes to the clipboard."""


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


def cell(text: str) -> Table:
    table = Table("agent", "reason", box=None)
    table.add_row("bot", text)
    return table


@pytest.mark.parametrize(
    "shown", [str, Text, cell, lambda text: Padding(text, (0, 2))], ids=["str", "text", "cell", "pad"]
)
@pytest.mark.parametrize("text", [f"a{CLEARS}b", "a\x9b31mb", "a\u202eb", "a\ud800b", "a\rb"], ids=ascii)
def test_what_a_terminal_would_obey_is_a_dot(shown: object, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    terminal.console().print(shown(text))  # type: ignore[operator]
    said = capsys.readouterr().out
    assert all(line.isprintable() for line in said.split("\n"))
    assert "a·" in said or "ab" in said


def test_lines_and_letters_stay(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.console().print("größer 数\n🔑 [bold]loud[/]")
    assert capsys.readouterr().out == "größer 数\n🔑 loud\n"


@pytest.mark.parametrize("shown", [str, cell, lambda text: Padding(text, (0, 2))], ids=["str", "cell", "pad"])
def test_the_code_of_an_emoji_is_text_like_any_other(shown: object, capsys: pytest.CaptureFixture[str]) -> None:
    terminal.console().print(shown("killed agent:x: writes nonsense"))  # type: ignore[operator]
    assert "killed agent:x: writes nonsense" in capsys.readouterr().out


class Gone(io.StringIO):
    """A pipe whose reader has seen enough."""

    def write(self, text: str) -> int:
        raise BrokenPipeError


def test_a_reader_that_has_seen_enough_is_told_by_the_error_and_not_by_a_status_that_means_something() -> None:
    console = terminal.console()
    console.file = Gone()
    with pytest.raises(BrokenPipeError):
        console.print("role  state")
