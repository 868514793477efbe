"""Repetition: doing the same again and getting the same again. No progress.

What an agent does is filed under (operation, target, result). Each further event of a file adds to its score what it
weighs (:mod:`breakers.detectors.weights`): 1 where it is the same again, less where it only resembles that.

Novelty drains: every *other* tool call whose outcome was not seen before takes ``drain`` off (``drift`` where things
are merely alike), one on a new request three times as much unless the file is about one thing, and three of them
between two repetitions twice that. Counts, not time windows: a step every few minutes adds up as well as ten a second,
until a file rests for ``memory_s``.

A *hint* counts ``faint`` towards a warning and nothing towards opening, until anything new happens: whoever looks for
many things in turn finds nothing for a while as well. A command that succeeds in silence has not said that there is
nothing. A request that fails as it failed before other work was done (edit, test, edit, test) is a hint as well, which
no work takes back: only that the request succeeds.

A new answer to a request that had failed forgives its failures: a retry that succeeds is no loop. Of a write that is
said by whatever it answers, for instance ``ok``.

A model that could not be asked through no fault of the agent (its provider limits it, fails or is silent) is another
matter: everybody's calls fail. Of a file of such failures 1 is forgiven for every ``patience_s``, another request
begins it anew, and none of it is added to the score below.

Beside the files stands one score of the agent, *stale*: how many of its steps had been made before, with the same
result, whichever they were. A novel outcome takes ``fresh`` off. It sees cycles of any period, with noise between the
turns, once ``stale`` old steps were made and the latest comes for the third time, or half as many again were made.

A publish has no result: it cannot be said to make no progress and is not judged here.
"""

from __future__ import annotations

from typing import Final

from breakers.detectors.base import OPEN, WARN, finding
from breakers.detectors.course import Course
from breakers.detectors.memory import CHANGED, MOVED, NEW, VARIED, Memory
from breakers.detectors.outcome import OutcomeFile
from breakers.detectors.weights import HINT, UNTOLD, Weights
from breakers.detectors.words import is_outage, writes
from fusebox.fingerprint import NOTHING
from fusebox.records import ActionKind, Event, Finding

_FILES: Final = 9
_SEEN: Final = 16
_EVIDENCE: Final = 6
_FEW: Final = 3
_ONCE: Final = 1.5
_AGAIN: Final = frozenset((CHANGED, MOVED, VARIED))
_MODEL, _CONSUME, _TOOL = ActionKind.MODEL_CALL, ActionKind.CONSUME, ActionKind.TOOL_CALL


