"""Just enough of a gRPC client to send a message that was compressed elsewhere (RFC 9113; HPACK literals, RFC 7541)."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator

_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _PING, _GOAWAY, _WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
_END_STREAM, _ACK, _END_HEADERS = 1, 1, 4
_INITIAL_WINDOW_SIZE = 4
_FRAME = 16_384


def send_compressed(address: str, path: str, token: str, encoding: str, message: bytes) -> bytes:
    """Send one compressed message; everything that the server's header frames and resets said."""
    host, port = address.split(":")
    with socket.create_connection((host, int(port)), timeout=20) as sock:
        fields = {
            ":method": "POST", ":scheme": "http", ":path": path, ":authority": address, "te": "trailers",
            "content-type": "application/grpc", "grpc-encoding": encoding, "authorization": f"Bearer {token}",
        }  # fmt: skip
        sock.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _frame(_SETTINGS, 0, 0, b""))
        sock.sendall(_frame(_HEADERS, _END_HEADERS, 1, b"".join(_literal(k, v) for k, v in fields.items())))
        return _Stream(sock).send(b"\x01" + struct.pack(">I", len(message)) + message)


class _Stream:
    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._windows = [65_535, 65_535]
        """What may be sent: on the connection, on the stream."""
        self._first = 65_535
        self._said = b""
        self._over = False

    def send(self, data: bytes) -> bytes:
        position = 0
        frames = self._frames()
        while not self._over:
            room = min(*self._windows, _FRAME, len(data) - position)
            if room > 0:
                last = _END_STREAM if position + room == len(data) else 0
                self._sock.sendall(_frame(_DATA, last, 1, data[position : position + room]))
                position += room
                self._windows = [window - room for window in self._windows]
            elif not self._take(next(frames, None)):
                break
        return self._said

    def _take(self, frame: tuple[int, int, int, bytes] | None) -> bool:
        if frame is None:
            return False
        kind, flags, stream, payload = frame
        if kind == _WINDOW_UPDATE:
            self._windows[stream] += struct.unpack(">I", payload)[0]
        elif kind == _SETTINGS and not flags & _ACK:
            self._settings(payload)
        elif kind == _PING and not flags & _ACK:
            self._sock.sendall(_frame(_PING, _ACK, 0, payload))
        elif kind in (_HEADERS, _RST_STREAM, _GOAWAY):
            self._said += payload
            self._over = kind != _HEADERS or bool(flags & _END_STREAM)
        return True

    def _settings(self, payload: bytes) -> None:
        for name, value in struct.iter_unpack(">HI", payload):
            if name == _INITIAL_WINDOW_SIZE:
                self._windows[1] += value - self._first
                self._first = value
        self._sock.sendall(_frame(_SETTINGS, _ACK, 0, b""))

    def _frames(self) -> Iterator[tuple[int, int, int, bytes]]:
        while head := self._exactly(9):
            length, kind, flags = int.from_bytes(head[:3], "big"), head[3], head[4]
            yield kind, flags, int.from_bytes(head[5:], "big") & 0x7FFFFFFF, self._exactly(length)

    def _exactly(self, length: int) -> bytes:
        data = b""
        while len(data) < length:
            piece = self._sock.recv(length - len(data))
            if not piece:
                return b""
            data += piece
        return data


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def _literal(name: str, value: str) -> bytes:
    return b"\0" + b"".join(bytes((len(text),)) + text.encode() for text in (name, value))
