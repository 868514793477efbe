"""What is put together by hand of Protobuf's wire format, where an object for each message would cost too much.

Source: "Encoding" in the Protocol Buffers documentation. A field of bytes, text or a message is its tag, its length and
its bytes; a repeated one is that again and again, so messages that stand one behind the other are one message.
"""

from __future__ import annotations

from typing import Final

_LENGTH_DELIMITED: Final = 2
_TWO_BYTES: Final = 1 << 14
_SHORT: Final = tuple(bytes((value,)) for value in range(0x80))


def tag(number: int) -> bytes:
    """What a length-delimited field of this number begins with."""
    return varint(number << 3 | _LENGTH_DELIMITED)


def sized(value: bytes) -> bytes:
    """``value`` with its length in front."""
    return varint(len(value)) + value


def bytes_field(number: int, value: bytes) -> bytes:
    """A length-delimited field."""
    return tag(number) + sized(value)


def varint(value: int) -> bytes:
    """The variable-length spelling of a number that is not negative."""
    if value < _TWO_BYTES:  # as nearly all are
        return _SHORT[value] if value < 0x80 else bytes((value & 0x7F | 0x80, value >> 7))
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def carried(text: str) -> str:
    """Text as UTF-8 can carry it: half a surrogate pair, as an answer of a model may hold, becomes a question mark."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
