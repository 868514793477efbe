"""pika's connection, as we need it on the wire: what it writes leaves together, what it cannot read harms nobody.

pika gives a connection up over headers that it cannot read: a date after the year 9999 (milliseconds where seconds are
meant), tables in tables without end. Whoever put them there would cut off every process that is given the message, over
and over. So such a message arrives without its headers, like one whose publisher knows none; all else of it stays.
"""

from __future__ import annotations

import logging
import struct
from collections.abc import Callable
from typing import Any, Final

from pika import frame, spec
from pika.adapters.select_connection import SelectConnection

from fusebox import happenings
from rabbitmq.io_loop import IoLoop

HEADERS_UNREADABLE: Final = happenings.declare(
    "headers_unreadable", logging.WARNING, "a message's headers could not be read; it was taken without them"
)
_BEGIN: Final = struct.Struct(">BHL")
"""Of a frame: type, channel, size of what follows before the end mark."""
_CONTENT: Final = struct.Struct(">HHQ")
"""Of a content header: class, weight, size of the body; then the properties."""
_FLAGS: Final = struct.Struct(">H")
_BEFORE: Final = (spec.BasicProperties.FLAG_CONTENT_TYPE, spec.BasicProperties.FLAG_CONTENT_ENCODING)
"""Properties that stand before the headers; both are short texts."""


class Connection(SelectConnection):  # type: ignore[misc]  # pika is untyped here
    """Gathers the frames of a turn, so that a publish leaves as one segment by one system call."""

    def __init__(self, loop: IoLoop, parameters: Any, **callbacks: Callable[..., None]) -> None:
        self._loop, self._frames = loop, list[bytes]()
        super().__init__(parameters, custom_ioloop=loop, **callbacks)

    def _adapter_emit_data(self, data: bytes) -> None:
        """What pika's adapters are there to define: how bytes are sent."""
        if not self._frames:
            self._loop.before_writing(self._send_frames)
        self._frames.append(data)

    def _send_frames(self) -> None:
        frames, self._frames = self._frames, []
        if not self.is_closed:
            super()._adapter_emit_data(b"".join(frames))

    def _read_frame(self) -> Any:
        try:
            return super()._read_frame()
        except Exception as error:  # whatever pika's decoders raise
            if self._frame_buffer[0] != spec.FRAME_HEADER:
                raise
            length, header = _without_headers(self._frame_buffer)
            happenings.emit(
                HEADERS_UNREADABLE, message_id=str(header.properties.message_id or "")[:64], error=repr(error)[:200]
            )
            return length, header


def _without_headers(data: bytes) -> tuple[int, Any]:
    """The content header at the start of ``data``, but for its headers, and how long it is there."""
    _, channel, size = _BEGIN.unpack_from(data)
    start, end = _BEGIN.size, _BEGIN.size + size
    _, _, body_size = _CONTENT.unpack_from(data, start)
    properties = spec.BasicProperties().decode(_cut(data[start + _CONTENT.size : end]))
    return end + spec.FRAME_END_SIZE, frame.Header(channel, body_size, properties)


def _cut(properties: bytes) -> bytes:
    """Properties as they are on the wire, with the headers cut out."""
    (flags,) = _FLAGS.unpack_from(properties)
    place = _FLAGS.size
    for flag in _BEFORE:
        if flags & flag:
            place += 1 + properties[place]
    end = place + 4 + int.from_bytes(properties[place : place + 4], "big")
    left = _FLAGS.pack(flags & ~spec.BasicProperties.FLAG_HEADERS)
    return left + properties[_FLAGS.size : place] + properties[end:]
