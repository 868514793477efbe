"""Server-sent events (WHATWG HTML, 9.2): cut out of a stream of bytes, and made.

Only the blank line between events and the ``data`` and ``event`` fields matter here; what an event says travels on
as the bytes it came in. Text that goes into an event is JSON, in which a line break cannot occur, nor in its
name: nothing that an upstream or an agent says can begin an event of its own.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from typing import Any, Final

import orjson

MAX_EVENT: Final = 4 << 20
DONE: Final = b"data: [DONE]\n\n"
"""OpenAI's last event."""
_END: Final = re.compile(rb"\n\n|\n\r\n?|\r\r\n?")
"""Two line ends, each of which may be of another kind."""


class TooLong(Exception):
    """An event is longer than :data:`MAX_EVENT` bytes."""


class Splitter:
    """Cuts a stream into events."""

    def __init__(self) -> None:
        self._rest = b""
        self._begun = False

    def feed(self, chunk: bytes) -> list[bytes]:
        """The events that end in ``chunk``, each with the blank line behind it.

        Raises:
            TooLong: no event ends for too long.
        """
        data = self._rest + chunk if self._rest else chunk
        if not self._begun:  # a mark of the byte order says nothing
            data = data.removeprefix(codecs.BOM_UTF8)
        events, start = [], 0
        for end in _END.finditer(data, max(0, len(self._rest) - 3)):  # an end may lie across the two
            events.append(data[start : end.end()])
            start = end.end()
        self._rest = data[start:]
        self._begun = self._begun or start > 0
        if len(self._rest) > MAX_EVENT:
            raise TooLong(f"an event of the stream is longer than {MAX_EVENT} bytes")
        return events

    def end(self) -> list[bytes]:
        """What stands behind the last whole event, if it lacks nothing but the blank line."""
        last, self._rest = self._rest.rstrip() + b"\n\n", b""
        return [last] if data_of(last) == b"[DONE]" or json_of(last) is not None else []


def data_of(event: bytes) -> bytes:
    """The ``data`` of an event, its lines joined; empty for a comment."""
    if event.startswith(b"data: ") and event.find(b"\n") >= len(event) - 2:  # one line, as nearly all are
        return event[6:].rstrip()
    lines = [line[5:].removeprefix(b" ") for line in event.splitlines() if line.startswith(b"data:")]
    return b"\n".join(lines)


def is_comment(event: bytes) -> bool:
    """True when nothing in it reaches who reads the stream."""
    return all(line.startswith(b":") for line in event.splitlines() if line)


def json_of(event: bytes) -> dict[str, Any] | None:
    """The JSON object that an event carries, or None (``[DONE]``, comments, damage)."""
    data = data_of(event)
    if not data.startswith(b"{"):
        return None
    try:
        told: dict[str, Any] = orjson.loads(data)
    except orjson.JSONDecodeError:
        return None
    return told


def joined(stream: bytes) -> list[str]:
    """What the events of a whole stream say together: the texts at one place of their JSON, end to end.

    What is the same in all of them is no text in pieces.
    """
    pieces: dict[str, list[str]] = {}
    for each in _END.split(stream.removeprefix(codecs.BOM_UTF8)):
        for place, text in _texts(data_of(each)):
            pieces.setdefault(place, []).append(text)
    return ["".join(texts) for texts in pieces.values() if len(set(texts)) > 1]


def _texts(data: bytes) -> Iterator[tuple[str, str]]:
    """The texts in the data of an event, with their places; what is no JSON is one itself."""
    try:
        waiting: list[tuple[str, Any]] = [("", orjson.loads(data))]
    except orjson.JSONDecodeError:
        waiting = [("", data.decode("utf-8", "replace"))] if data else []
    while waiting:
        place, value = waiting.pop()
        if isinstance(value, str):
            yield place, value
        elif isinstance(value, dict | list):
            fields = value.items() if isinstance(value, dict) else enumerate(value)
            waiting.extend((f"{place}.{name}", each) for name, each in fields)


def event(told: Any, name: str = "") -> bytes:
    """An event with JSON as its data.

    Raises:
        ValueError: its name would be more than a name.
    """
    if not name.isprintable():
        raise ValueError("the name of an event holds a line end or another control character")
    head = b"event: %s\n" % name.encode() if name else b""
    return head + b"data: " + orjson.dumps(told) + b"\n\n"
