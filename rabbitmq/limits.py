"""What fits into an AMQP message, checked before a broker sees it.

RabbitMQ answers a violation by closing the channel or the whole connection, which would fail every other publish in
flight; so both brokers refuse such a message here, in the caller's thread.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from pika.data import encode_table

from fusebox.errors import BadMessage
from rabbitmq.broker import Header, Message

MAX_BODY: Final = 16 * 1024 * 1024
"""Bytes; the default of RabbitMQ 4 (RabbitMQ 3 takes more)."""
MAX_HEADERS: Final = 64 * 1024
"""Bytes of names and values together; all properties must fit into one frame of 128 KiB."""
_SHORT: Final = 255
_INT64: Final = 2**63
_FIXED: Final = 16


def check(exchange: str, routing_key: str, message: Message) -> None:
    """Refuse what no broker could carry.

    Raises:
        BadMessage: a name is longer than 255 bytes, the body or the headers are too large, or a header has a type
            other than str, int (64 bit), float or bool.
    """
    _check_short("exchange", exchange)
    _check_short("routing key", routing_key)
    _check_short("message_id", message.message_id)
    _check_short("content_type", message.content_type)
    _check_short("correlation_id", message.correlation_id)
    _check_short("reply_to", message.reply_to)
    _check_short("user_id", message.user_id)
    if len(message.body) > MAX_BODY:
        raise BadMessage(f"the body has {len(message.body)} bytes; at most {MAX_BODY} fit, send a reference instead")
    size = _check_tables(message.tables) if message.tables else 0
    for name, value in message.headers.items():
        size += _FIXED + _check_header(name, value)
    if size > MAX_HEADERS:
        raise BadMessage(f"the headers have {size} bytes; at most {MAX_HEADERS} fit, put data into the body")


def _check_short(what: str, value: str) -> int:
    size = _bytes_of(value)
    if size > _SHORT:
        raise BadMessage(f"{what} has {size} bytes; at most {_SHORT} fit")
    return size


def _check_tables(tables: Mapping[str, object]) -> int:
    for name in tables:
        _check_short("a header's name", name)
    size: int = encode_table([], dict(tables))
    return size


def _bytes_of(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())


def _check_header(name: str, value: Header) -> int:
    size = _check_short("a header's name", name)
    if isinstance(value, str):
        return size + _bytes_of(value)
    if isinstance(value, int) and not -_INT64 <= value < _INT64:
        raise BadMessage(f"header {name!r} needs more than 64 bits; send it as text")
    if not isinstance(value, int | float):
        raise BadMessage(f"header {name!r} is a {type(value).__name__}; use str, int, float or bool")
    return size
