"""The stock OTLP/HTTP exporter, told apart: "not now" (kept and tried again) from "never" (:class:`BatchRefused`).

The stock exporter answers both with the same FAILURE; the HTTP status is seen through the session it is given. It
sends what :mod:`fusebox.encode` has encoded. Its part that takes bytes is its own affair, so a release may come that
has none: that one encodes for itself.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Final

import requests
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from requests.adapters import HTTPAdapter
from requests.utils import get_environ_proxies

from fusebox.buffer import BatchRefused
from fusebox.config import is_loopback
from fusebox.encode import encode
from fusebox.errors import Retryable
from fusebox.tls import advised, client_context

_TIMEOUT_S: Final = 1.0
_AUTHORITIES: Final = (
    "OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE", "OTEL_EXPORTER_OTLP_CERTIFICATE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE",
)  # fmt: skip
"""Variables of the libraries, the first of which names the only authorities to believe."""
_NEVER: Final = frozenset(
    {HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.UNPROCESSABLE_ENTITY}
)


class NotTaken(Retryable):
    """The collector did not take a batch now; the text says why."""


class _Believing(HTTPAdapter):
    """Believes whom our other connections believe, beside the authorities that the library brings."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, ssl_context=client_context(), **kwargs)

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        return super().proxy_manager_for(proxy, ssl_context=client_context(), **kwargs)


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
        session.trust_env = False  # else a ~/.netrc puts its own word for the host in our token's place
        if not is_loopback(endpoint):  # a proxy from the environment does not lead back to us
            session.proxies.update(get_environ_proxies(endpoint))
        authorities = next(filter(None, map(os.environ.get, _AUTHORITIES)), None)
        if endpoint.startswith("https:") and authorities is None:
            session.mount("https://", _Believing())
        session.hooks["response"].append(self._remember)
        self._stock = OTLPSpanExporter(
            endpoint=f"{endpoint.rstrip('/')}/v1/traces",
            certificate_file=authorities,
            headers={"authorization": f"Bearer {token}"} if token else {},
            timeout=_TIMEOUT_S,
            session=session,
        )
        self._client: Any = getattr(self._stock, "_client", None)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send a batch.

        Raises:
            BatchRefused: the collector will never take it, or it cannot be encoded.
            NotTaken: not now.
        """
        self._status = None
        data = _encoded(spans)
        if self._client is None:
            taken, error = self._stock.export(spans) is SpanExportResult.SUCCESS, None
        else:
            answer = self._client.export(data)
            taken, error = answer.success, answer.error
        if self._status in _NEVER:
            raise BatchRefused(f"the collector refuses it with HTTP status {self._status}")
        if not taken:
            raise NotTaken(f"HTTP status {self._status}" if self._status else advised(str(error)))
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        self._stock.shutdown()  # type: ignore[no-untyped-call]  # untyped upstream

    def _remember(self, response: requests.Response, *_: Any, **__: Any) -> None:
        self._status = response.status_code


def _encoded(spans: Sequence[ReadableSpan]) -> bytes:
    """Raises: BatchRefused: they cannot be, which the stock exporter would swallow."""
    try:
        return encode(spans)
    except Exception as error:  # the batch is refused for it, divided, and what is at fault dropped and counted
        raise BatchRefused(f"cannot be encoded: {error!r}") from error
