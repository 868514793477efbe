"""Client of the control API (*watch*): what agent processes, the CLI and the dashboard say to it.

The protocol is the table "Control protocol" of ``docs/architecture.md``. One connection per call: calls are rare, and
a long poll must never share a socket with a kill.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import SplitResult, quote, urlsplit

from fusebox.config import Config
from fusebox.errors import ConfigError, ControlUnavailable, Permanent
from fusebox.http_address import connection_to
from fusebox.rundir import absent, secret_of, url_of
from fusebox.tls import advised

Json = dict[str, Any]
YOU: Final = "fusebox-you"
"""Header with the name under which *watch* knows whoever asks for the board."""
SECOND: Final = "second-authorization"
"""Header with the token of an operator who agrees to a resume."""


class ControlRefused(Permanent):
    """The control API said no.

    Attributes:
        status: HTTP status of the answer.
    """

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


@dataclass(frozen=True, slots=True)
class Told:
    """The answer to whoever has a board already: the newest one's tag, and the name under which *watch* knows them."""

    tag: str
    you: str
    said: bytes
    """Empty when they have the newest."""

    def board(self) -> Json:
        """The newest one. Raises: ControlUnavailable: what answered is not watch."""
        return _answer(http.client.OK, self.said or b"-")


class ControlClient:
    """Calls the control API.

    Args:
        url: for example ``http://127.0.0.1:4320``.
        token: an operator's or an agent's token.
        timeout: seconds one call may take (a long poll adds its own wait).

    Every method raises:
        ControlUnavailable: nobody answers, or the answer is 503.
        ControlRefused: the API refused; the text is its own sentence.
    """

    def __init__(self, url: str, token: str | None, timeout: float = 5.0) -> None:
        parts = _split(url)
        self.url = url.rstrip("/")
        self._parts, self._prefix = parts, parts.path.rstrip("/")
        self._headers = {"content-type": "application/json"} | ({"authorization": f"Bearer {token}"} if token else {})
        self._timeout = timeout

    @classmethod
    def local(cls, config: Config) -> ControlClient:
        """The client of the operator at this machine.

        Raises:
            ControlUnavailable: *watch* does not run and no ``control_url`` is set.
        """
        url = url_of(config, "watch", "control_url")
        if url is None:
            raise ControlUnavailable(absent(config, "watch", "control_url"))
        return cls(url, secret_of(config, "operator_token", "operator.token"))

    # --- people ---------------------------------------------------------------------------------------------------
    def board(self) -> Json:
        """The board of circuits."""
        return self._call("GET", "/v1/board")

    def board_unless(self, tag: str) -> Told:
        """The board of this second, unless it is the one with that ``tag``."""
        status, headers, raw = self._exchange("GET", "/v1/board", more={"if-none-match": tag or '""'})
        if status not in (http.client.OK, http.client.NOT_MODIFIED):
            _answer(status, raw)
        return Told(headers.get("etag", ""), headers.get(YOU, ""), raw)

    def reprice(self, subject: str, reason: str, rows: Sequence[Mapping[str, str]]) -> Json:
        """Record new costs of ledger rows (trace_id, span_id, cost_usd, price, before_usd, before_price)."""
        return self._call("POST", "/v1/reprice", {"subject": subject, "reason": reason, "rows": list(rows)})

    def erase(self, writer: str, seq: int, reason: str) -> Json:
        """Have the payload of an entry of the audit log removed."""
        return self._call("POST", "/v1/erase", {"writer": writer, "seq": seq, "reason": reason})

    def verified(self, sizes: Mapping[str, int]) -> Json:
        """Record that a verification found the first so many entries of each writer as they were signed."""
        return self._call("POST", "/v1/verified", {"sizes": dict(sizes)})

    def messages(self, agent: str, act: str, queue: str, chosen: str) -> Json:
        """Record that an agent's held or dead messages are about to be replayed or discarded; names the ``order``."""
        return self._call("POST", "/v1/messages", {"agent": agent, "act": act, "queue": queue, "chosen": chosen})

    def outcome(self, order: str, count: int, error: str = "") -> Json:
        """Record what became of it."""
        return self._call("POST", "/v1/outcome", {"order": order, "count": count, "error": error})

    def kill(self, scope: str, reason: str) -> Json:
        """Cut everything ``scope`` covers; see :class:`fusebox.command.Command`."""
        return self._call("POST", "/v1/kill", {"scope": scope, "reason": reason})

    def resume(self, scope: str, reason: str, *, second_token: str | None = None) -> Json:
        """Lift the kills of ``scope`` and probe its circuits; ``second_token`` is that of an operator who agrees."""
        more = {SECOND: f"Bearer {second_token}"} if second_token else {}
        return self._call("POST", "/v1/resume", {"scope": scope, "reason": reason}, more=more)

    def trip(self, agent: str, reason: str) -> Json:
        """Open one circuit."""
        return self._call("POST", "/v1/trip", {"agent": agent, "reason": reason})

    def reset(self, agent: str, reason: str) -> Json:
        """Close one circuit."""
        return self._call("POST", "/v1/reset", {"agent": agent, "reason": reason})

    def mode(self, agent: str, mode: str, reason: str) -> Json:
        """Put one circuit into ``normal``, ``observe_only`` or ``disabled``."""
        return self._call("POST", "/v1/mode", {"agent": agent, "mode": mode, "reason": reason})

    def receipts(self, command: str) -> Json:
        """Which processes have applied a Command."""
        return self._call("GET", f"/v1/receipts/{quote(command, safe='')}")

    def alerts(self) -> Json:
        """The newest alerts, what reached nobody, silences, and how each sink stands."""
        return self._call("GET", "/v1/alerts")

    def silence(self, match: Mapping[str, Sequence[str]], seconds: float, reason: str) -> Json:
        """Keep alerts from people for a while; ``match`` lists ``agents``, ``teams``, ``severities``, ``types``."""
        return self._call("POST", "/v1/alerts/silence", {"match": dict(match), "seconds": seconds, "reason": reason})

    def unsilence(self, silence: str, reason: str) -> Json:
        """End a silence."""
        return self._call("POST", "/v1/alerts/unsilence", {"silence": silence, "reason": reason})

    def acknowledge(self, alert: str, reason: str) -> Json:
        """Take care of an alert."""
        return self._call("POST", "/v1/alerts/ack", {"alert": alert, "reason": reason})

    def test_alert(self, sink: str = "", wait: float = 60.0) -> Json:
        """Send a test to one sink, or all; it may take as long as the slowest sink, ``wait`` seconds at most."""
        return self._call("POST", "/v1/alerts/test", {"sink": sink}, wait)

    def audit_failed(self, reason: str, where: str) -> Json:
        """Tell people that the audit journal does not verify."""
        return self._call("POST", "/v1/alerts/audit", {"reason": reason, "where": where})

    def approvals(self) -> Json:
        """What waits for a person, and what became of what did."""
        return self._call("GET", "/v1/approvals")

    def approval(self, id: str) -> Json:
        """One of them, with its exact arguments."""
        return self._call("GET", f"/v1/approvals/{quote(id, safe='')}")

    def answer(self, approval: str, digest: str, approve: bool, reason: str) -> Json:
        """Agree, or not, to what has this ``digest``: what was shown must be what is answered."""
        body = {"approval": approval, "digest": digest, "approve": approve, "reason": reason}
        return self._call("POST", "/v1/approvals/answer", body)

    # --- agent processes ------------------------------------------------------------------------------------------
    def send(self, kind: str, body: Mapping[str, Any], wait: float = 0.0) -> Json:
        """One call of an agent process: ``snapshot``, ``poll``, ``receipts``, ``reports``, ``denials``, ``hold``,
        ``standing`` or ``leave``."""
        return self._call("POST", f"/v1/{kind}", body, wait)

    def _call(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, wait: float = 0.0,
        more: Mapping[str, str] | None = None,
    ) -> Json:  # fmt: skip
        status, _, raw = self._exchange(method, path, body, wait, more)
        return _answer(status, raw)

    def _exchange(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, wait: float = 0.0,
        more: Mapping[str, str] | None = None,
    ) -> tuple[int, http.client.HTTPMessage, bytes]:  # fmt: skip
        connection = connection_to(self._parts, self._timeout + wait)
        try:
            payload = None if body is None else json.dumps(body)
            connection.request(method, self._prefix + path, payload, self._headers | dict(more or {}))
            response = connection.getresponse()
            return response.status, response.headers, response.read()
        except (OSError, http.client.HTTPException) as error:
            raise ControlUnavailable(advised(f"watch at {self.url} does not answer: {error!r}")) from error
        finally:
            connection.close()


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        found = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # its text quotes parts of the address
        found = False
    if not found:
        raise ConfigError("control_url is not an http(s) address; write it as https://host:4320")
    return parts


def _answer(status: int, raw: bytes) -> Json:
    data = _object(raw)
    if status == http.client.SERVICE_UNAVAILABLE:
        raise ControlUnavailable(str((data or {}).get("error", "watch is not ready")))
    if status >= http.client.BAD_REQUEST:
        raise ControlRefused(status, str((data or {}).get("error", f"HTTP status {status}")))
    if status != http.client.OK or data is None:
        raise ControlUnavailable(f"what answers there is not watch (HTTP status {status}); check control_url")
    return data


def _object(raw: bytes) -> Json | None:
    try:
        data = json.loads(raw or b"{}")
    except (ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) else None
