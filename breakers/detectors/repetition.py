"""Repetition: doing the same again and getting the same again. No progress.

What an agent does is filed under (operation, target, result). Each further event of a file adds to its score:

============================================================================================ ===========
the request is the same, or the same failure of one that varies in numbers and ids only       1
it is a paraphrase on a target that names one thing (``TICK-12``): a near-duplicate           ``near``
(SimHash), or something that the agent thought about or waited a second for
it varies in numbers and ids only, is a near-duplicate, or whatever else had the same error   ``alike``
it is the same, but the result is not known, or it is another task's, on a whole system       ``faint``
a failure, the same again, by code that waits longer and longer (a polite back-off)           ``faint``
after a thought, the answer is that nothing was found, again, to a request in similar words   ``faint``
the same to a request in other words; or the same result to one in similar words              a hint
the answer says that the work goes on (``running``), or code asks on a regular clock          ``idle``
another row of the same form: request and result differ in numbers                            ``idle``
in another workflow and trace, that is for somebody else: no write, nor about one thing       ``idle``, at most
the same but for numbers, within a second, without a thought: a row or a retry, who knows     as it was
anything else: other work with the same result; numbers that move in the answer               0
============================================================================================ ===========

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

Beside the files stands one score of the agent, *stale*: how many of its steps had been made before, with the same
result, whichever they were. A novel outcome takes ``fresh`` off. It sees cycles of any period, with noise between the
turns, once ``stale`` old steps were made and the latest comes for the third time, or half as many again were made.

A publish has no result: it cannot be said to make no progress and is not judged here.
"""

from __future__ import annotations

from typing import Final

from breakers.detectors.base import OPEN, WARN, finding
from breakers.detectors.memory import CHANGED, KIN, MOVED, NEW, SAME, VARIED, Memory
from breakers.detectors.outcome import PAUSE_S, OutcomeFile
from breakers.detectors.words import delegates, names_one_thing, writes
from fusebox.fingerprint import NOTHING, SILENCE, distance
from fusebox.records import ActionKind, Event, Finding

_Key = tuple[str, str, int]

_FILES: Final = 9
_SEEN: Final = 16
_EVIDENCE: Final = 6
_POLITE_S: Final = 0.5
_GREW: Final = 8
_FEW: Final = 3
_WORK: Final = 2
_ONCE: Final = 1.5
_UNTOLD: Final = -1.0
_HINT: Final = -2.0
_TASK: Final = 3
_AGAIN: Final = frozenset((CHANGED, MOVED, VARIED))
_MODEL, _CONSUME, _TOOL = ActionKind.MODEL_CALL, ActionKind.CONSUME, ActionKind.TOOL_CALL


