"""The exchanges, queues and bindings Fusebox uses, as data, and how topic keys match.

::

    publish ─► fusebox.events (topic) ─► <agent> ──(limit reached, rejected)──► fusebox.dead (direct) ─► <agent>.dead
                  held, asked about ─► fusebox.own (topic) ─► <agent>.held, <agent>.approvals, <agent>.dead: the
                         or buried                            routing key is the queue
    Commands ─► fusebox.control (fanout) ─► fusebox.control.<process>   one exclusive queue per process
                                         ─► fusebox.control.<user>      a lasting one per AMQP user of an agent
    processes ─► fusebox.uplink (direct) ─► fusebox.uplink              read by watch
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from fusebox.names import (
    EXCHANGE_CONTROL,
    EXCHANGE_DEAD,
    EXCHANGE_EVENTS,
    EXCHANGE_OWN,
    EXCHANGE_UPLINK,
    approvals_queue,
    dead_queue,
    held_queue,
)
from rabbitmq.broker import Binding, Exchange, ExchangeType, Queue, QueueType, Topology

DELIVERY_LIMIT: Final = 20
"""Redeliveries of one message before it is dead-lettered; RabbitMQ before 4.0 has no limit unless told."""
_CONTROL_LENGTH: Final = 1_000
_CONTROL_TTL_S: Final = 86_400.0
UPLINK_KEYS: Final = ("snapshot", "poll", "receipts", "reports", "denials", "commits", "leave")


def base_topology() -> Topology:
    """What exists before any agent does."""
    return Topology(
        exchanges=(
            Exchange(EXCHANGE_EVENTS, ExchangeType.TOPIC),
            Exchange(EXCHANGE_DEAD, ExchangeType.DIRECT),
            Exchange(EXCHANGE_OWN, ExchangeType.TOPIC),
            Exchange(EXCHANGE_CONTROL, ExchangeType.FANOUT),
            Exchange(EXCHANGE_UPLINK, ExchangeType.DIRECT),
        )
    )


def agent_topology(agent: str, keys: Sequence[str]) -> Topology:
    """The queues of one agent; its work queue takes every event whose routing key matches one of ``keys``."""
    work = Queue(
        agent,
        delivery_limit=DELIVERY_LIMIT,
        dead_letter_exchange=EXCHANGE_DEAD,
        dead_letter_routing_key=agent,
    )
    dead, held, asked = Queue(dead_queue(agent)), Queue(held_queue(agent)), Queue(approvals_queue(agent))
    bindings = [Binding(EXCHANGE_DEAD, dead.name, agent)]
    bindings += [Binding(EXCHANGE_OWN, each.name, each.name) for each in (dead, held, asked)]
    bindings += [Binding(EXCHANGE_EVENTS, work.name, key) for key in keys]
    return base_topology() + Topology(queues=(dead, held, asked, work), bindings=tuple(bindings))


def control_queue(process: str) -> str:
    """Name of the queue on which one process (or the one process of an AMQP user) hears Commands."""
    return f"{EXCHANGE_CONTROL}.{process}"


def is_control_queue(queue: str) -> bool:
    """True for a name that :func:`control_queue` gives."""
    return queue.startswith(control_queue(""))


def control_topology(process: str) -> Topology:
    """The queue on which one process hears Commands; it vanishes with the process."""
    queue = Queue(control_queue(process), type=QueueType.CLASSIC, exclusive=True)
    return base_topology() + Topology(queues=(queue,), bindings=(Binding(EXCHANGE_CONTROL, queue.name),))


def user_control_topology(user: str) -> Topology:
    """The queue on which the one process of an agent's AMQP user hears Commands, declared by the deployer.

    It outlives the process, so it is bounded: what nobody fetches must neither fill the broker nor nack *watch*, and
    the snapshot tells a process that starts whatever was dropped. Classic, as one more of them for each agent is cheap.
    """
    queue = Queue(
        control_queue(user), type=QueueType.CLASSIC, ttl=_CONTROL_TTL_S, max_length=_CONTROL_LENGTH, drop_oldest=True
    )
    return base_topology() + Topology(queues=(queue,), bindings=(Binding(EXCHANGE_CONTROL, queue.name),))


def uplink_topology() -> Topology:
    """The queue on which *watch* hears processes that have no HTTP."""
    queue = Queue(EXCHANGE_UPLINK)
    bindings = tuple(Binding(EXCHANGE_UPLINK, queue.name, key) for key in UPLINK_KEYS)
    return base_topology() + Topology(queues=(queue,), bindings=bindings)


@lru_cache(maxsize=4096)
def topic_matches(pattern: str, key: str) -> bool:
    """True when a routing key matches a topic pattern: ``*`` is one word, ``#`` any number of words, none included."""
    return _matches(_words(pattern), _words(key))


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split(".")) if text else ()


def _matches(pattern: tuple[str, ...], words: tuple[str, ...]) -> bool:
    """One row of a table per pattern word: ``reached[n]`` = the pattern so far matches the first n words."""
    reached = [True] + [False] * len(words)
    for part in pattern:
        if part == "#":
            first = reached.index(True) if True in reached else len(reached)
            reached = [n >= first for n in range(len(reached))]
        else:
            reached = [False] + [before and part in ("*", word) for before, word in zip(reached, words, strict=False)]
    return reached[-1]
