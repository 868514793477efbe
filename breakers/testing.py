"""The examiner of detectors: proves that any :class:`~breakers.detectors.base.Detector` keeps the contract.

::

    check_detector(MyDetector)      # raises AssertionError with a sentence on what it broke
"""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable, Iterator
from dataclasses import replace
from random import Random
from typing import Final

from breakers.detectors.base import OPEN, WARN, Detector
from fusebox.records import ActionKind, Event, Finding, Hop

MAX_BYTES: Final = 256 * 1024
"""What the pickled state of one agent's detector may weigh, however many events it has seen."""
MAX_FLEET_BYTES: Final = 16 * 1024 * 1024
"""The same for a detector of all agents (``scope = "fleet"``)."""
_KINDS: Final = tuple(ActionKind)


def check_detector(factory: Callable[[], Detector], *, events: int = 5_000, seed: int = 0) -> None:
    """Run a fresh detector over varied and odd events and assert what every detector promises.

    Raises:
        AssertionError: it is not deterministic, not picklable, not bounded, changes by pickling, trips over odd
            events, or reports findings that do not fit.
    """
    stream = list(sample_events(Random(seed), events))
    straight = [_outcome(f) for f in _run(factory(), stream)]
    assert straight == [_outcome(f) for f in _run(factory(), stream)], "two fresh detectors disagree on one stream"
    assert straight == [_outcome(f) for f in _run_pickled(factory(), stream)], "pickling changes what it says"
    detector = factory()
    for event in odd_events():
        _check_finding(detector, event, detector.observe(event))
    for event in sample_events(Random(seed + 1), events):
        _check_finding(detector, event, detector.observe(event))
    weight, most = len(pickle.dumps(detector)), _most(detector)
    assert weight <= most, f"state weighs {weight} bytes after {events} events; {most} are allowed"


def sample_events(random: Random, count: int) -> Iterator[Event]:
    """Mixed work: many targets, some repetition, errors, late events, tokens."""
    time = 1_760_000_000.0
    for number in range(count):
        time += random.choice((0.0, 0.05, 1.0, 30.0, -5.0))
        yield Event(
            time=time,
            agent=random.choice(("sample", "sample", "other")),
            action=random.choice(_KINDS),
            operation=random.choice(("read", "write", "delegate", f"op{number}")),
            target=random.choice(("crm", "other", f"ticket-{random.randrange(10**6)}", f"t{number % 3}")),
            request=random.choice((0, 1, 2, random.getrandbits(64))),
            request_exact=random.choice((0, 1, random.getrandbits(64))),
            simhash=random.getrandbits(64),
            result=random.choice((0, 1, 2, random.getrandbits(64))),
            result_exact=random.choice((0, 1, random.getrandbits(64))),
            waiting=random.random() < 0.1,
            ok=random.random() < 0.8,
            input_tokens=random.randrange(50_000),
            trace_id=f"{random.randrange(50):032x}",
            span_id=f"{number:016x}",
        )


def odd_events() -> Iterator[Event]:
    """What other people's spans can look like."""
    plain = Event(1.0, "odd", ActionKind.TOOL_CALL, "op", request=7, result=9)
    yield plain
    yield replace(plain, time=-1e12)
    yield replace(plain, time=1e18)
    yield replace(plain, agent="", operation="", target="", trace_id="", span_id="")
    yield replace(plain, operation="x" * 100_000, target="\x00\u202e\ud800")
    yield replace(plain, request=(1 << 64) - 1, result=(1 << 64) - 1, simhash=(1 << 64) - 1)
    yield replace(plain, input_tokens=1 << 53, output_tokens=1 << 53, cost=1e300, duration=1e300)
    yield replace(plain, lineage=tuple(Hop("odd", 7) for _ in range(64)))
    yield replace(plain, ok=False, error_type="E" * 1000)


def _run(detector: Detector, events: list[Event]) -> Iterator[Finding | None]:
    return (detector.observe(event) for event in events)


def _run_pickled(detector: Detector, events: list[Event]) -> Iterator[Finding | None]:
    for number, event in enumerate(events):
        if number % 500 == 0:
            detector = pickle.loads(pickle.dumps(detector))  # noqa: S301 - our own bytes
        yield detector.observe(event)


def _outcome(found: Finding | None) -> Finding | None:
    """A finding without its random id."""
    return replace(found, id="") if found else None


def _most(detector: Detector) -> int:
    scope = getattr(detector, "scope", "agent")
    assert scope in ("agent", "fleet"), f"scope {scope!r} is neither agent nor fleet"
    return MAX_FLEET_BYTES if scope == "fleet" else MAX_BYTES


def _check_finding(detector: Detector, event: Event, found: Finding | None) -> None:
    assert math.isfinite(detector.score), "score must be finite"
    assert detector.score >= 0, "score must not be negative"
    if found is None:
        return
    assert found.detector == detector.name, "a finding must carry the detector's name"
    assert found.agent == event.agent, "a finding is about the agent of the event that completed it"
    assert found.action in (OPEN, WARN), f"action {found.action!r} is neither open nor warn"
    assert math.isfinite(found.score), "score must be finite"
    assert found.score >= found.threshold, "a finding's score has reached its threshold"
    assert detector.score or found.action == WARN, "what opens has a score"
    assert found.reason, "a finding says why"
    assert found.spans, "a finding carries evidence"
