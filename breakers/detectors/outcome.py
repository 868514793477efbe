"""The file of one outcome: how often it came round, and what stood between."""

from __future__ import annotations

from typing import Final

from fusebox.records import Event

PAUSE_S: Final = 1.0
"""Seconds within which code, and no thought, repeats a call."""
_CLOCK: Final = 0.02
_PUNCTUAL: Final = 0.003
_LATE_S: Final = 1.0
"""Who is warned of waits half a second after each action: two of them may make a timer so much later."""
_BACKOFF: Final = 1.5
_PATIENT: Final = 0.7


class OutcomeFile:
    """One (operation, target, result) and how often it came round."""

    __slots__ = (
        "asker", "count", "failed", "first", "first_time", "hints", "novelties", "period", "regular", "request",
        "result", "score", "simhash", "task", "thoughts", "time", "tokens", "warned", "works",
    )  # fmt: skip

    def __init__(self, event: Event, novelties: int, works: int, thoughts: int, task: int, asker: int) -> None:
        self.score, self.hints, self.warned, self.regular = 1.0, 0, False, False
        self.begin(event)
        self.failed = not event.ok
        self.period = 0.0
        self.time = event.time
        self.tokens, self.request, self.simhash = event.input_tokens, event.request, event.simhash
        self.result, self.novelties, self.works, self.thoughts = event.result_exact, novelties, works, thoughts
        self.task, self.asker = task, asker

    def begin(self, event: Event) -> None:
        """``event`` is the first of those that count."""
        self.count, self.first_time, self.first = 1, event.time, f"{event.trace_id}:{event.span_id}"

    def remember(self, event: Event, novelties: int, works: int, thoughts: int, task: int, asker: int) -> None:
        """``event`` is the latest of the file."""
        self.time, self.tokens = event.time, event.input_tokens
        self.request, self.simhash, self.result = event.request, event.simhash, event.result_exact
        self.novelties, self.works, self.thoughts = novelties, works, thoughts
        self.task, self.asker = task, asker

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
