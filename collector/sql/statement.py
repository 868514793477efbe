"""What *keep* and its sandbox say to each other, over one stream socket for each slot.

A message is a length (4 bytes, big endian), that many bytes of JSON, and, behind an answer, ``size`` bytes of result in
the format asked for. One message each way at a time: a slot runs one statement.
"""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

HEAD: Final = struct.Struct(">I")


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement from outside, as it came, and what it may use."""

    text: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    """Values in the escaping in which they travel."""
    format: str = "TabSeparated"
    """The format unless the statement names one."""
    database: str = ""
    settings: Mapping[str, str] = field(default_factory=dict)
    """Judged already: :mod:`collector.sql.settings`."""
    role: str = "auditor"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a statement ended: what stands before the result."""

    size: int = 0
    """Bytes of result that follow."""
    format: str = ""
    rows: int = 0
    """Rows of the result."""
    read_rows: int = 0
    read_bytes: int = 0
    version: str = ""
    """The engine's."""
    timezone: str = "UTC"
    code: int = 0
    """ClickHouse's error code; meaningful with ``error``."""
    error: str = ""
    refused: bool = False
    """The gate said no, so nothing ran."""


def pack(message: Statement | Outcome) -> bytes:
    """The message's length and JSON."""
    return frame(asdict(message))


def frame(message: Mapping[str, Any]) -> bytes:
    """A length and JSON."""
    text = json.dumps(message, ensure_ascii=False).encode("utf-8", "surrogatepass")
    return HEAD.pack(len(text)) + text


def receive(sock: socket.socket) -> dict[str, Any] | None:
    """The next message, or None when the other side is gone."""
    head = _exactly(sock, HEAD.size)
    text = _exactly(sock, HEAD.unpack(head)[0]) if head else None
    return dict(json.loads(text.decode("utf-8", "surrogatepass"))) if text else None


def _exactly(sock: socket.socket, size: int) -> bytes | None:
    data = bytearray()
    while len(data) < size:
        part = sock.recv(size - len(data))
        if not part:
            return None
        data += part
    return bytes(data)
