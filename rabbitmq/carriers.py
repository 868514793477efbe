"""Carriers: how signed Commands reach this process. Whichever copy comes first is obeyed; the rest are duplicates.

* :class:`HttpCarrier` long-polls *watch*. Its first act is a snapshot over a nonce drawn here: it teaches kills,
  lifted ids and open circuits, and proves that *watch* (and not an old recording) said so.
* :class:`BrokerCarrier` reads this process's own queue on the control exchange and asks for the snapshot with
  ``reply_to``: at first, and every :data:`SNAPSHOT_S` again, because a Command that was sent while the connection was
  broken may have met no queue. The user of an agent may not declare a queue; it reads the one that was provisioned for
  it (and its one process).
* :class:`rabbitmq.stream_carrier.StreamCarrier` reads the Redis stream.
"""

from __future__ import annotations

import functools
import json
import secrets
import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Final

from fusebox import happenings, names
from fusebox.control import ControlClient, ControlRefused
from fusebox.errors import BadCommand
from rabbitmq.broker import Broker, Consumer, Delivery, Message
from rabbitmq.identity import is_agent_user
from rabbitmq.receiver import CARRIER_FAILED, CARRIER_REFUSED, Json, Receiver
from rabbitmq.topology import control_topology, user_control_topology
from rabbitmq.uplink import ClientSource, TokenSource

POLL_WAIT_S: Final = 5.0
SNAPSHOT_S: Final = 30.0
_RETRY_S: Final = 0.25
_CONFLICT: Final = 409


class HttpCarrier:
    """Long-polls *watch* on a thread of its own."""

    def __init__(self, client: ClientSource, receiver: Receiver) -> None:
        self._client = client
        self._receiver = receiver
        self._cursor: int | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="fusebox-carrier-http", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout: float = 1.0) -> None:
        """Ask the thread to end; a poll under way is left to its own timeout (the thread is a daemon)."""
        self._stopping.set()
        if self._thread.ident:
            self._thread.join(min(timeout, 0.2))

    def hurry(self) -> None:
        """Fetch a snapshot now, on the caller's thread: an agent has just joined."""
        self._attempt(self._introduce)

    def _run(self) -> None:
        while not self._stopping.is_set():
            fresh = self._cursor is None or self._receiver.unverified()
            if not self._attempt(self._introduce if fresh else self._poll):
                self._stopping.wait(_RETRY_S)

    def _attempt(self, step: Callable[[ControlClient], None]) -> bool:
        try:
            client = self._client()
            if client is None:
                return False
            step(client)
            return True
        except ControlRefused as refused:
            lost = refused.status == _CONFLICT  # watch was restarted: an ordinary reason for a new snapshot
            happenings.emit(CARRIER_FAILED if lost else CARRIER_REFUSED, carrier="http", error=str(refused))
        except Exception as error:  # whatever answered there: nothing may end the thread by which a kill arrives
            happenings.emit(CARRIER_FAILED, carrier="http", error=repr(error))
        self._cursor = None
        return False

    def _poll(self, client: ControlClient) -> None:
        body = {**self._receiver.introduction(), "cursor": self._cursor, "wait": POLL_WAIT_S}
        answer = client.send("poll", body, POLL_WAIT_S)
        for signed in answer["commands"]:
            self._receiver.command(str(signed).encode())
        self._cursor = int(answer["cursor"])
        self._receiver.heard()

    def _introduce(self, client: ControlClient) -> None:
        """Learn how things stand. A cursor that is known stays: Commands since then are still to be acknowledged."""
        who, nonce = self._receiver.introduction(), secrets.token_hex(16)
        answer = client.send("snapshot", {"nonce": nonce, "process": who["process"], "agents": list(who["agents"])})
        cursor = self._receiver.snapshot(str(answer["signed"]).encode(), nonce)
        if self._cursor is None:
            self._cursor = cursor


class BrokerCarrier:
    """Reads Commands from the control exchange."""

    def __init__(self, broker: Broker, receiver: Receiver, token: TokenSource) -> None:
        self._broker = broker
        self._receiver = receiver
        self._token = token
        self._queue, self._nonce, self._next_snapshot = "", "", 0.0
        self._consumer: Consumer | None = None
        # The broker's I/O thread only puts in here: obeying writes a file and may ask the board.
        self._inbox: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="fusebox-carrier-amqp", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout: float = 1.0) -> None:
        if self._thread.ident:
            self._inbox.put(None)
            self._thread.join(timeout)
        if self._consumer is not None:
            self._consumer.cancel()

    def _listen(self) -> None:
        user, process = self._broker.user, str(self._receiver.introduction()["process"])
        topology = user_control_topology(user) if is_agent_user(user) else control_topology(process)
        self._broker.declare(topology)
        self._queue = topology.queues[0].name
        self._consumer = self._broker.consume(self._queue, self._take, prefetch=64)

    def _take(self, delivery: Delivery) -> None:
        delivery.ack()
        self._inbox.put(functools.partial(self._obey, delivery.message))

    def hurry(self) -> None:
        """Ask for a snapshot now: an agent has just joined."""
        self._inbox.put(self._introduce)

    def _run(self) -> None:
        """Listen once the broker is there; obey what comes, keep the lease alive, ask until there is a snapshot."""
        next_poll = 0.0
        while True:
            if self._consumer is None:
                self._attempt(self._listen)
            if time.monotonic() >= next_poll:
                next_poll = time.monotonic() + POLL_WAIT_S
                self._attempt(self._introduce)
            try:
                work = self._inbox.get(timeout=max(0.0, next_poll - time.monotonic()))
            except Empty:
                continue
            if work is None:
                return
            self._attempt(work)

    def _attempt(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BadCommand as error:
            happenings.emit(happenings.COMMAND_REJECTED, carrier="amqp", error=str(error))
        except Exception as error:  # as above
            happenings.emit(CARRIER_FAILED, carrier="amqp", error=repr(error))

    def _obey(self, message: Message) -> None:
        if not message.correlation_id:
            self._receiver.command(message.body)
        elif message.correlation_id == self._nonce:
            self._receiver.snapshot(message.body, self._nonce)

    def _introduce(self) -> None:
        who = self._receiver.introduction()
        if self._receiver.unverified() or time.monotonic() >= self._next_snapshot:
            self._next_snapshot = time.monotonic() + SNAPSHOT_S
            self._nonce = secrets.token_hex(16)
            self._say("snapshot", {"nonce": self._nonce, "process": who["process"], "agents": list(who["agents"])})
        self._say("poll", {**who, "cursor": 0, "wait": 0})

    def _say(self, kind: str, body: Json) -> None:
        content = json.dumps({"kind": kind, "token": self._token(), "body": body}).encode()
        message = Message(content, correlation_id=str(body.get("nonce", "")), reply_to=self._queue)
        self._broker.publish(names.EXCHANGE_UPLINK, kind, message, timeout=2.0)
