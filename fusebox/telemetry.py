"""Telemetry of an agent process: spans on our clock, exported by a buffer that never blocks the agent or its exit.

The stock exporter hangs at exit when the collector is down and reports success for what it did not deliver, so it is
driven here by :class:`fusebox.buffer.SpanBuffer`. Every span is recorded whatever the sampling flag of an
incoming ``traceparent`` says: a header must not be able to blind the detectors.

A span's parent is the current one of OpenTelemetry's context, whoever opened that, and ours is the current one inside:
spans of an application with a tracer provider of its own and ours make one trace.

Spans that are exported are numbered 1, 2, 3 … as they end, before the buffer can drop one: a number that never arrives
is a span that was lost. Who numbers them is the resource's ``service.instance.id``, one for each pipeline and fork.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import count
from typing import Any, Final
from uuid import uuid4

from opentelemetry import context as current
from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor
from opentelemetry.sdk.trace.export import SpanExporter
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from fusebox import forks, names
from fusebox.buffer import SpanBuffer
from fusebox.clock import Clock
from fusebox.eventmap import Value
from fusebox.protobuf import carried
from fusebox.span import Span
from fusebox.version import __version__

_NS: Final = 1_000_000_000
_SAMPLED: Final = TraceFlags(TraceFlags.SAMPLED)
_IDS: Final = RandomIdGenerator()


class Telemetry:
    """Opens spans on the injected clock. Without an exporter (``None``) spans get ids and go nowhere."""

    def __init__(self, exporter: SpanExporter | None, *, service: str, clock: Clock) -> None:
        self._clock = clock
        self._service = service
        self._renumber()
        self._scope = InstrumentationScope("fusebox", __version__)
        self._buffer = SpanBuffer(exporter) if exporter else None
        self._processors: list[SpanProcessor] = []

    @property
    def pending(self) -> int:
        """Spans buffered and not delivered yet."""
        return self._buffer.pending if self._buffer else 0

    def add_span_processor(self, processor: SpanProcessor) -> None:
        """Give every span that ends to ``processor`` too: for an application with a tracing back end of its own."""
        self._processors.append(processor)

    def open(
        self, name: str, kind: SpanKind, attributes: dict[str, Value], *, parent: SpanContext | None = None,
        links: Sequence[Link] = (),
    ) -> OpenSpan:  # fmt: skip
        """As :meth:`begin`, and make it the current span of this thread or coroutine."""
        return OpenSpan(self.begin(name, kind, attributes, parent=parent, links=links), self._clock)

    def begin(
        self, name: str, kind: SpanKind, attributes: dict[str, Value], *, parent: SpanContext | None = None,
        links: Sequence[Link] = (),
    ) -> Span:  # fmt: skip
        """Begin a span, which :meth:`end` ends; ``attributes`` become its own.

        Its parent is ``parent`` (an invalid one: none), or the span that is the current one now.
        """
        if self._generation != forks.generation():
            self._renumber()
        above = trace.get_current_span().get_span_context() if parent is None else parent
        valid = above.is_valid
        trace_id = above.trace_id if valid else _IDS.generate_trace_id()
        own = SpanContext(trace_id, _IDS.generate_span_id(), False, _SAMPLED, above.trace_state if valid else None)
        return Span(
            carried(name), kind, own, above if valid else None, attributes=attributes, links=links,
            start_time=self._now_ns(), resource=self._resource, scope=self._scope, ended=self._ended,
            closing=self._number if self._buffer else None,
        )  # fmt: skip

    def end(self, span: Span) -> None:
        """End what :meth:`begin` began."""
        span.end(self._now_ns())

    @contextmanager
    def span(
        self, name: str, kind: SpanKind, attributes: Mapping[str, Value], *, parent: SpanContext | None = None,
        links: Sequence[Link] = (),
    ) -> Iterator[Span]:  # fmt: skip
        """A span around a ``with`` block; an exception marks it as failed and goes on its way."""
        opened = self.open(name, kind, dict(attributes), parent=parent, links=links)
        try:
            yield opened.span
        except BaseException as error:
            opened.close(error)
            raise
        opened.close()

    def flush(self, timeout: float) -> bool:
        """Wait until every span that has ended is delivered; False when ``timeout`` seconds were not enough."""
        return self._buffer.flush(timeout) if self._buffer else True

    def stop(self, timeout: float = 2.0) -> None:
        """Flush within ``timeout`` seconds and end; legal twice."""
        if self._buffer:
            self._buffer.shutdown(timeout)

    def _ended(self, span: Span) -> None:
        if self._buffer:
            self._buffer.put(span)
        if self._processors:
            readable = span.readable()
            for processor in self._processors:
                processor.on_end(readable)

    def _renumber(self) -> None:
        """Begin to count as a new emitter."""
        self._generation = forks.generation()
        self._resource = Resource({names.SERVICE_NAME: self._service, names.SERVICE_INSTANCE: str(uuid4())})
        self._numbers = count(1)

    def _number(self, attributes: dict[str, Any]) -> None:
        attributes[names.SEQUENCE] = next(self._numbers)
        if self._buffer and self._buffer.dropped:
            attributes[names.DROPPED] = self._buffer.dropped

    def _now_ns(self) -> int:
        return int(self._clock.now() * _NS)


class OpenSpan:
    """A span that is the current one until it is closed, in the context in which it was opened."""

    __slots__ = ("_clock", "_token", "span")

    def __init__(self, span: Span, clock: Clock) -> None:
        self.span, self._clock = span, clock
        self._token = current.attach(trace.set_span_in_context(span))

    def close(self, error: BaseException | None = None) -> None:
        """End it; ``error`` is what went wrong inside."""
        if error is not None:
            fail(self.span, error)
        self.span.end(int(self._clock.now() * _NS))
        current.detach(self._token)


def fail(span: trace.Span, error: BaseException) -> None:
    """Mark a span as failed by ``error``."""
    span.set_attribute(names.ERROR_TYPE, type(error).__qualname__)
    span.set_status(Status(StatusCode.ERROR, carried(str(error)[:500])))


def ids(span: trace.Span) -> tuple[str, str]:
    """Trace and span id in lower-case hex."""
    context = span.get_span_context()
    return f"{context.trace_id:032x}", f"{context.span_id:016x}"
