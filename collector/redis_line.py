"""A Redis server on a Unix socket, asked in one line: whether it answers, and what it says of itself.

That is all that ``fusebox up`` and the role ``redis`` want of it; the library would take 20 MB in each of them.
"""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Final

_TIMEOUT_S: Final = 5.0


class RedisLine:
    """Asks one server; every question has a connection and a deadline of its own."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def ask(self, command: str) -> str:
        """The answer to an inline command.

        Raises:
            OSError: nobody answers, or the answer is an error.
        """
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(_TIMEOUT_S)
            connection.connect(str(self._path))
            connection.sendall(f"{command}\r\n".encode())
            with connection.makefile("rb") as answer:
                head = answer.readline().decode().rstrip()
                if head.startswith("$"):
                    return answer.read(int(head[1:])).decode()
        if not head.startswith("+"):
            raise ConnectionError(head or "the connection ended without an answer")
        return head[1:]

    def info(self) -> dict[str, str]:
        """What ``INFO`` says, by field. Raises like :meth:`ask`."""
        return dict(line.split(":", 1) for line in self.ask("INFO").splitlines() if ":" in line)
