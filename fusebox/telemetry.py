"""Telemetry of an agent process: spans on our clock, exported by a buffer that never blocks the agent or its exit.

The stock exporter hangs at exit when the collector is down and reports success for what it did not deliver, so the
stock OTLP exporter is driven here by :class:`BufferedProcessor`: bounded, off the caller's thread, patient while the
collector is away (what is buffered is sent when it is back), and honest: every span that is given up is counted.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode

from fusebox import happenings, names
from fusebox.clock import Clock
from fusebox.eventmap import Value
from fusebox.version import __version__

INTERVAL_S: Final = 0.1
_BATCH: Final = 512
_MAX_BACKOFF_S: Final = 5.0
_NS: Final = 1_000_000_000


class BufferedProcessor(SpanProcessor):
    """A bounded buffer in front of an exporter.

    Args:
        exporter: the stock OTLP exporter (or any other), called from one thread of ours only.
        capacity: spans kept while the collector does not answer; a further one is dropped and counted.
        interval: seconds between two exports when spans trickle in.
    """

    def __init__(self, exporter: SpanExporter, capacity: int = 50_000, interval: float = INTERVAL_S) -> None:
        self._exporter = exporter
        self._capacity = capacity
        self._interval = interval
        self._spans: deque[ReadableSpan] = deque()
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._idle = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="fusebox-telemetry", daemon=True)
        self._thread.start()

    @property
    def pending(self) -> int:
        """Spans not delivered yet."""
        return len(self._spans)

    def on_end(self, span: ReadableSpan) -> None:
        if len(self._spans) >= self._capacity or self._stopping.is_set():
            happenings.emit(happenings.SPANS_DROPPED, reason="buffer full or stopped")
            return
        self._spans.append(span)
        if len(self._spans) >= _BATCH:
            self._wake.set()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Wait until everything is delivered; False when the time ran out first."""
        self._wake.set()
        with self._idle:
            return self._idle.wait_for(lambda: not self._spans, timeout_millis / 1000)

    def shutdown(self, timeout: float = 2.0) -> None:
        """Deliver what can be delivered within ``timeout`` seconds, count the rest, end the thread."""
        if self._stopping.is_set():
            return
        self.force_flush(int(timeout * 1000))
        self._stopping.set()
        self._wake.set()
        self._thread.join(timeout)
        if self._spans:
            happenings.emit(happenings.SPANS_DROPPED, count=len(self._spans), reason="not delivered at exit")
            self._spans.clear()

    def _run(self) -> None:
        pause = self._interval
        while not self._stopping.is_set():
            self._wake.wait(pause)
            self._wake.clear()
            pause = self._interval if self._drain() else min(_MAX_BACKOFF_S, max(pause, self._interval) * 2)
        self._exporter.shutdown()

    def _drain(self) -> bool:
        while self._spans and not self._stopping.is_set():
            batch = [self._spans[i] for i in range(min(_BATCH, len(self._spans)))]
            if not self._export(batch):
                return False
            for _ in batch:
                self._spans.popleft()
        with self._idle:
            self._idle.notify_all()
        return True

    def _export(self, batch: Sequence[ReadableSpan]) -> bool:
        try:
            result = self._exporter.export(batch)
        except Exception as error:  # an exporter must not end the thread that drives it
            happenings.emit(happenings.EXPORT_FAILED, spans=len(batch), error=repr(error))
            return False
        if result is not SpanExportResult.SUCCESS:
            happenings.emit(happenings.EXPORT_FAILED, spans=len(batch))
            return False
        happenings.emit(happenings.SPANS_EXPORTED, count=len(batch))
        return True


class Telemetry:
    """Opens spans on the injected clock. Without an exporter (``None``) spans get ids and go nowhere."""

    def __init__(self, exporter: SpanExporter | None, *, service: str, clock: Clock) -> None:
        self._clock = clock
        self._provider = TracerProvider(resource=Resource({names.SERVICE_NAME: service}), shutdown_on_exit=False)
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
            name, parent, kind, dict(attributes), tuple(links), start_time=self._now_ns(), record_exception=False
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


def otlp_exporter(endpoint: str, token: str | None) -> SpanExporter:
    """The stock OTLP/HTTP exporter, with a short deadline and without its log lines (ours say what happened)."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # only who exports loads it

    logging.getLogger("opentelemetry.exporter.otlp.proto.http.trace_exporter").setLevel(logging.CRITICAL)
    headers = {"authorization": f"Bearer {token}"} if token else {}
    return OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces", headers=headers, timeout=1)


def fail(span: Span, error: BaseException) -> None:
    """Mark a span as failed by ``error``."""
    span.set_attribute(names.ERROR_TYPE, type(error).__qualname__)
    span.set_status(Status(StatusCode.ERROR, str(error)[:500]))


def ids(span: Span) -> tuple[str, str]:
    """Trace and span id in lower-case hex."""
    context = span.get_span_context()
    return f"{context.trace_id:032x}", f"{context.span_id:016x}"
