"""Uplink: what an agent process tells *watch* (reports of its own trips, Receipts, denials), in order and patiently.

A bounded outbox in memory; one thread sends the oldest entry over HTTP where *watch* is known, else over the broker,
and keeps it until it was accepted. Entries that can never be accepted (4xx) are dropped and counted, as is what
overflows: an agent must never block on its supervisor.
"""

from __future__ import annotations

import json
import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping
from http import HTTPStatus
from itertools import islice
from typing import Any, Final

from fusebox import happenings, names
from fusebox.control import ControlClient, ControlRefused
from fusebox.errors import ConfigError, Retryable, Unroutable
from rabbitmq.broker import Broker, Message

_CAPACITY: Final = 10_000
_RETRY_S: Final = 0.25
_MAX_RETRY_S: Final = 5.0
_NOT_NOW: Final = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.TOO_MANY_REQUESTS})
"""A token may be renewed, and a busy watch gets less busy."""
_POLL: Final = "poll"

UPLINK_DROPPED: Final = happenings.declare(
    "uplink_dropped", logging.WARNING, "a report to watch was refused for good, or the outbox was full"
)

UPLINK_BLOCKED: Final = happenings.declare(
    "uplink_blocked", logging.ERROR, "nothing reaches watch before a setting, or the agent token's file, is mended"
)

Json = Mapping[str, Any]
ClientSource = Callable[[], ControlClient | None]
TokenSource = Callable[[], str | None]


class Uplink:
    """Sends to *watch* in the background.

    Args:
        client: returns the current HTTP client, or None while *watch* is unknown.
        broker: a remote broker as the second way, or None.
        token: returns the agent token, carried in broker messages.
    """

    def __init__(self, client: ClientSource, broker: Broker | None, token: TokenSource) -> None:
        self._client = client
        self._broker = broker
        self._token = token
        self._outbox: deque[tuple[str, Json]] = deque()
        self._changed = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="fusebox-uplink", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout: float = 2.0) -> None:
        """Send what can be sent within ``timeout`` seconds; count the rest. Legal twice."""
        if self._stopping:
            return
        self.flush(timeout)
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        if self._thread.ident:
            self._thread.join(timeout)
        if self._outbox:
            happenings.emit(UPLINK_DROPPED, count=len(self._outbox), reason="not delivered at exit")

    def send(self, kind: str, body: Json) -> None:
        """Queue one entry; ``kind`` is the last part of its path in the control protocol."""
        with self._changed:
            if self._stopping:
                happenings.emit(UPLINK_DROPPED, kind=kind, reason="after the stop")
                return
            if kind == _POLL:
                self._forget_polls()
            if len(self._outbox) >= _CAPACITY:
                happenings.emit(UPLINK_DROPPED, kind=kind, reason="outbox full")
                return
            self._outbox.append((kind, body))
            self._changed.notify_all()

    def _forget_polls(self) -> None:
        """All but the head, which may be on its way."""
        later = [entry for entry in islice(self._outbox, 1, None) if entry[0] != _POLL]
        while len(self._outbox) > 1:
            self._outbox.pop()
        self._outbox.extend(later)

    def flush(self, timeout: float) -> bool:
        """Wait until everything queued was accepted; False when time ran out."""
        if not self.reachable:
            return not self._outbox
        with self._changed:
            return self._changed.wait_for(lambda: not self._outbox, timeout)

    @property
    def reachable(self) -> bool:
        """True when there is any way to *watch* at all."""
        return self._client() is not None or self._broker is not None

    def _run(self) -> None:
        pause = _RETRY_S
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._outbox or self._stopping)
                if self._stopping:
                    return
                kind, body = self._outbox[0]
            if self._deliver(kind, body):
                pause = _RETRY_S
                with self._changed:
                    self._outbox.popleft()
                    self._changed.notify_all()
            else:
                with self._changed:
                    self._changed.wait_for(lambda: self._stopping, pause)
                pause = min(_MAX_RETRY_S, pause * 2)

    def _deliver(self, kind: str, body: Json) -> bool:
        try:
            client = self._client()
            if client is not None:
                client.send(kind, body)
            elif self._broker is not None:
                self._publish(self._broker, kind, body)
            else:
                return False
        except ControlRefused as refused:
            if refused.status in _NOT_NOW:
                return False
            happenings.emit(UPLINK_DROPPED, kind=kind, reason=str(refused))
        except (Retryable, Unroutable):  # watch is away, or has not set up its exchange yet
            return False
        except ConfigError as error:
            happenings.emit(UPLINK_BLOCKED, kind=kind, error=str(error))
            return False
        except Exception as error:  # one entry that cannot be sent must not end the thread, nor block the others
            happenings.emit(UPLINK_DROPPED, kind=kind, reason=repr(error))
        return True

    def _publish(self, broker: Broker, kind: str, body: Json) -> None:
        content = json.dumps({"kind": kind, "token": self._token(), "body": body}).encode()
        broker.publish(names.EXCHANGE_UPLINK, kind, Message(content), timeout=2.0)
