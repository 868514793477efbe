"""The other engine: an OPA server, asked over its Data API.

``POST /v1/data/<path>?provenance=true`` with ``{"input": …}``; the answer is ``{"result", "decision_id", "provenance":
{"bundles": {name: {"revision"}}}}``. No ``result`` means undefined, which is a denial. A server that does not answer
in time denies; for :data:`REST_S` it is not asked again, so that an agent does not wait each time. An answer that is an
error denies that one question: what one agent asks must not keep all others waiting.
(OPA documentation, "REST API"; https://www.openpolicyagent.org/docs/rest-api)
"""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from fusebox.clock import Clock
from fusebox.deadline import deadline
from fusebox.http_address import connection_to
from fusebox.tls import advised
from governance.policy.ruling import ENTRYPOINT, VARYING, BadPolicy, PolicyUnavailable, Question, Ruling, ruling_of

TIMEOUT_S: Final = 1.0
REST_S: Final = 1.0
_MAX_ANSWER: Final = 1 << 20
_AWAY: Final = frozenset({http.client.BAD_GATEWAY, http.client.SERVICE_UNAVAILABLE, http.client.GATEWAY_TIMEOUT})


class OpaEngine:
    """Asks one server; each thread keeps its own connection.

    Args:
        url: ``https://opa:8181``, or the whole address of the decision (``…/v1/data/<path>``).
        token: bearer token, when the server wants one.
    """

    remote = True
    reads = VARYING

    def __init__(self, url: str, token: str | None, clock: Clock) -> None:
        parts = urlsplit(url)
        self.url = url.rstrip("/")
        self._parts = parts
        self._path = (parts.path.rstrip("/") or f"/v1/data/{ENTRYPOINT}") + "?provenance=true"
        self._headers = {"content-type": "application/json"} | ({"authorization": f"Bearer {token}"} if token else {})
        self._clock = clock
        self._rests_until, self._why = 0.0, ""
        self._local = threading.local()

    def decide(self, question: Question) -> Ruling:
        """The server's answer.

        Raises:
            PolicyUnavailable: it does not answer.
            BadPolicy: the answer is no decision.
        """
        if self._clock.monotonic() < self._rests_until:
            raise PolicyUnavailable(self._why)
        try:
            status, body = self._post(json.dumps({"input": question}))
        except (OSError, http.client.HTTPException) as error:
            raise self._unavailable(advised(repr(error))) from error
        if status in _AWAY:
            raise self._unavailable(f"HTTP status {status}")
        if status != http.client.OK:
            raise PolicyUnavailable(f"the policy server {self.url} cannot answer this: HTTP status {status}")
        answer = _object(body)
        revision = revision_of(answer.get("provenance"))
        return ruling_of(answer.get("result"), revision, str(answer.get("decision_id", "")))

    def close(self) -> None:
        """Let go of this thread's connection."""
        connection: http.client.HTTPConnection | None = getattr(self._local, "connection", None)
        if connection is not None:
            connection.close()
            self._local.connection = None

    def _post(self, body: str) -> tuple[int, bytes]:
        """One call; a kept connection that the server has closed meanwhile is opened anew, once."""
        kept: http.client.HTTPConnection | None = getattr(self._local, "connection", None)
        if kept is not None:
            try:
                return self._exchange(kept, body)
            except (ConnectionError, http.client.BadStatusLine):
                self.close()
        new = self._local.connection = connection_to(self._parts, TIMEOUT_S)
        return self._exchange(new, body)

    def _exchange(self, connection: http.client.HTTPConnection, body: str) -> tuple[int, bytes]:
        try:
            with deadline(lambda: connection.sock, TIMEOUT_S):
                connection.request("POST", self._path, body, self._headers)
                response = connection.getresponse()
                answer = response.read(_MAX_ANSWER)
            if response.length:  # cut off, or longer than any decision
                raise http.client.IncompleteRead(answer, response.length)
            return response.status, answer
        except BaseException:
            connection.close()
            raise

    def _unavailable(self, why: str) -> PolicyUnavailable:
        self._rests_until = self._clock.monotonic() + REST_S
        self._why = f"the policy server {self.url} does not answer: {why}"
        return PolicyUnavailable(self._why)


def revision_of(provenance: object) -> str:
    """The revisions of the server's bundles, ``name@revision`` each; empty when it serves none."""
    bundles = provenance.get("bundles") if isinstance(provenance, Mapping) else None
    if not isinstance(bundles, Mapping):
        return ""
    named = {name: each.get("revision", "") for name, each in bundles.items() if isinstance(each, Mapping)}
    return ",".join(f"{name}@{revision}" for name, revision in sorted(named.items()))


def _object(body: bytes) -> dict[str, Any]:
    """
    Raises:
        BadPolicy: the body is no JSON object.
    """
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        answer = None
    if not isinstance(answer, dict):
        raise BadPolicy("what answers at the policy's address is not OPA: it sent no JSON object")
    return answer
