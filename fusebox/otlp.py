"""OTLP over HTTP to one collector, told apart: "not now" (kept and tried again) from "never" (:class:`BatchRefused`).

The stock exporter answers both with the same FAILURE, tries again by itself while its buffer waits, and takes most of
its time for encoding (see :mod:`fusebox.otlp_wire`).
"""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Final

import requests
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from fusebox.buffer import BatchRefused
from fusebox.config import is_loopback
from fusebox.otlp_wire import encode
from fusebox.version import __version__

_TIMEOUT_S: Final = 1.0
_NEVER: Final = frozenset(
    {HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.UNPROCESSABLE_ENTITY}
)


class OtlpExporter(SpanExporter):
    """Exports with a short deadline; the buffer in front of it tries again.

    Args:
        endpoint: base URL, for example ``http://127.0.0.1:4318``.
        token: bearer token, or None.
    """

    def __init__(self, endpoint: str, token: str | None) -> None:
        self._url = f"{endpoint.rstrip('/')}/v1/traces"
        self._session = requests.Session()
        self._session.trust_env = not is_loopback(endpoint)  # a proxy from the environment does not lead back to us
        self._session.headers.update(
            {"content-type": "application/x-protobuf", "user-agent": f"fusebox/{__version__}"}
            | ({"authorization": f"Bearer {token}"} if token else {})
        )

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send a batch.

        Raises:
            BatchRefused: the collector will never take it, or it cannot be encoded.
        """
        try:
            body = encode(spans)
        except (ValueError, TypeError, OverflowError) as error:
            raise BatchRefused(f"cannot be encoded: {error!r}") from error
        try:
            answer = self._session.post(self._url, body, timeout=_TIMEOUT_S, allow_redirects=False)
        except requests.RequestException:
            return SpanExportResult.FAILURE
        if answer.status_code in _NEVER:
            raise BatchRefused(f"the collector refuses it with HTTP status {answer.status_code}")
        return SpanExportResult.SUCCESS if answer.status_code // 100 == 2 else SpanExportResult.FAILURE

    def shutdown(self) -> None:
        self._session.close()
