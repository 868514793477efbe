"""Denied: why a request is not served, told in whatever shape its API gives to errors."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any, Final

from fusebox import guard
from fusebox.records import Verdict

_LONG_S: Final = 120.0
"""Some client libraries sleep for as long as they are told, within the call: for a day, where a budget is used up."""
_LASTING: Final = frozenset({
    "insufficient_quota", "upstream_refused_credential", "upstream_redirects", "answer_too_large",
})  # fmt: skip
"""Codes of what is the same a moment later, though its status is one that client libraries try again."""
AGAIN: Final = "x-should-retry"
"""Header by which providers, and we, tell client libraries whether to try again."""


class Denied(Exception):
    """A request that is refused, or an answer that ends early.

    Args:
        status: HTTP status.
        code: short name that programs can tell apart, such as ``agent_tripped``.
        message: one sentence that names the fix.
        retry_after: seconds after which the same request may succeed.
        headers: further response headers.
        told: further fields of the error body (``incident``, the rows behind a number).
        words: the whole error body, where an upstream has worded it in the API's own shape.
    """

    def __init__(
        self, status: int, code: str, message: str, *, retry_after: float | None = None,
        headers: tuple[tuple[bytes, bytes], ...] = (), told: Mapping[str, Any] | None = None, words: bytes = b"",
    ) -> None:  # fmt: skip
        super().__init__(message)
        self.status, self.code, self.retry_after = int(status), code, retry_after
        self.headers, self.told, self.words = headers, dict(told or {}), words

    @property
    def message(self) -> str:
        """The sentence."""
        return str(self)

    def advice(self) -> Iterator[tuple[bytes, bytes]]:
        """Response headers that say when to come back, and whether a client library shall try that by itself."""
        told, wait = {name for name, _ in self.headers}, self.retry_after
        if wait is not None and b"retry-after" not in told:
            yield b"retry-after", b"%d" % max(1, math.ceil(wait))
        if ((wait or 0.0) > _LONG_S or self.code in _LASTING) and AGAIN.encode() not in told:
            yield AGAIN.encode(), b"false"


def bad_request(message: str, told: Mapping[str, Any] | None = None) -> Denied:
    """400: the request cannot be read."""
    return Denied(HTTPStatus.BAD_REQUEST, "invalid_request", message, told=told)


def no_key() -> Denied:
    """401: nobody is known by this key."""
    return Denied(
        HTTPStatus.UNAUTHORIZED, "invalid_api_key",
        "no valid virtual key; 'fusebox gateway keys add AGENT' makes one, send it as the API key",
    )  # fmt: skip


def by_guard(agent: str, verdict: Verdict, incident: str) -> Denied:
    """What the latch, the circuit or the snapshot guard said."""
    if verdict.guard == guard.UNVERIFIED:
        return Denied(HTTPStatus.SERVICE_UNAVAILABLE, "agent_unverified", f"{agent}: {verdict.reason}", retry_after=1.0)
    if verdict.guard in (guard.LATCH, guard.CIRCUIT):
        told = {"agent": agent, "guard": verdict.guard, "finding": verdict.finding, "incident": incident}
        return Denied(
            HTTPStatus.FORBIDDEN, "agent_tripped", f"{agent} is stopped: {verdict.reason}; see {incident}",
            retry_after=verdict.retry_after, told=told,
        )  # fmt: skip
    return Denied(
        HTTPStatus.FORBIDDEN, f"denied_by_{verdict.guard}", f"{agent}: {verdict.reason}",
        retry_after=verdict.retry_after,
    )  # fmt: skip


def named(error: BaseException) -> str:
    """A short name of what ended an attempt."""
    if isinstance(error, asyncio.CancelledError):
        return "cancelled"
    return error.code if isinstance(error, Denied) else type(error).__name__
