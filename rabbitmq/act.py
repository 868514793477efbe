"""Act: one action of an agent under way, as middleware and callers see it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from opentelemetry import trace

from fusebox import fingerprint, names
from fusebox.eventmap import Value
from fusebox.records import Action, Verdict
from fusebox.telemetry import OpenSpan
from fusebox.usage import Usage
from rabbitmq.broker import Header
from rabbitmq.runtime import Runtime

_MAX_CAPTURE: Final = 32_768


@dataclass(slots=True, eq=False)
class Act:
    """A publish, model call or tool call: what it is about, and what becomes known of it on the way.

    ``attributes`` are the span's, at its start. ``headers`` travel with a publish. ``notes`` are for middleware that
    has something to remember between its two hooks.
    """

    runtime: Runtime
    action: Action
    span_name: str
    attributes: dict[str, Value]
    request: object
    """What is fingerprinted; never recorded unless ``capture_content`` is set."""
    message_id: str = ""
    headers: dict[str, Header] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)
    started: float = 0.0
    """Seconds since the Unix epoch, on the runtime's clock."""
    opened: OpenSpan | None = None
    about: str = ""
    """The one thing that a call without a target is about, as far as its arguments tell; for detectors alone."""
    similar: int = 0
    """SimHash of the request, once it is known."""
    approve: Callable[[Verdict], str] | None = None
    """Gives the approval once people have agreed to this very action, else raises; None where they cannot be asked."""
    exact: int = 0
    """Hash of the request as it is."""
    result: int = 0
    result_exact: int = 0
    waiting: bool = False
    """The result says that the work goes on."""
    usage: Usage = field(default_factory=Usage)

    @property
    def target(self) -> str:
        """What detectors are told that the action works on."""
        return self.action.target or self.about

    @property
    def span(self) -> trace.Span:
        """Its span; one that records nothing when nothing traces it."""
        return self.opened.span if self.opened else trace.INVALID_SPAN

    def returned(self, value: object) -> None:
        """Note the result (only its fingerprint, unless content capture is on)."""
        if value is None:
            return
        text = fingerprint.text_of(value)
        self.result, self.result_exact = fingerprint.result_hash(text), fingerprint.exact_hash(text)
        self.waiting = fingerprint.is_waiting(text)

    def billed(self, usage: Usage) -> None:
        """Note the tokens of an inference."""
        self.usage = usage
        self.span.set_attribute(names.USAGE_INPUT, usage.input_tokens)
        self.span.set_attribute(names.USAGE_OUTPUT, usage.output_tokens)
        if usage.cache_read or usage.cache_creation:
            self.span.set_attribute(names.USAGE_CACHE_READ, usage.cache_read)
            self.span.set_attribute(names.USAGE_CACHE_CREATION, usage.cache_creation)
        if usage.reasoning:
            self.span.set_attribute(names.USAGE_REASONING, usage.reasoning)

    def capture(self, name: str, value: object) -> None:
        """Record content on the span, if the operator asked for it."""
        if self.runtime.capture_content:
            self.span.set_attribute(name, fingerprint.text_of(value)[:_MAX_CAPTURE])
