"""The file of one outcome: how often it came round, and what stood between."""

from __future__ import annotations

from typing import Final

from breakers.detectors.course import Course
from breakers.detectors.words import names_one_thing
from fusebox.records import Event

PAUSE_S: Final = 1.0
"""Seconds within which code, and no thought, repeats a call."""
_CLOCK: Final = 0.02
_PUNCTUAL: Final = 0.003
_LATE_S: Final = 1.0
"""Who is warned of waits half a second after each action: two of them may make a timer so much later."""
_BACKOFF: Final = 1.5
_PATIENT: Final = 0.7
_LAP: Final = 3
_WORK: Final = 2


class OutcomeFile:
    """One (operation, target, result) and how often it came round."""

    __slots__ = (
        "asker", "count", "failed", "first", "first_time", "hints", "novelties", "period", "regular", "request",
        "result", "score", "simhash", "task", "thoughts", "time", "tokens", "warned", "works",
    )  # fmt: skip

    def __init__(self, event: Event, course: Course) -> None:
        self.score, self.hints, self.warned, self.regular = 1.0, 0, False, False
        self.failed = not event.ok
        self.period = 0.0
        self.begin(event)
        self.remember(event, course)

    def begin(self, event: Event) -> None:
        """``event`` is the first of those that count."""
        self.count, self.first_time, self.first = 1, event.time, f"{event.trace_id}:{event.span_id}"

    def remember(self, event: Event, course: Course) -> None:
        """``event`` is the latest of the file."""
        self.time, self.tokens = event.time, event.input_tokens
        self.request, self.simhash, self.result = event.request, event.simhash, event.result_exact
        self.novelties, self.works, self.thoughts = course.novelties, course.works, course.thoughts
        self.task, self.asker = course.task, course.asker

    def news(self, course: Course, target: str) -> int:
        """What is new since the latest event. A few new outcomes are part of a loop's lap; more of them, or work
        on a new request, make what repeats a side line. A loop on one thing may well do new work in between."""
        new = course.novelties - self.novelties
        if new and not names_one_thing(target):  # each work is a novelty
            new += _WORK * (course.works - self.works)
        return new if new < _LAP else 2 * new

    def forgive(self) -> float:
        """What failed has succeeded; the score that it had."""
        score, self.score, self.count, self.hints = self.score, 0.0, 0, 0
        return score

    def waits_longer(self, gap: float) -> bool:
        """True for a back-off: longer than the shortest pause, and no small part of all the time spent so far.

        It may be shorter than the one before: who backs off is told to throw dice.
        """
        return gap >= _BACKOFF * self.period and gap >= _PATIENT * (self.time - self.first_time)

    def ticks(self, gap: float) -> bool:
        """True for a pause as only a timer makes it: the shortest one again, or a multiple of it, or a little later."""
        if not self.period or min(gap, self.period) < PAUSE_S:
            self.regular = False
            return False
        times = max(gap, self.period) / min(gap, self.period)
        off = abs(times - round(times))
        late = self.regular and 0 <= gap - round(gap / self.period) * self.period <= _LATE_S
        self.regular = late or off <= (_CLOCK if self.regular else _PUNCTUAL)
        return self.regular
