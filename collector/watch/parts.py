"""What watch needs from its surroundings: shared state, detector rules, the registry, a broker."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Final

from breakers.latch import Kill, Latch
from collector.watch.amqp import BrokerCarrier
from collector.watch.disconnect import Disconnector
from collector.watch.leases import Receipts
from collector.watch.outbound import REDIS, Outbound
from fusebox import happenings
from fusebox.clock import Clock
from fusebox.command import Command, Order, Signer, narrow
from fusebox.config import Config
from fusebox.errors import StoreUnavailable
from fusebox.rundir import key_at
from fusebox.store import Store, open_store
from fusebox.stream import KEPT
from rabbitmq.amqp import AmqpBroker
from rabbitmq.amqp_address import Address
from rabbitmq.management import Management
from rabbitmq.wiring import command_stream, url_of_store

_PATIENCE_S: Final = 5.0
_KEY_BYTES: Final = 32

STORE_ABSENT: Final = happenings.declare(
    "store_absent", logging.ERROR, "shared state does not answer at start; watch goes on with what it knows"
)
STREAM_AWAY: Final = happenings.declare(
    "watch_stream_away", logging.ERROR, "watch cannot use the Redis stream; Commands still travel by the other carriers"
)
KILLS_RESTATED: Final = happenings.declare(
    "kills_restated", logging.WARNING, "kills in force were not in the Redis stream under the present key; they are now"
)


def shared_state(config: Config, clock: Clock) -> Store:
    """Redis when it is configured or runs on this data folder, else memory.

    A server that does not answer is waited for briefly: under ``fusebox up`` it starts at the same moment.
    """
    store = open_store(url_of_store(config))
    deadline = clock.wall() + _PATIENCE_S
    while True:
        try:
            store.ping()
            return store
        except StoreUnavailable as error:
            if clock.wall() > deadline:
                happenings.emit(STORE_ABSENT, error=str(error))
                return store
            clock.sleep(0.05)


def approvals_key(folder: Path) -> bytes:
    """The secret that seals approvals in the state store, made at the first start. Raises ConfigError: damaged."""
    return key_at(folder / "approvals.key", _KEY_BYTES, "what people agreed to so far counts no more")


def broker(config: Config, clock: Clock) -> BrokerCarrier | None:
    """RabbitMQ, when it is configured."""
    url = config.secret("amqp_url")
    return BrokerCarrier(AmqpBroker(url, client_name="fusebox-watch"), clock) if url else None


def disconnector(config: Config, latch: Latch, receipts: Receipts) -> Disconnector | None:
    """Closes connections of killed agents, when RabbitMQ's management is configured."""
    url, amqp = config.secret("management_url"), config.secret("amqp_url")
    vhost = Address(amqp).vhost if amqp else "/"
    return Disconnector(Management(url), vhost, latch, receipts.complete) if url else None


def stream(config: Config, clock: Clock, latch: Latch, signer: Signer) -> Outbound | None:
    """The Redis stream of Commands, when shared state is a Redis; kills in force are put there first."""
    stream = command_stream(config)
    if stream is None:
        return None

    def restate() -> None:
        kills = [_command(kill, config.tenant) for kill in latch.kills().values()]
        kills.sort(key=lambda kill: not narrow(kill.scope))  # more than it keeps: the widest and newest
        count = stream.restate((signer.sign(kill), kill) for kill in kills[-KEPT:])
        if count:
            happenings.emit(KILLS_RESTATED, count=count)

    return Outbound(REDIS, stream.append, clock, away=STREAM_AWAY, connect=restate, close=stream.close)


def _command(kill: Kill, tenant: str) -> Command:
    return Command(Order.KILL, kill.scope, kill.operator, kill.reason, kill.time, tenant, id=kill.id)