class Repetition:
    """See the module.

    Args:
        warn, open: scores that warn and open; an exact loop reaches ``open`` at its ``open``-th lap.
        stale: old steps in a row that open, whichever they are.
        fresh: what a novel outcome of a new request takes off the stale score; half of it where only the answer is new.
        near_distance: SimHash bits in which paraphrases may differ on a target that names one thing.
        alike_distance: the same on a target that names a whole system.
        vain_distance: SimHash bits in which requests may differ that found nothing and still are in similar words.
        near, alike, faint, idle: see the table.
        drain: what a novel outcome takes off a file's score.
        drift: the same when what came back is merely alike.
        memory_s: seconds after which a file that rested is forgotten.
    """

    name = "repetition"
    __slots__ = (
        "_alike", "_alike_distance", "_asker", "_askers", "_drain", "_drift", "_evidence", "_faint", "_files", "_fresh",
        "_idle", "_in_trace", "_memory", "_memory_s", "_near", "_near_distance", "_novelties", "_old", "_open",
        "_stale", "_task", "_thoughts", "_trace", "_vain_distance", "_warn", "_works", "score",
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
        memory_s: float = 1800.0,
    ) -> None:
        self._warn, self._open, self._stale, self._fresh = warn, open, stale, fresh
        self._near_distance, self._alike_distance, self._vain_distance = near_distance, alike_distance, vain_distance
        self._near, self._alike, self._faint, self._idle = near, alike, faint, idle
        self._drain, self._drift = drain, drift
        self._memory_s = memory_s
        self._files: dict[_Key, OutcomeFile] = {}  # the one that came last is the last
        self._memory = Memory(_SEEN)
        self._evidence: list[tuple[OutcomeFile, float, str, str, str]] = []  # the latest steps made before
        self._old = 0.0
        self._novelties = 0
        self._works = 0
        self._thoughts = 0
        self._trace, self._in_trace, self._task = "", 0, 0
        self._asker = 0
        self._askers = ("", "")  # the latest two: to go to and fro between them is not for others
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
        if event.trace_id != self._trace or not event.trace_id:
            self._serve(event.workflow)
        if event.trace_id != self._trace:
            self._turn_to(event.trace_id)
        self._in_trace += 1
        step = self._memory.recall(event)
        files, key = self._files, (event.operation, event.target, event.result)
        file = files.pop(key, None)
        unknown = file is None or event.time - file.time > self._memory_s
        if event.ok and step in _AGAIN and (unknown or writes(event.operation)):
            self._recover(event.request)
        if file is None or unknown:
            # A thought is no work: what a model says is always new and must not hide that nothing gets done.
            if step <= CHANGED and action is not _MODEL and event.ok:
                self._renew(step)
            files[key] = OutcomeFile(event, self._novelties, self._works, self._thoughts, self._task, self._asker)
            if len(files) > _FILES:
                del files[next(iter(files))]
            return None
        files[key] = file
        self._repeat(file, event, step)
        return self._judge(file, event)

    def _answered(self, event: Event) -> bool:
        """What is no tool call is judged when there was an answer; what an agent says first may still be new."""
        action = event.action
        if action is _CONSUME or (action is _MODEL and event.ok):
            self._thoughts += 1
        if action is _CONSUME or event.result:
            return action is not _CONSUME
        if event.request and event.input_tokens and self._memory.recall(event) == NEW:
            self._renew(NEW)
        return False

    def _turn_to(self, trace: str) -> None:
        """Another trace after one of several steps is another task, which may well begin like the one before."""
        if self._in_trace >= _TASK:
            self._memory, self._old = Memory(_SEEN), 0.0
            self._task += 1
        self._trace, self._in_trace = trace, 0

    def _serve(self, workflow: str) -> None:
        """Work for a workflow. One that begins within a trace is the agent's own doing, and nobody else asks."""
        latest, before = self._askers
        if workflow == latest:
            return
        if workflow != before:
            self._asker += 1
        self._askers = workflow, latest

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
        self._novelties += 1
        if step == NEW:
            self._works += 1
        if self._old:
            self._old = max(0.0, self._old - (self._fresh if step == NEW else self._fresh / 2))

    def _recover(self, request: int) -> None:
        """A retry that succeeds is progress, however often it takes one: what failed before it was no loop."""
        for file in self._files.values():
            if file.failed and file.request == request:
                self._old = max(0.0, self._old - file.forgive())

    def _repeat(self, file: OutcomeFile, event: Event, step: int) -> None:
        gap = event.time - file.time
        weight = self._weight(file, event, step, gap)
        if weight > self._idle and self._for_another(file, event):
            weight = self._idle
        drain = self._drain if weight > self._alike or step >= VARIED else self._drift
        new = self._dilution(file, event.target)
        score = max(0.0, file.score - drain * new)
        if weight == _UNTOLD:
            file.score = score
        elif weight == _HINT and event.result == NOTHING:
            file.score = score
            self._count(file, event)
        elif weight == self._idle:
            file.score = max(score, min(score + weight, self._warn))
            self._count(file, event)
        elif weight > 0:
            file.score = score + weight
            self._count(file, event)
            if step >= VARIED and (file.count > _FEW - 1 or not event.ok or self._thought(file, event)):
                self._old += weight
        else:
            file.score = max(1.0, score - self._drain * _FEW)
            if weight == _HINT:
                self._count(file, event)
            elif not file.hints:
                file.warned = False
                file.begin(event)
            if event.ok:
                self._renew(step)
        if new and not self._failed_again(file, event):
            file.hints = 0
        elif new or weight == _HINT:
            file.hints += 1
        file.period = min(file.period or gap, gap)
        file.remember(event, self._novelties, self._works, self._thoughts, self._task, self._asker)

    def _for_another(self, file: OutcomeFile, event: Event) -> bool:
        """Many users ask the same; who writes, or is at one thing, does it again for whomever."""
        if file.asker == self._asker or not event.ok or not event.workflow:
            return False
        return not (names_one_thing(event.target) or writes(event.operation))

    @staticmethod
    def _failed_again(file: OutcomeFile, event: Event) -> bool:
        """The same, after whatever was done about it."""
        return not event.ok and event.request == file.request

    def _weight(self, file: OutcomeFile, event: Event, step: int, gap: float) -> float:
        if step <= CHANGED and event.request == file.request and file.task < self._task:
            step = SAME  # in an earlier task, which is no longer remembered
        thought = self._thoughts > file.thoughts or event.input_tokens >= file.tokens + _GREW
        if step <= CHANGED and event.waiting and event.ok and event.request == file.request:
            return self._idle  # so much was thought meanwhile that only the file remembers it
        if step <= CHANGED or (step == SAME and event.request != file.request and not event.ok):
            return self._similar(file, event, thought, gap)
        if event.ok:
            if step in (KIN, MOVED) and not writes(event.operation):
                return 0.0 if step == MOVED else self._idle
            if step != SAME and not thought and gap < PAUSE_S and not names_one_thing(event.target):
                return _UNTOLD
            if event.waiting or (not thought and file.ticks(gap)):
                return self._idle
        elif not thought and gap >= _POLITE_S and file.waits_longer(gap):
            return self._faint
        if names_one_thing(event.target):
            return 1.0
        if not event.result or file.task != self._task:
            return self._faint
        return self._alike if step == VARIED and event.ok else 1.0

    def _thought(self, file: OutcomeFile, event: Event) -> bool:
        """A model took this step; what code does by itself may be a round it makes by the clock."""
        return event.input_tokens > 0 or self._thoughts > file.thoughts

    def _dilution(self, file: OutcomeFile, target: str) -> int:
        """What is new since the file's last event. A few new outcomes are part of a loop's lap; more of them, or work
        on a new request, make what repeats a side line. A loop on one thing may well do new work in between."""
        new = self._novelties - file.novelties
        if not names_one_thing(target):
            new += _WORK * (self._works - file.works)
        return new if new < _FEW else 2 * new

    def _similar(self, file: OutcomeFile, event: Event, thought: bool, gap: float) -> float:
        """Another request with the same result."""
        if event.action is _MODEL:  # prompts share their instructions; answers like "yes" say nothing
            return 0.0
        one_thing, reacted = names_one_thing(event.target), thought or gap >= PAUSE_S
        if file.task != self._task and not one_thing:
            return 0.0  # another task's
        bits = distance(event.simhash, file.simhash) if event.simhash and file.simhash else 64
        if (bits <= self._near_distance or reacted) and one_thing and not delegates(event.operation):
            return self._near
        if not event.ok:
            return self._alike
        same = bool(event.result) and event.result_exact == file.result
        if same and reacted and bits <= self._alike_distance:
            return self._alike
        if event.result == NOTHING:
            return self._in_vain(event, bits, same and reacted, thought)
        return _HINT if same and thought and bits <= self._near_distance else 0.0

    def _in_vain(self, event: Event, bits: int, alike: bool, thought: bool) -> float:
        """There was nothing again."""
        told = thought and event.result_exact != SILENCE
        if (alike and bits <= self._near_distance) or (told and bits <= self._vain_distance):
            return self._faint
        return _HINT if told else 0.0

    def _judge(self, file: OutcomeFile, event: Event) -> Finding | None:
        enough = self._stale if file.count >= _FEW else self._stale * _ONCE
        cycle = self._old - enough + self._open
        self.score = max(file.score, cycle)
        if file.hints:
            self.score = max(self.score, min(file.score + self._faint * file.hints, self._warn))
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
        what = f"{event.action} {lap or event.operation} × {len(spans) if lap else file.count}"
        outcome = "the same result" if event.ok else f"the same error {event.error_type}".rstrip()
        where = "in rounds" if lap else f"on {event.target or 'the same target'}"
        return finding(
            event, self.name, f"{what} {where} with {outcome}: no progress", action=action,
            score=self.score, threshold=threshold, spans=spans, repeated=what,
            first_time=steps[0][1] if lap else file.first_time,
        )  # fmt: skip
