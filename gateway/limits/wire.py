"""A connection to Redis on the event loop: a call that waits for its quota keeps no other call waiting.

The library's own asynchronous client takes longer for one call than the rest of the gateway together, and its blocking
one stops the loop for the whole round trip. So commands are written one behind the other on one connection, without
waiting for the answers before; hiredis writes and reads the protocol, and Redis answers in order.

::

    away ── first call ──► connecting ── AUTH · SELECT · SCRIPT LOAD answered ──► up
      ▲                        │ refused                                           │ an answer is late, the line breaks
      └────────────────────────┴──── every call that waits: StoreUnavailable ◄─────┘
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import deque
from typing import Any, Final, cast

import hiredis

from fusebox.errors import ConfigError, StoreUnavailable
from fusebox.redis_address import redis_context, redis_place
from fusebox.store import Script
from fusebox.tls import advised

_KNOWN: Final = frozenset({"host", "port", "path", "db", "username", "password", "connection_class"})
_PORT: Final = 6379
_GRACE_S: Final = 0.02

Word = str | int


class Wire:
    """Runs scripts on one Redis, from one event loop.

    Args:
        url: ``redis://``, ``rediss://`` or ``unix://`` address.
        timeout: seconds until a call counts as lost.

    Raises:
        ConfigError: the address cannot be read, or asks for what is not known here.
    """

    def __init__(self, url: str, timeout: float) -> None:
        self._url, self._timeout = url, timeout
        self._place = _place(url)
        self._line: _Line | None = None
        self._connecting: asyncio.Task[_Line] | None = None
        self._shas: dict[str, str] = {}

    async def run(self, script: Script, key: str, *args: str) -> str:
        """One atomic step on the hash ``key``, whose answer is a text.

        Raises:
            StoreUnavailable: no answer in time, or an error; whether the step was made is not known.
        """
        line = self._line
        if line is None or line.lost:
            line = await self._connected()
        sha = self._shas.get(script.lua)
        if sha is None:
            sha = self._shas[script.lua] = hashlib.sha1(script.lua.encode(), usedforsecurity=False).hexdigest()
            await line.ask("SCRIPT", "LOAD", script.lua)
        try:
            answer = await line.ask("EVALSHA", sha, 1, key, *args)
        except _Unknown:  # Redis was told to forget its scripts
            answer = await line.ask("EVAL", script.lua, 1, key, *args)
        return cast(bytes, answer).decode()

    def close(self) -> None:
        """Let go of the connection, on its loop; legal twice."""
        if self._line is not None:
            self._line.close()

    async def _connected(self) -> _Line:
        """The connection; all who need it wait for the same one."""
        if self._connecting is None:
            self._connecting = asyncio.ensure_future(self._connect())
            self._connecting.add_done_callback(self._over)
        return await asyncio.shield(self._connecting)

    def _over(self, task: asyncio.Task[_Line]) -> None:
        self._connecting = None
        if not task.cancelled() and task.exception() is None:
            self._line = task.result()

    async def _connect(self) -> _Line:
        loop, place = asyncio.get_running_loop(), self._place
        try:
            async with asyncio.timeout(self._timeout):
                line = _Line(loop, self._timeout)
                if "path" in place:
                    await loop.create_unix_connection(lambda: line, place["path"])
                else:
                    host, port = place.get("host", "localhost"), place.get("port", _PORT)
                    await loop.create_connection(lambda: line, host, port, ssl=redis_context(self._url, place))
                await _greet(line, place)
                return line
        except (OSError, TimeoutError, ConfigError) as error:  # a certificate's file may be gone by now
            raise StoreUnavailable(advised(f"Redis: {error!r}")) from error


class _Unknown(StoreUnavailable):
    """Redis does not have the script."""


class _Line(asyncio.Protocol):
    """One connection. Answers come in the order of the questions."""

    def __init__(self, loop: asyncio.AbstractEventLoop, timeout: float) -> None:
        self._loop, self._timeout = loop, timeout
        self._reader = hiredis.Reader()
        self._asked: deque[tuple[float, asyncio.Future[Any]]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self.lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def ask(self, *words: Word) -> asyncio.Future[Any]:
        """Send one command; its answer, or :class:`StoreUnavailable`."""
        future: asyncio.Future[Any] = self._loop.create_future()
        if self.lost:
            future.set_exception(StoreUnavailable("Redis: the connection broke"))
            return future
        self._asked.append((self._loop.time(), future))
        self._transport.write(hiredis.pack_command(cast(Any, words)))
        if self._timer is None:
            self._timer = self._loop.call_later(self._timeout, self._look)
        return future

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        while self._asked and (answer := self._reader.gets()) is not False:
            _, future = self._asked.popleft()
            if future.done():  # nobody waits any more
                continue
            if isinstance(answer, hiredis.ReplyError):
                text = str(answer)
                future.set_exception((_Unknown if text.startswith("NOSCRIPT") else StoreUnavailable)(f"Redis: {text}"))
            else:
                future.set_result(answer)

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(f"the connection broke: {exc!r}")

    def close(self) -> None:
        """Hang up."""
        self._fail("closed")

    def _look(self, late: asyncio.Future[Any] | None = None) -> None:
        """Is an answer late? One timer for all. It may have come while the loop was busy, so it is looked at twice."""
        self._timer = None
        if not self._asked:
            return
        at, oldest = self._asked[0]
        left = at + self._timeout - self._loop.time()
        if left > 0:
            self._timer = self._loop.call_later(left, self._look)
        elif oldest is late:
            self._fail("no answer in time")
        else:
            self._timer = self._loop.call_later(_GRACE_S, self._look, oldest)

    def _fail(self, why: str) -> None:
        self.lost = True
        self._transport.abort()
        if self._timer is not None:
            self._timer.cancel()
        for _, future in self._asked:
            if not future.done():
                future.set_exception(StoreUnavailable(f"Redis: {why}"))
        self._asked.clear()


async def _greet(line: _Line, place: dict[str, Any]) -> None:
    try:
        for greeting in _greetings(place):
            await line.ask(*greeting)
    except StoreUnavailable:
        line.close()
        raise


def _place(url: str) -> dict[str, Any]:
    """
    Raises:
        ConfigError: see :class:`Wire`.
    """
    place = redis_place(url)
    if unknown := {name for name in place if not name.startswith("ssl_")} - _KNOWN:
        raise ConfigError(f"redis_url: the gateway does not know {', '.join(sorted(unknown))}; leave it out")
    return place


def _greetings(place: dict[str, Any]) -> list[tuple[Word, ...]]:
    user, password, db = place.get("username"), place.get("password"), place.get("db", 0)
    auth = [("AUTH", *((user,) if user else ()), password)] if password else []
    return [*auth, *([("SELECT", db)] if db else [])]
