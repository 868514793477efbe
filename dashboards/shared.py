"""The newest board of this process: what was read for one person is not read again for the next.

*watch* is asked in each person's name all the same, so it says each time whether their token still holds; it sends
the board only when there is another one. What a board says is the same for all who may see it.
"""

from __future__ import annotations

from threading import Lock
from typing import Final

from dashboards.view import Board, read_board
from fusebox.control import ControlClient, Told

_Kept = tuple[str, str, Board | None]


class Shared:
    """One board; thread-safe."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._kept: _Kept = "", "", None
        """Where it was read, its tag and the board: one value, which threads read without the lock."""

    def read(self, client: ControlClient) -> tuple[Board, str]:
        """The board of this second, and the name under which *watch* knows whoever asks.

        Raises:
            ControlUnavailable: *watch* does not answer.
            ControlRefused: their token shows nobody anything.
        """
        url, tag, board = self._kept
        if url != client.url:
            tag, board = "", None
        told = client.board_unless(tag)
        if board is None or told.said:
            board = self._take(client.url, told)
        return board, told.you or str(told.board().get("you", ""))  # a watch of an earlier release says it there

    def _take(self, url: str, told: Told) -> Board:
        """Of several who were sent the same one, the first reads it."""
        with self._lock:
            kept_url, tag, board = self._kept
            if board is None or not tag or (kept_url, tag) != (url, told.tag):
                board = read_board(told.board())
                self._kept = url, told.tag, board
            return board


SHARED: Final = Shared()
"""This process's."""
