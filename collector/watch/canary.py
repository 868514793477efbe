"""Canary: a span through the whole path, again and again, so that silence is told apart from quiet.

::

            POST to receive answered             live detection met it          the SQL port has it
    due ─────────────────────────────► sent ──────────────────────────► judged ────────────────────► through ─► due
     ▲                                   │ not within PATIENCE_S                                        (after interval)
     └───────────────────────────────────┘  the reason is remembered; late once nothing came through for LATE_S

The spool keeps order, so once a canary is stored, everything that was received before it is stored too (up to requests
that were answered in the same instant): its time of receipt is the watermark of the database, and what *watch* met
before it is what it has judged.
"""

from __future__ import annotations

import http.client
import logging
import secrets
import threading
from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

from clickhouse_connect.driver.client import Client
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from collector import queries
from collector.truth_queries import CANARY, CANARY_SERVICE
from collector.watch.steady import Steady
from fusebox import happenings, names
from fusebox.clock import Clock
from fusebox.config import Config
from fusebox.errors import Retryable
from fusebox.http_address import connection_to
from fusebox.rundir import secret_of, url_of
from fusebox.tls import advised

PATIENCE_S: Final = 10.0
LATE_S: Final = 30.0
_ASK_S: Final = 0.2
_TIMEOUT_S: Final = 5.0
_OK: Final = 200

LATE: Final = happenings.declare(
    "canary_late", logging.ERROR, "no canary came through the whole path for half a minute"
)
THROUGH: Final = happenings.declare("canary_through", logging.DEBUG, "a canary came through the whole path")


class _Lost(Retryable):
    """A canary did not come through; the text says where it was seen last."""


class Canary:
    """Sends one at a time on a thread of its own; a :class:`fusebox.lifecycle.Service`.

    Args:
        late: called with the reason once for each time that none comes through.
    """

    def __init__(self, config: Config, clock: Clock, late: Callable[[str, float], None]) -> None:
        self._config, self._clock, self._late = config, clock, late
        self._client: Client | None = None
        self._seen = ""
        self._reason = ""
        self._told = False
        self._steady = Steady(clock)
        self._good_at, self._good = self._steady.now(), clock.wall()
        self.watermark = 0.0
        """What was received before this time (Unix seconds on our clock) is in the database; 0 = not known."""
        self.seconds = 0.0
        """How long the last one took from being sent to being found by SQL."""
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch-canary", daemon=True)

    def start(self) -> None:
        self._well()
        if self._config.canary_s:
            self._thread.start()

    def stop(self, timeout: float = 10.0) -> None:
        self._stopping.set()
        if self._thread.ident:
            self._thread.join(timeout)

    def met(self, span_id: str) -> None:
        """Live detection met a canary."""
        self._seen = span_id

    @property
    def age(self) -> float:
        """Real seconds since one came through (or since the start)."""
        return self._steady.now() - self._good_at

    def trouble(self) -> str:
        """Why none comes through; empty while they do, or when none is sent."""
        if not self._config.canary_s or self.age <= LATE_S + self._config.canary_s:
            return ""
        return f"no canary span came through for {self.age:.0f} s: {self._reason or 'none was answered'}"

    def _run(self) -> None:
        pause = 0.0
        while not self._stopping.wait(pause):
            try:
                self._send_one()
            except Exception as error:  # whatever stops a canary is what it is there to find
                self._reason = str(error) or repr(error)
                self._close()
                self._tell()
            pause = self._config.canary_s

    def _send_one(self) -> None:
        span_id, started, began = secrets.token_hex(8), self._clock.now(), self._steady.now()
        self._post(_canary(span_id, started))
        received = self._await(span_id, started)
        self.watermark, self.seconds = received, self._steady.now() - began
        self._well()
        happenings.emit(THROUGH, seconds=round(self.seconds, 3))

    def _well(self) -> None:
        """One came through, or it starts."""
        self._good_at, self._good = self._steady.now(), self._clock.wall()
        self._reason, self._told = "", False

    def _await(self, span_id: str, started: float) -> float:
        """Time of receipt, once SQL shows it."""
        for _ in range(int(PATIENCE_S / _ASK_S)):
            if self._client is None:
                self._client = queries.connect(self._config)
            found = queries.run(self._client, "canary", span_id=span_id, since=started - 60)[0]["received"]
            if found:
                return float(found)
            if self._stopping.wait(_ASK_S):
                raise _Lost("watch stops")
        where = "judged by watch, not stored by keep" if self._seen == span_id else "not in what watch has read"
        raise _Lost(f"received, {where} after {PATIENCE_S:.0f} s")

    def _post(self, body: bytes) -> None:
        url = url_of(self._config, "receive", "otlp_endpoint")
        token = secret_of(self._config, "agent_token", "agent.token")
        if url is None:
            raise _Lost("receive does not run")
        parts = urlsplit(url)
        connection = connection_to(parts, _TIMEOUT_S)
        try:
            headers = {"content-type": "application/x-protobuf", "authorization": f"Bearer {token}"}
            connection.request("POST", f"{parts.path}/v1/traces", body, headers)
            status = connection.getresponse().status
        except (OSError, http.client.HTTPException) as error:
            raise _Lost(advised(f"receive does not answer: {error}")) from error
        finally:
            connection.close()
        if status != _OK:
            raise _Lost(f"receive refuses it with HTTP status {status}")

    def _tell(self) -> None:
        trouble = self.trouble()
        if trouble and not self._told:
            self._told = True
            happenings.emit(LATE, reason=self._reason, seconds=round(self.age))
            self._late(trouble, self._good)

    def _close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.close()


def _canary(span_id: str, now: float) -> bytes:
    request = ExportTraceServiceRequest()
    resource = request.resource_spans.add()
    pair = resource.resource.attributes.add()
    pair.key, pair.value.string_value = names.SERVICE_NAME, CANARY_SERVICE
    span = resource.scope_spans.add().spans.add()
    span.name, span.kind = CANARY, span.SPAN_KIND_INTERNAL
    span.trace_id, span.span_id = secrets.token_bytes(16), bytes.fromhex(span_id)
    span.start_time_unix_nano = span.end_time_unix_nano = int(now * 1e9)
    mark = span.attributes.add()
    mark.key, mark.value.bool_value = names.CANARY, True
    return bytes(request.SerializeToString())
