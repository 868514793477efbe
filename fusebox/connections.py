"""HTTP connections that may not be held for nothing: a deadline and a size for a request's head, a limit of sockets.

uvicorn knows when to close a connection that had a request; one that never sends any, or sends its head a byte at a
time, it keeps for ever. At the limit the connection from which a whole request has been awaited longest makes room, so
silent and slow ones lock nobody out. One that is being answered is never taken.

::

    connected ──► waiting ── whole request ──► busy ── answered ──► waiting (uvicorn's keep-alive runs)
                    │ no head 10 s after connecting or the request's first byte, a head over 32 KiB, or the limit
                    └──────► closed, counted
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from fusebox import happenings

HEAD_DEADLINE_S: Final = 10.0
MAX_HEAD: Final = 32 << 10
MAX_CONNECTIONS: Final = 512
_PLACES: Final = itertools.count()
"""Who began to be awaited later has a higher one; the loop's clock is the same for all that come in one turn of it."""

CUT: Final = happenings.declare(
    "connections_cut", logging.INFO, "HTTP connections closed for a late or overlong head, or idle at the limit"
)


class Connection(HttpToolsProtocol):
    """One HTTP connection.

    Attributes:
        most: connections that may be open at once.
        longest: bytes that a request's head may have.
    """

    most = MAX_CONNECTIONS
    longest = MAX_HEAD

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._deadline: asyncio.TimerHandle | None = None
        self._in_head = True
        self._head = 0
        self._place = next(_PLACES)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect_head()
        if len(self.connections) > self.most:
            waiting = [c for c in self.connections if isinstance(c, Connection) and not c.busy]
            min(waiting, key=lambda connection: connection._place)._cut("limit")

    def connection_lost(self, exc: Exception | None) -> None:
        self._no_deadline()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._head += len(data) if self._in_head else 0
        super().data_received(data)
        if self._in_head:  # most heads come in one piece, and need no deadline
            if self._head > self.longest:
                self._cut("size")
            else:
                self._expect_head()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = True

    def on_headers_complete(self) -> None:
        self._no_deadline()
        self._in_head, self._head = False, 0
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        self._place = next(_PLACES)
        super().on_response_complete()

    @property
    def busy(self) -> bool:
        """True while a whole request waits for its answer, or the connection is closing already."""
        cycle = self.cycle
        answering = cycle is not None and not cycle.more_body and not cycle.response_complete
        return answering or bool(self.pipeline) or self.transport.is_closing()

    def _expect_head(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(HEAD_DEADLINE_S, self._cut, "deadline")

    def _no_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _cut(self, why: str) -> None:
        self._no_deadline()
        if not self.transport.is_closing():
            happenings.emit(CUT, why=why)
            self.transport.close()
