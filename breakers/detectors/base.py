"""What a detector is: one verb, ``observe(event) → Finding | None``, and the score it came to.

A detector sees the events of one agent (or, when it says ``scope = "fleet"``, of all agents), oldest first. It is pure
(no clock, no I/O, no chance), its state is bounded and can be pickled, and everything it can be told comes through
keyword arguments of its constructor, which are also its knobs in ``rules.toml``. One that has not enough data, or whose
data lack what it needs, scores 0: it does not judge. :func:`breakers.testing.check_detector` proves all that of any
detector. A package offers one by an entry point of the group ``fusebox.detectors`` that names the class.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Protocol

from fusebox.records import Event, Finding

OPEN: Final = "open"
WARN: Final = "warn"


class Detector(Protocol):
    """Judges a sequence of events."""

    name: str
    """Short name: the section of ``rules.toml`` and the ``detector`` of its findings."""
    score: float
    """What the latest event came to; with the threshold reached, that event had a Finding."""

    def observe(self, event: Event) -> Finding | None:
        """Take ``event`` in; a Finding when with it the score crosses a threshold."""


def span_of(event: Event) -> str:
    """The event's span as evidence: ``trace_id:span_id``."""
    return f"{event.trace_id}:{event.span_id}"


def finding(
    event: Event,
    detector: str,
    reason: str,
    *,
    score: float,
    threshold: float,
    action: str = OPEN,
    spans: Iterable[str] = (),
    repeated: str = "",
    first_time: float | None = None,
) -> Finding:
    """A Finding against the agent of ``event``; ``spans`` ends with that event's own."""
    return Finding(
        agent=event.agent,
        detector=detector,
        time=event.time,
        reason=reason,
        action=action,
        score=score,
        threshold=threshold,
        spans=tuple(spans) or (span_of(event),),
        repeated=repeated,
        trace_id=event.trace_id,
        tenant=event.tenant,
        first_time=event.time if first_time is None else first_time,
    )
