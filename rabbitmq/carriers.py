"""Carriers: how signed Commands reach this process. Whichever copy comes first is obeyed; the rest are duplicates.

* :class:`HttpCarrier` long-polls *watch*. Its first act is a snapshot over a nonce drawn here: it teaches kills,
  lifted ids and open circuits, and proves that *watch* (and not an old recording) said so.
* :class:`BrokerCarrier` reads this process's own queue on the control exchange. Over a remote broker it can also ask
  for the snapshot, with ``reply_to``.
"""

from __future__ import annotations

import json
import logging
import secrets
import threading
from collections.abc import Callable
from typing import Any, Final

from fusebox import happenings, names
from fusebox.control import ControlClient, ControlRefused
from fusebox.errors import FuseboxError
from rabbitmq.broker import Broker, Delivery, Message
from rabbitmq.topology import control_topology
from rabbitmq.uplink import ClientSource

Json = dict[str, Any]
POLL_WAIT_S: Final = 5.0
_RETRY_S: Final = 0.25

CARRIER_FAILED: Final = happenings.declare(
    "carrier_failed", logging.INFO, "a Command carrier lost its connection and tries again"
)
CARRIER_REFUSED: Final = happenings.declare(
    "carrier_refused", logging.ERROR, "watch refused this process (token, agent ids or protocol)"
)


class Receiver:
    """What a carrier hands its catch to (the runtime's link)."""

    def command(self, signed: bytes) -> None:
        """A Command arrived."""
        raise NotImplementedError

    def snapshot(self, signed: bytes, nonce: str) -> int:
        """A snapshot arrived; returns the cursor to poll from.

        Raises:
            BadCommand: signature or nonce is wrong.
        """
        raise NotImplementedError

    def introduction(self) -> Json:
        """``process``, ``host``, ``pid`` and ``agents`` for a poll."""
        raise NotImplementedError


class HttpCarrier:
    """Long-polls *watch* on a thread of its own."""

    def __init__(self, client: ClientSource, receiver: Receiver) -> None:
        self._client = client
        self._receiver = receiver
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="fusebox-carrier-http", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout: float = 1.0) -> None:
        """Ask the thread to end; a poll under way is left to its own timeout (the thread is a daemon)."""
        self._stopping.set()
        if self._thread.ident:
            self._thread.join(min(timeout, 0.2))

    def _run(self) -> None:
        cursor: int | None = None
        while not self._stopping.is_set():
            client = self._client()
            try:
                cursor = self._step(client, cursor) if client else None
            except ControlRefused as refused:
                happenings.emit(CARRIER_REFUSED, error=str(refused))
                cursor = None
            except FuseboxError as error:
                happenings.emit(CARRIER_FAILED, carrier="http", error=str(error))
                cursor = None
            if cursor is None:
                self._stopping.wait(_RETRY_S)

    def _step(self, client: ControlClient, cursor: int | None) -> int:
        if cursor is None:
            return self._introduce(client)
        answer = client.send(
            "poll", {**self._receiver.introduction(), "cursor": cursor, "wait": POLL_WAIT_S}, POLL_WAIT_S
        )
        for signed in answer["commands"]:
            self._receiver.command(str(signed).encode())
        return int(answer["cursor"])

    def _introduce(self, client: ControlClient) -> int:
        who, nonce = self._receiver.introduction(), secrets.token_hex(16)
        answer = client.send("snapshot", {"nonce": nonce, "process": who["process"], "agents": list(who["agents"])})
        return self._receiver.snapshot(str(answer["signed"]).encode(), nonce)


class BrokerCarrier:
    """Reads Commands from the control exchange.

    Args:
        wanted: returns True while a snapshot is still needed (HTTP may have brought it already).
    """

    def __init__(self, broker: Broker, receiver: Receiver, token: str | None, wanted: Callable[[], bool]) -> None:
        self._broker = broker
        self._receiver = receiver
        self._token = token
        self._wanted = wanted
        self._nonce = ""
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="fusebox-carrier-amqp", daemon=True)

    def start(self) -> None:
        process = str(self._receiver.introduction()["process"])
        topology = control_topology(process)
        self._queue = topology.queues[0].name
        self._broker.declare(topology)
        self._consumer = self._broker.consume(self._queue, self._take, prefetch=64)
        self._thread.start()

    def stop(self, timeout: float = 1.0) -> None:
        self._stopping.set()
        if self._thread.ident:
            self._consumer.cancel()
            self._thread.join(timeout)

    def _take(self, delivery: Delivery) -> None:
        body = delivery.message.body
        delivery.ack()
        try:
            if delivery.message.correlation_id:
                self._receiver.snapshot(body, delivery.message.correlation_id if self._is_mine(delivery) else "")
            else:
                self._receiver.command(body)
        except FuseboxError as error:
            happenings.emit(happenings.COMMAND_REJECTED, carrier="amqp", error=str(error))

    def _is_mine(self, delivery: Delivery) -> bool:
        return bool(self._nonce) and delivery.message.correlation_id == self._nonce

    def _run(self) -> None:
        """Keep the lease alive, and ask for a snapshot until there is one."""
        while not self._stopping.is_set():
            try:
                self._introduce()
            except FuseboxError as error:
                happenings.emit(CARRIER_FAILED, carrier="amqp", error=str(error))
            self._stopping.wait(POLL_WAIT_S)

    def _introduce(self) -> None:
        who = self._receiver.introduction()
        if self._wanted():
            self._nonce = secrets.token_hex(16)
            self._say("snapshot", {"nonce": self._nonce, "process": who["process"], "agents": list(who["agents"])})
        self._say("poll", {**who, "cursor": 0, "wait": 0})

    def _say(self, kind: str, body: Json) -> None:
        content = json.dumps({"kind": kind, "token": self._token, "body": body}).encode()
        message = Message(content, correlation_id=str(body.get("nonce", "")), reply_to=self._queue)
        self._broker.publish(names.EXCHANGE_UPLINK, kind, message, timeout=2.0)
