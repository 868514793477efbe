"""Telemetry of an agent process: spans on our clock, exported by a buffer that never blocks the agent or its exit.

The stock exporter hangs at exit when the collector is down and reports success for what it did not deliver, so it is
driven here by :class:`fusebox.buffer.BufferedProcessor`. Every span is recorded whatever the sampling flag of an
incoming ``traceparent`` says: a header must not be able to blind the detectors.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode

from fusebox import names
from fusebox.buffer import BufferedProcessor
from fusebox.clock import Clock
from fusebox.eventmap import Value
from fusebox.version import __version__

_NS: Final = 1_000_000_000


class Telemetry:
    """Opens spans on the injected clock. Without an exporter (``None``) spans get ids and go nowhere."""

    def __init__(self, exporter: SpanExporter | None, *, service: str, clock: Clock) -> None:
        self._clock = clock
        resource = Resource({names.SERVICE_NAME: service})
        self._provider = TracerProvider(sampler=ALWAYS_ON, resource=resource, shutdown_on_exit=False)
        self._buffer = BufferedProcessor(exporter) if exporter else None
        if self._buffer:
            self._provider.add_span_processor(self._buffer)
        self._tracer = self._provider.get_tracer("fusebox", __version__)

    @property
    def pending(self) -> int:
        """Spans buffered and not delivered yet."""
        return self._buffer.pending if self._buffer else 0

    @contextmanager
    def span(
        self,
        name: str,
        kind: SpanKind,
        attributes: Mapping[str, Value],
        *,
        parent: Context | None = None,
        links: Sequence[Link] = (),
    ) -> Iterator[Span]:
        """A span around a ``with`` block; an exception marks it as failed and goes on its way."""
        span = self._tracer.start_span(
            _clean(name),
            parent,
            kind,
            dict(attributes),
            tuple(links),
            start_time=self._now_ns(),
            record_exception=False,
        )
        with trace.use_span(span, end_on_exit=False, record_exception=False, set_status_on_exception=False):
            try:
                yield span
            except BaseException as error:
                fail(span, error)
                raise
            finally:
                span.end(self._now_ns())

    def flush(self, timeout: float) -> bool:
        """Wait until every span is delivered; False when ``timeout`` seconds were not enough."""
        return self._buffer.force_flush(int(timeout * 1000)) if self._buffer else True

    def stop(self, timeout: float = 2.0) -> None:
        """Flush within ``timeout`` seconds and end; legal twice."""
        if self._buffer:
            self._buffer.shutdown(timeout)

    def _now_ns(self) -> int:
        return int(self._clock.now() * _NS)


def fail(span: Span, error: BaseException) -> None:
    """Mark a span as failed by ``error``."""
    span.set_attribute(names.ERROR_TYPE, type(error).__qualname__)
    span.set_status(Status(StatusCode.ERROR, _clean(str(error)[:500])))


def ids(span: Span) -> tuple[str, str]:
    """Trace and span id in lower-case hex."""
    context = span.get_span_context()
    return f"{context.trace_id:032x}", f"{context.span_id:016x}"


def _clean(text: str) -> str:
    """Text that UTF-8 can carry: an answer of a model may hold half a surrogate pair."""
    return text.encode("utf-8", "replace").decode()