class Repetition:
    """See the module.

    Args:
        warn, open: scores that warn and open; an exact loop reaches ``open`` at its ``open``-th lap.
        stale: old steps in a row that open, whichever they are.
        fresh: what a novel outcome of a new request takes off the stale score; half of it where only the answer is new.
        near_distance, alike_distance, vain_distance, near, alike, faint, idle: see :mod:`breakers.detectors.weights`.
        drain: what a novel outcome takes off a file's score.
        drift: the same when what came back is merely alike.
        patience_s: seconds in which one more call of a model that fails by no fault of the agent is forgiven.
        memory_s: seconds after which a file that rested is forgotten.
    """

    name = "repetition"
    __slots__ = (
        "_course", "_drain", "_drift", "_evidence", "_files", "_fresh", "_memory", "_memory_s", "_old", "_open",
        "_resent", "_stale", "_warn", "_weights", "score",
    )  # fmt: skip

    def __init__(
        self,
        *,
        warn: float = 3.0,
        open: float = 4.0,
        stale: float = 4.0,
        fresh: float = 1.0,
        near_distance: int = 20,
        alike_distance: int = 12,
        vain_distance: int = 24,
        near: float = 0.98,
        alike: float = 0.75,
        faint: float = 0.4,
        idle: float = 0.05,
        drain: float = 0.22,
        drift: float = 0.6,
        patience_s: float = 5.0,
        memory_s: float = 1800.0,
    ) -> None:
        self._warn, self._open, self._stale, self._fresh = warn, open, stale, fresh
        self._weights = Weights(near_distance, alike_distance, vain_distance, near, alike, faint, idle, patience_s)
        self._drain, self._drift = drain, drift
        self._memory_s = memory_s
        self._files: dict[tuple[str, str, int], OutcomeFile] = {}  # the one that came last is the last
        self._memory, self._course = Memory(_SEEN), Course()
        self._evidence: list[tuple[OutcomeFile, float, str, str, str]] = []  # the latest steps made before
        self._old = 0.0
        self._resent = 0
        self.score = 0.0

    @property
    def threshold(self) -> float:
        """The score that opens."""
        return self._open

    def observe(self, event: Event) -> Finding | None:
        """Judge one event of the agent."""
        self.score = 0.0
        action = event.action
        if (action is not _TOOL and not self._answered(event)) or not event.request:
            return None
        if self._course.follow(event):
            self._memory, self._old = Memory(_SEEN), 0.0
        step = self._memory.recall(event)
        resent, self._resent = self._resent, event.resent
        files, key = self._files, (event.operation, event.target, event.result)
        file = files.pop(key, None)
        if file is not None and event.time - file.time > self._memory_s:
            file = None
        if event.ok and step in _AGAIN and (file is None or writes(event.operation)):
            self._recover(event.request)
        if file is None:
            # A thought is no work: what a model says is always new and must not hide that nothing gets done.
            if step <= CHANGED and action is not _MODEL and event.ok:
                self._renew(step)
            files[key] = OutcomeFile(event, self._course)
            if len(files) > _FILES:
                del files[next(iter(files))]
            return None
        files[key] = file
        outage = not event.ok and is_outage(event)
        if outage:
            self._ask_again(file, event, step, resent)
        else:
            self._repeat(file, event, step)
        return self._judge(file, event, outage)

    def _answered(self, event: Event) -> bool:
        """What is no tool call is judged when there was an answer; what an agent says first may still be new."""
        action = event.action
        if action is _CONSUME or (action is _MODEL and event.ok):
            self._course.thoughts += 1
        if action is _CONSUME or event.result:
            return action is not _CONSUME
        if event.request and event.input_tokens and self._memory.recall(event) == NEW:
            self._renew(NEW)
        return False

    def _count(self, file: OutcomeFile, event: Event) -> None:
        """One more that counts; after what was forgiven it is the first."""
        if not file.count:
            file.begin(event)
            return
        file.count += 1
        evidence = self._evidence
        evidence.append((file, event.time, event.trace_id, event.span_id, event.operation))
        if len(evidence) > _EVIDENCE:
            del evidence[0]

    def _renew(self, step: int) -> None:
        self._course.novelties += 1
        if step == NEW:
            self._course.works += 1
        if self._old:
            self._old = max(0.0, self._old - (self._fresh if step == NEW else self._fresh / 2))

    def _recover(self, request: int) -> None:
        """A retry that succeeds is progress, however often it takes one: what failed before it was no loop."""
        for file in self._files.values():
            if file.failed and file.request == request:
                self._old = max(0.0, self._old - file.forgive())

    def _ask_again(self, file: OutcomeFile, event: Event, step: int, resent: int) -> None:
        """A model could not be asked, once more."""
        weight = self._weights.of_outage(file, event, step, resent)
        file.score = max(0.0, file.score - (event.time - file.time) / self._weights.patience_s)
        if weight > 0:
            self._count(file, event)
            file.score += weight
        elif weight != UNTOLD:
            file.score, file.warned = 1.0, False
            file.begin(event)
        file.remember(event, self._course)

    def _repeat(self, file: OutcomeFile, event: Event, step: int) -> None:
        course, weights = self._course, self._weights
        weight = weights.of(file, event, step, course)
        new = file.news(course, event.target)
        drain = self._drain if weight > weights.alike or step >= VARIED else self._drift
        file.score = max(0.0, file.score - drain * new)
        self._add(file, event, step, weight)
        failed_again = not event.ok and event.request == file.request  # after whatever was done about it
        if new and not failed_again:
            file.hints = 0
        elif new or weight == HINT:
            file.hints += 1
        gap = event.time - file.time
        file.period = min(file.period or gap, gap)
        file.remember(event, course)

    def _add(self, file: OutcomeFile, event: Event, step: int, weight: float) -> None:
        if weight == self._weights.idle:
            self._count(file, event)
            file.score = max(file.score, min(file.score + weight, self._warn))
        elif weight > 0:
            self._count(file, event)
            file.score += weight
            if step >= VARIED and (file.count >= _FEW or not event.ok or self._thought(file, event)):
                self._old += weight
        elif weight != UNTOLD:
            self._move_on(file, event, step, weight == HINT)

    def _move_on(self, file: OutcomeFile, event: Event, step: int, hint: bool) -> None:
        """Other work with the same result, or a hint that it is none."""
        if hint:
            self._count(file, event)
        elif not file.hints:
            file.warned = False
            file.begin(event)
        if hint and event.result == NOTHING:
            return
        file.score = max(1.0, file.score - self._drain * _FEW)
        if event.ok:
            self._renew(step)

    def _thought(self, file: OutcomeFile, event: Event) -> bool:
        """A model took this step; what code does by itself may be a round it makes by the clock."""
        return event.input_tokens > 0 or self._course.thoughts > file.thoughts

    def _judge(self, file: OutcomeFile, event: Event, outage: bool) -> Finding | None:
        enough = self._stale if file.count >= _FEW else self._stale * _ONCE
        cycle = 0.0 if outage else self._old - enough + self._open
        self.score = max(file.score, cycle)
        if file.hints:
            self.score = max(self.score, min(file.score + self._weights.faint * file.hints, self._warn))
        if self.score < self._warn:
            return None
        if self.score >= self._open:
            return self._found(file, event, OPEN, self._open, self._lap() if cycle > file.score else "")
        if file.warned:
            return None
        file.warned = True
        return self._found(file, event, WARN, self._warn, "")

    def _lap(self) -> str:
        return " → ".join(dict.fromkeys(operation for *_, operation in self._evidence))

    def _found(self, file: OutcomeFile, event: Event, action: str, threshold: float, lap: str) -> Finding:
        steps = [step for step in self._evidence if lap or step[0] is file]
        spans = [f"{trace}:{span}" for _, _, trace, span, _ in steps]
        spans = spans if lap else [file.first, *spans[1 - file.count :]]
        times = f": {len(spans)} steps again" if lap else f" × {file.count}"
        what = f"{event.action} {lap or event.operation}{times}"
        return finding(
            event, self.name, f"{what}{_said(event, lap)}", action=action, score=self.score, threshold=threshold,
            spans=spans, repeated=what, first_time=steps[0][1] if lap else file.first_time,
        )  # fmt: skip


def _said(event: Event, lap: str) -> str:
    """The rest of the sentence about what was done again and again. Whoever is woken by it must not look at the wrong
    end: nothing an agent does mends its provider."""
    if lap:
        return ", in rounds, with the same outcome: no progress"
    if is_outage(event):
        return f" in quick succession, while its provider fails or is busy ({event.error_type}): look there first"
    outcome = "the same result" if event.ok else f"the same error {event.error_type}".rstrip()
    return f" on {event.target or 'the same target'} with {outcome}: no progress"
