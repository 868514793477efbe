"""Span: OpenTelemetry's span interface over plain fields, for the path that every action of an agent takes.

The SDK's own span costs some 50 µs in place (samplers, limits, locks, copies of attributes), of which nothing is needed
here: every span is recorded, and what an agent may store is bounded by the collector. So a span collects what it is
told, and once it has ended it can be read as the SDK's :class:`ReadableSpan`, which is made where it is needed: on the
thread that exports. Processors, exporters, and any instrumentation that asks for the current span see no difference.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from time import time_ns
from typing import Any, Final

from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode
from opentelemetry.util.types import Attributes, AttributeValue

MAX_ATTRIBUTES: Final = 128
"""The SDK's default limit; a further attribute of a span is left out of it, as there."""
_PLAIN: Final = (str, bool, int, float)
_UNSET: Final = Status(StatusCode.UNSET)


class Span(trace.Span):
    """One span under way.

    Args:
        name, kind, context, parent, links, start_time: as in the SDK; times are nanoseconds since the Unix epoch.
        attributes: the span's own from here on.
        resource, scope: who records it.
        ended: called once, with the span, when it is finished.
        closing: called just before, with the attributes, to add what is known at the end only.
    """

    __slots__ = (
        "_attributes", "_closing", "_context", "_end_time", "_ended", "_events", "_kind", "_links", "_name", "_parent",
        "_resource", "_scope", "_start_time", "_status",
    )  # fmt: skip

    def __init__(
        self, name: str, kind: SpanKind, context: SpanContext, parent: SpanContext | None, *,
        attributes: dict[str, Any], links: Sequence[Link], start_time: int, resource: Resource,
        scope: InstrumentationScope, ended: Callable[[Span], None],
        closing: Callable[[dict[str, Any]], None] | None = None,
    ) -> None:  # fmt: skip
        self._name, self._kind, self._context, self._parent = name, kind, context, parent
        self._attributes, self._links, self._start_time = attributes, links, start_time
        self._resource, self._scope, self._closing = resource, scope, closing
        self._ended: Callable[[Span], None] | None = ended
        self._end_time = 0
        self._events: list[Event] = []
        self._status = _UNSET

    def end(self, end_time: int | None = None) -> None:
        """Finish; what is told to it afterwards is ignored."""
        ended, self._ended = self._ended, None
        if ended is not None:
            if self._closing is not None:
                self._closing(self._attributes)
            self._end_time = time_ns() if end_time is None else end_time
            ended(self)

    def get_span_context(self) -> SpanContext:
        return self._context

    def is_recording(self) -> bool:
        return self._ended is not None

    def set_attribute(self, key: str, value: AttributeValue) -> None:
        if self._ended is not None and (len(self._attributes) < MAX_ATTRIBUTES or key in self._attributes):
            self._attributes[key] = value if isinstance(value, _PLAIN) else _flat(value)

    def set_attributes(self, attributes: Mapping[str, AttributeValue]) -> None:
        for key, value in attributes.items():
            self.set_attribute(key, value)

    def add_event(self, name: str, attributes: Attributes = None, timestamp: int | None = None) -> None:
        if self._ended is not None:
            self._events.append(Event(name, attributes, timestamp))

    def add_link(self, context: SpanContext, attributes: Attributes = None) -> None:
        if self._ended is not None:
            self._links = (*self._links, Link(context, attributes))

    def update_name(self, name: str) -> None:
        if self._ended is not None:
            self._name = name

    def set_status(self, status: Status | StatusCode, description: str | None = None) -> None:
        if self._ended is not None:
            self._status = status if isinstance(status, Status) else Status(status, description)

    def record_exception(
        self,
        exception: BaseException,
        attributes: Attributes = None,
        timestamp: int | None = None,
        escaped: bool = False,  # noqa: ARG002 - the interface's
    ) -> None:
        said = {"exception.type": type(exception).__qualname__, "exception.message": str(exception)}
        self.add_event("exception", {**said, **(attributes or {})}, timestamp)

    def readable(self) -> ReadableSpan:
        """The span as exporters want it, once it has ended."""
        return ReadableSpan(
            self._name, self._context, self._parent, self._resource, self._attributes, self._events, self._links,
            self._kind, None, self._status, self._start_time, self._end_time, self._scope,
        )  # fmt: skip


def _flat(value: object) -> AttributeValue:
    """A sequence as it is, anything else as text: what no span can carry must not cost the others."""
    if isinstance(value, Sequence) and all(isinstance(each, _PLAIN) for each in value):
        return tuple(value)
    return str(value)
