"""Messages, queues and topologies as pika writes them.

pika can neither write a double nor read one exactly, so a float header travels as a table of one text. Headers that
the broker adds (``x-death``, ``x-delivery-count``, ``x-first-death-…``) are its own and are left out of a message. So
is its expiration: that was for the queue it was taken from, and what is held or tried again must not vanish.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import pika
from pika import spec

from rabbitmq.broker import Header, Message, Queue, QueueType, Topology

_PERSISTENT: Final = 2
_FLOAT: Final = "double"
_BROKERS_OWN: Final = "x-"
_COPIES: Final = ("CC", "BCC")
"""More keys that RabbitMQ routes by. It did so when the message came; moved, it would go there again, in our name."""
_OTHERS: Final = ("content_encoding", "priority", "type", "app_id")
"""Properties that nothing here reads."""
_NO_LIMIT: Final = 2**31 - 1
"""RabbitMQ 4 means 20 when no limit is given, and RabbitMQ 3 does not know its word for none (-1)."""


def properties_of(message: Message) -> Any:
    """The AMQP properties of a message."""
    return pika.BasicProperties(
        headers={**message.tables, **{name: _encoded(value) for name, value in message.headers.items()}},
        delivery_mode=_PERSISTENT,
        message_id=message.message_id,
        content_type=message.content_type,
        correlation_id=message.correlation_id or None,
        reply_to=message.reply_to or None,
        timestamp=message.timestamp or None,
        user_id=message.user_id or None,
        **message.properties,
    )


def message_of(properties: Any, body: bytes) -> Message:
    """A message as it came, whoever sent it; names and ids that are no UTF-8 with replacement characters."""
    headers, tables = _headers_of(properties.headers or {})
    return Message(
        body=body,
        headers=headers,
        message_id=text(properties.message_id or ""),
        content_type=text(properties.content_type or ""),
        correlation_id=text(properties.correlation_id or ""),
        reply_to=text(properties.reply_to or ""),
        timestamp=properties.timestamp or 0,
        user_id=text(properties.user_id or ""),
        properties={name: value for name in _OTHERS if (value := getattr(properties, name)) is not None},
        tables=tables,
    )


def _encoded(value: Header) -> Any:
    return {_FLOAT: repr(value)} if isinstance(value, float) else value


def _headers_of(table: Mapping[Any, Any]) -> tuple[dict[str, Header], dict[str, object]]:
    """Those that can be read, and the others."""
    headers: dict[str, Header] = {}
    tables: dict[str, object] = {}
    for raw_name, raw in table.items():
        name = raw_name if type(raw_name) is str else str(text(raw_name))
        value = raw if type(raw) is str else _decoded(raw)  # nearly all are; the others cost more to tell apart
        if name.startswith(_BROKERS_OWN) or name in _COPIES:
            continue
        if isinstance(value, str | int | float):
            headers[name] = value
        else:
            tables[name] = raw
    return headers, tables


def _decoded(value: Any) -> Any:
    if isinstance(value, Mapping):
        return _float_of(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return int(value)
    return text(value)


def _float_of(table: Mapping[Any, Any]) -> float | None:
    try:
        return float(table[_FLOAT])
    except (KeyError, TypeError, ValueError):
        return None


def text(value: Any) -> Any:
    """pika gives what is no UTF-8 as bytes."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def queue_arguments(queue: Queue) -> dict[str, Any]:
    """The ``x-arguments`` of a queue, valid on RabbitMQ 3.10 and later."""
    kind = QueueType.CLASSIC if queue.exclusive else queue.type
    arguments: dict[str, Any] = {"x-queue-type": kind.value}
    if kind is QueueType.QUORUM:
        arguments["x-delivery-limit"] = _NO_LIMIT if queue.delivery_limit is None else queue.delivery_limit
    if queue.dead_letter_exchange is not None:
        arguments["x-dead-letter-exchange"] = queue.dead_letter_exchange
    if queue.dead_letter_routing_key is not None:
        arguments["x-dead-letter-routing-key"] = queue.dead_letter_routing_key
    if kind is QueueType.QUORUM and queue.dead_letter_exchange is not None:
        arguments |= {"x-dead-letter-strategy": "at-least-once", "x-overflow": "reject-publish"}
    if queue.ttl is not None:
        arguments["x-message-ttl"] = round(queue.ttl * 1000)
    if queue.max_length is not None:
        overflow = "drop-head" if queue.drop_oldest else "reject-publish"
        arguments |= {"x-max-length": queue.max_length, "x-overflow": overflow}
    return arguments


def declare_on(channel: Any, topology: Topology, done: Callable[[], object]) -> None:
    """Declare everything in one round trip; RabbitMQ closes the channel at the first thing it refuses."""
    for exchange in topology.exchanges:
        channel.exchange_declare(exchange.name, exchange.type.value, durable=True)
    for queue in topology.queues:
        durable = not queue.exclusive
        channel.queue_declare(queue.name, durable=durable, exclusive=queue.exclusive, arguments=queue_arguments(queue))
    for binding in topology.bindings:
        channel.queue_bind(binding.queue, binding.exchange, binding.key)
    fence(channel, done)


def verify_on(channel: Any, topology: Topology, done: Callable[[], object]) -> None:
    """Check that exchanges and queues exist, which needs no permission; RabbitMQ closes the channel where one is not.

    Bindings cannot be asked for; a missing one shows as an unroutable publish. An exclusive queue is nobody else's to
    declare, so it is declared, and refused.
    """
    for exchange in topology.exchanges:
        channel.exchange_declare(exchange.name, passive=True)
    for queue in topology.queues:
        channel.queue_declare(queue.name, passive=not queue.exclusive, exclusive=queue.exclusive)
    fence(channel, done)


def cancel(channel: Any, tag: str) -> None:
    """End an AMQP consumer; its callback still gets what is on its way.

    pika's own ``basic_cancel`` rejects that unseen, and each reject counts towards a quorum queue's delivery limit.
    This is ``basic_cancel`` without the line that makes it so; pika has no public way to do it.
    """
    replies = [(spec.Basic.CancelOk, {"consumer_tag": tag})]
    channel._rpc(spec.Basic.Cancel(consumer_tag=tag), channel._on_cancelok, replies)


def fence(channel: Any, done: Callable[[], object]) -> None:
    """Call ``done`` when everything sent on the channel so far has been processed.

    It resets the prefetch of consumers to come; those that run keep theirs.
    """
    channel.basic_qos(callback=lambda _: done())
