"""The broker as a second way to and from agent processes, each direction on a thread of its own.

Out: :meth:`BrokerCarrier.offer` puts signed bytes into a bounded queue; a thread publishes them on ``fusebox.control``
and tries again while the broker is away. A Command that waited longer than its window is dropped (a KILL never is):
nobody would obey it. In: messages of ``fusebox.uplink`` are ``{"kind", "token", "body"}``; they are handled by the
same methods as their HTTP twins and acknowledged afterwards, whatever came of it, unless *watch* could not journal.
"""

from __future__ import annotations

import json
import logging
import math
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from collector.watch.refusal import BAD_REQUEST, UNAUTHORISED, UNAVAILABLE, Refusal
from fusebox import happenings
from fusebox.clock import Clock
from fusebox.command import WINDOW_S, Command, Order
from fusebox.errors import FuseboxError, Retryable, Unroutable
from fusebox.names import EXCHANGE_CONTROL, EXCHANGE_UPLINK
from rabbitmq.broker import Broker, Consumer, Delivery, Message
from rabbitmq.topology import uplink_topology

MAX_WAITING: Final = 1_000
_MAX_BODY: Final = 1 << 20
_PREFETCH: Final = 64
_PAUSE_S: Final = 0.5
_MAX_PAUSE_S: Final = 5.0

BROKER_AWAY: Final = happenings.declare(
    "watch_broker_away", logging.ERROR, "watch cannot use the broker; Commands still travel by long poll"
)
COMMAND_UNSENT: Final = happenings.declare(
    "command_unsent", logging.ERROR, "a Command did not travel by broker: too late, or too many wait"
)
UPLINK_REFUSED: Final = happenings.declare(
    "uplink_refused", logging.WARNING, "a message of an agent process was refused: shape, token or agent ids"
)
UPLINK_FAILED: Final = happenings.declare("uplink_failed", logging.ERROR, "a message of an agent process broke watch")

Handle = Callable[[str, str | None, Any], dict[str, Any]]
"""``handle(kind, token, body)``; raises :class:`Refusal`."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    signed: bytes
    until: float
    """Unscaled Unix seconds after which nobody would obey it."""


class BrokerCarrier:
    """Watch's use of a broker; a :class:`fusebox.lifecycle.Service` whose start never fails and never waits."""

    def __init__(self, broker: Broker, clock: Clock) -> None:
        self._broker, self._clock = broker, clock
        self._handle: Handle | None = None
        self._out: queue.Queue[_Waiting | None] = queue.Queue(MAX_WAITING)
        self._in: queue.Queue[Delivery | None] = queue.Queue()
        self._consumer: Consumer | None = None
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=run, name=f"watch-amqp-{name}", daemon=True)
            for name, run in (("out", self._send_all), ("in", self._handle_all))
        ]

    def listen(self, handle: Handle) -> None:
        """Who answers agent processes; call it before :meth:`start`."""
        self._handle = handle

    def offer(self, signed: bytes, command: Command) -> None:
        """Take a Command to publish; returns at once."""
        until = math.inf if command.order is Order.KILL else command.issued_at + WINDOW_S
        try:
            self._out.put_nowait(_Waiting(signed, until))
        except queue.Full:
            happenings.emit(COMMAND_UNSENT, reason="too many wait")

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self, timeout: float = 10.0) -> None:
        self._stopping.set()
        for waiting in (self._out, self._in):
            _nudge(waiting)
        for thread in self._threads:
            if thread.ident:
                thread.join(timeout)
        self._broker.stop(timeout)

    # --- out ------------------------------------------------------------------------------------------------------
    def _send_all(self) -> None:
        if not self._connected():
            return
        while not self._stopping.is_set():
            waiting = self._out.get()
            if waiting is not None:
                self._send(waiting)

    def _connected(self) -> bool:
        """Connect and subscribe, however long it takes; False at stop."""
        pause = _PAUSE_S
        while not self._stopping.is_set():
            try:
                self._broker.start()
                self._broker.declare(uplink_topology())
                self._consumer = self._broker.consume(EXCHANGE_UPLINK, self._in.put, prefetch=_PREFETCH)
                return True
            except FuseboxError as error:
                happenings.emit(BROKER_AWAY, error=str(error))
                self._stopping.wait(pause)
                pause = min(_MAX_PAUSE_S, pause * 2)
        return False

    def _send(self, waiting: _Waiting) -> None:
        while not self._stopping.is_set():
            if self._clock.wall() > waiting.until:
                happenings.emit(COMMAND_UNSENT, reason="the broker was away for too long")
                return
            try:
                self._broker.publish(EXCHANGE_CONTROL, "", Message(waiting.signed), timeout=2.0)
                return
            except Unroutable:  # nobody listens on the broker
                return
            except FuseboxError as error:
                happenings.emit(BROKER_AWAY, error=str(error))
                self._stopping.wait(_PAUSE_S)

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
        if kind == "snapshot" and message.reply_to:
            reply = Message(str(answer["signed"]).encode(), correlation_id=message.correlation_id)
            self._reply(message.reply_to, reply)

    def _reply(self, to: str, reply: Message) -> None:
        try:
            self._broker.publish("", to, reply, timeout=2.0)
        except Unroutable:  # who asked is gone
            return


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


def _nudge(waiting: queue.Queue[Any]) -> None:
    """Wake whoever waits on the queue."""
    try:
        waiting.put_nowait(None)
    except queue.Full:
        return
