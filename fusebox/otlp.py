"""The stock OTLP/HTTP exporter, told apart: "not now" (kept and tried again) from "never" (:class:`BatchRefused`).

The stock exporter answers both with the same FAILURE; the HTTP status is seen through the session it is given.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Final

import requests
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from fusebox.buffer import BatchRefused
from fusebox.config import is_loopback

_TIMEOUT_S: Final = 1.0
_NEVER: Final = frozenset(
    {HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.UNPROCESSABLE_ENTITY}
)


class OtlpExporter(SpanExporter):
    """Exports to one collector with a short deadline, and without the stock log lines (ours say what happened).

    Args:
        endpoint: base URL, for example ``http://127.0.0.1:4318``.
        token: bearer token, or None.
    """

    def __init__(self, endpoint: str, token: str | None) -> None:
        logging.getLogger("opentelemetry.exporter.otlp.proto.http.trace_exporter").setLevel(logging.CRITICAL)
        self._status: int | None = None
        session = requests.Session()
        session.trust_env = not is_loopback(endpoint)  # a proxy from the environment does not lead back to us
        session.hooks["response"].append(self._remember)
        self._stock = OTLPSpanExporter(
            endpoint=f"{endpoint.rstrip('/')}/v1/traces",
            headers={"authorization": f"Bearer {token}"} if token else {},
            timeout=_TIMEOUT_S,
            session=session,
        )

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send a batch.

        Raises:
            BatchRefused: the collector will never take it, or it cannot be encoded.
        """
        self._status = None
        result = self._stock.export(spans)
        if result is SpanExportResult.SUCCESS:
            return result
        if self._status in _NEVER:
            raise BatchRefused(f"the collector refuses it with HTTP status {self._status}")
        if self._status is None:
            _check_encodable(spans)
        return result

    def shutdown(self) -> None:
        self._stock.shutdown()  # type: ignore[no-untyped-call]  # untyped upstream

    def _remember(self, response: requests.Response, *_: Any, **__: Any) -> None:
        self._status = response.status_code


def _check_encodable(spans: Sequence[ReadableSpan]) -> None:
    """Nobody answered, or nobody was asked: the stock exporter swallows what cannot be encoded."""
    try:
        encode_spans(spans).SerializePartialToString()
    except (ValueError, TypeError) as error:
        raise BatchRefused(f"cannot be encoded: {error!r}") from error
