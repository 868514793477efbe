"""The broker as a second way to and from agent processes, each direction on a thread of its own.

Out: an :class:`Outbound` publishes signed bytes on ``fusebox.control``. In: messages of ``fusebox.uplink`` are
``{"kind", "token", "body"}``; they are handled by the same methods as their HTTP twins and acknowledged afterwards,
whatever came of it, unless *watch* could not journal.
"""

from __future__ import annotations

import json
import logging
import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from collector.watch.outbound import Outbound
from collector.watch.refusal import BAD_REQUEST, UNAUTHORISED, UNAVAILABLE, Refusal
from fusebox import happenings
from fusebox.clock import Clock
from fusebox.command import Command
from fusebox.errors import Retryable, Unroutable
from fusebox.names import EXCHANGE_CONTROL, EXCHANGE_UPLINK
from rabbitmq.broker import Broker, Consumer, Delivery, Message
from rabbitmq.topology import is_control_queue, uplink_topology

_MAX_BODY: Final = 1 << 20
_PREFETCH: Final = 64
_PAUSE_S: Final = 0.5
_NOBODY: Final = "nobody"

BROKER_AWAY: Final = happenings.declare(
    "watch_broker_away", logging.ERROR, "watch cannot use the broker; Commands still travel by the other carriers"
)
UPLINK_REFUSED: Final = happenings.declare(
    "uplink_refused", logging.WARNING, "a message of an agent process was refused: shape, token or agent ids"
)
UPLINK_FAILED: Final = happenings.declare("uplink_failed", logging.ERROR, "a message of an agent process broke watch")

Handle = Callable[[str, str | None, Any], dict[str, Any]]
"""``handle(kind, token, body)``; raises :class:`Refusal`."""


class BrokerCarrier:
    """Watch's use of a broker; a :class:`fusebox.lifecycle.Service` whose start never fails and never waits.

    Attributes:
        out: by which Commands leave.
    """

    def __init__(self, broker: Broker, clock: Clock) -> None:
        self._broker = broker
        self._handle: Handle | None = None
        self.out = Outbound("amqp", self._publish, clock, away=BROKER_AWAY, connect=self._connect, probe=self._try)
        self._in: queue.Queue[Delivery | None] = queue.Queue()
        self._consumer: Consumer | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._handle_all, name="watch-amqp-in", daemon=True)

    def listen(self, handle: Handle) -> None:
        """Who answers agent processes; call it before :meth:`start`."""
        self._handle = handle

    def offer(self, signed: bytes, command: Command) -> None:
        """Take a Command to publish; returns at once."""
        self.out.offer(signed, command)

    def depth(self, queue: str) -> int:
        """Messages in a queue, 0 when it does not exist.

        Raises:
            FuseboxError: the broker does not answer.
        """
        return self._broker.depth(queue)

    def start(self) -> None:
        self.out.start()
        self._thread.start()

    def stop(self, timeout: float = 10.0) -> None:
        self._stopping.set()
        self.out.stop(timeout)
        self._in.put(None)
        if self._thread.ident:
            self._thread.join(timeout)
        self._broker.stop(timeout)

    # --- out ------------------------------------------------------------------------------------------------------
    def _connect(self) -> None:
        self._broker.start()
        self._broker.declare(uplink_topology())
        self._consumer = self._broker.consume(EXCHANGE_UPLINK, self._in.put, prefetch=_PREFETCH)

    def _publish(self, signed: bytes, _command: Command) -> None:
        self._say(EXCHANGE_CONTROL, "", Message(signed))

    def _try(self) -> None:
        """As a Command would leave, but to nobody: an alarm holds up what is published, and nothing else."""
        self._say(EXCHANGE_UPLINK, _NOBODY, Message(b""))

    def _say(self, exchange: str, key: str, message: Message) -> None:
        with suppress(Unroutable):  # nobody listens on the broker
            self._broker.publish(exchange, key, message, timeout=2.0)

    # --- in -------------------------------------------------------------------------------------------------------
    def _handle_all(self) -> None:
        while not self._stopping.is_set():
            delivery = self._in.get()
            if delivery is not None:
                self._settle(delivery)

    def _settle(self, delivery: Delivery) -> None:
        try:
            self._answer(delivery.message)
        except Refusal as refusal:
            if refusal.status == UNAVAILABLE:
                self._stopping.wait(_PAUSE_S)
                delivery.reject(requeue=True)
                return
            happenings.emit(UPLINK_REFUSED, error=str(refusal))
        except Retryable as error:
            happenings.emit(BROKER_AWAY, error=str(error))
        except Exception as error:  # one message must not deafen watch to the next
            happenings.emit(UPLINK_FAILED, error=repr(error))
        delivery.ack()

    def _answer(self, message: Message) -> None:
        kind, token, body = _envelope(message.body)
        if self._handle is None:
            raise Refusal(UNAVAILABLE, "watch is not ready")
        answer = self._handle(kind, token, body)
        if kind == "snapshot" and is_control_queue(message.reply_to):  # nobody has us fill another's queue
            reply = Message(str(answer["signed"]).encode(), correlation_id=message.correlation_id)
            self._reply(message.reply_to, reply)

    def _reply(self, to: str, reply: Message) -> None:
        self._say("", to, reply)


def _envelope(raw: bytes) -> tuple[str, str | None, Any]:
    try:
        data = json.loads(raw) if len(raw) <= _MAX_BODY else None
    except (ValueError, RecursionError):
        data = None
    if not isinstance(data, dict) or data.keys() != {"kind", "token", "body"}:
        raise Refusal(BAD_REQUEST, 'a message to watch is {"kind", "token", "body"}, at most 1 MiB of JSON')
    if not isinstance(data["token"], str):
        raise Refusal(UNAUTHORISED, "a message to watch carries the agent token")
    return str(data["kind"]), data["token"], data["body"]
