"""Content encodings, inflated under a cap: what a few kilobytes may unpack to is decided here, not by the sender.

Input and output move in small steps, so that refusing a body costs its cap and not what it would have become.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable, Mapping
from mmap import mmap
from typing import Final, Protocol

from collector.receive.refusal import Refusal, Why

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

MAX_BODY: Final = 16 << 20
"""Bytes of a request, as sent and inflated."""
LARGE: Final = 1 << 19
"""Bytes from which on a request is handled alone."""

_STEP: Final = 64 << 10
_MAX_MEMBERS: Final = 64
_GZIP, _ZLIB, _RAW = 31, 15, -15
_WINDOW: Final[Mapping[int, int]] = {zstd.DecompressionParameter.window_log_max: 23}
"""8 MiB, which RFC 8878 (3.1.1.1.2) asks of every decoder: a frame that wants more memory is refused."""


class _Inflater(Protocol):
    """One member: a gzip member, a deflate stream or a zstd frame."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


def inflate(body: bytes, encoding: str, large: Callable[[], object] = bool) -> bytes:
    """The body without its ``Content-Encoding``: gzip and zstd (of several members, too), deflate or none.

    Args:
        large: called once the body turns out to be longer than :data:`LARGE`, before more of it is inflated.

    Raises:
        Refusal: the encoding is unknown or stacked, the data is broken or cut off, or it inflates beyond the cap.
    """
    match encoding.strip().lower():
        case "" | "identity":
            if len(body) > LARGE:
                large()
            return body
        case "gzip" | "x-gzip":
            return _members(body, lambda: zlib.decompressobj(_GZIP), _Output(large))
        case "zstd":
            return _members(body, lambda: zstd.ZstdDecompressor(options=_WINDOW), _Output(large))
        case "deflate":
            return _deflate(body, _Output(large))
    raise Refusal(Why.UNSUPPORTED, f"Content-Encoding {encoding[:50]!r} is not gzip, deflate, zstd or identity")


class _Output:
    """What was inflated so far.

    From :data:`LARGE` on it lies in memory of its own, which goes back to the system at once. In small pieces it would
    stay with the allocator's arena of whichever thread was refused, one arena after the other.
    """

    def __init__(self, large: Callable[[], object]) -> None:
        self._parts: list[bytes] = []
        self._memory: mmap | None = None
        self._length = 0
        self._large = large

    def add(self, part: bytes) -> None:
        self._length += len(part)
        if self._length > MAX_BODY:
            raise Refusal(Why.TOO_LARGE, f"the body inflates beyond {MAX_BODY} bytes; send smaller batches")
        if self._memory is None and self._length > LARGE:
            self._grow()
        if self._memory is None:
            self._parts.append(part)
        else:
            self._memory.write(part)

    def whole(self) -> bytes:
        return b"".join(self._parts) if self._memory is None else self._memory[: self._length]

    def _grow(self) -> None:
        self._large()
        self._memory = mmap(-1, MAX_BODY)
        self._memory.write(b"".join(self._parts))
        self._parts.clear()


def _members(body: bytes, begin: Callable[[], _Inflater], output: _Output) -> bytes:
    position = 0
    for _ in range(_MAX_MEMBERS):
        position = _member(body, position, begin(), output)
        if body.count(0, position) == len(body) - position:  # nothing, or padding
            return output.whole()
    raise Refusal(Why.MALFORMED, f"more than {_MAX_MEMBERS} compressed members in one body")


def _deflate(body: bytes, output: _Output) -> bytes:
    zlib_header = len(body) > 1 and body[0] & 15 == 8 and (body[0] << 8 | body[1]) % 31 == 0
    end = _member(body, 0, zlib.decompressobj(_ZLIB if zlib_header else _RAW), output)
    if end < len(body):
        raise Refusal(Why.MALFORMED, "bytes behind the end of the deflate stream")
    return output.whole()


def _member(body: bytes, position: int, inflater: _Inflater, output: _Output) -> int:
    """Inflate one member into ``output``; the position behind it."""
    rest = b""
    while not inflater.eof:
        data = rest or body[position : position + _STEP]
        position += 0 if rest else len(data)
        part = _some(inflater, data)
        rest = getattr(inflater, "unconsumed_tail", b"")  # zlib gives back what it had no room for, zstd keeps it
        if not data and not part:
            raise Refusal(Why.MALFORMED, "the compressed body is cut off")
        if part:
            output.add(part)
    return position - len(inflater.unused_data)


def _some(inflater: _Inflater, data: bytes) -> bytes:
    try:
        return inflater.decompress(data, _STEP)
    except (zlib.error, zstd.ZstdError) as error:
        raise Refusal(Why.MALFORMED, f"the compressed body is broken: {error}") from error
