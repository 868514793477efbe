"""Repetition: doing the same again and getting the same again. No progress.

What an agent does is filed under (action, operation, target, result). Each further event of a file adds to its score:

===================================================================================================== ===============
the request is the same as one of the last few (normalised: ids, numbers and times do not count)       1
it is a near-duplicate (SimHash) on a target that names one thing (``TICK-12``: it holds a digit)      ``near_weight``
it differs, but the target names one thing and the agent thought, or waited a second, in between       ``near_weight``
it is a near-duplicate, or the same error, on a target that names a whole system (``crm``)             ``vague_weight``
it is the same, but a system's answer is not known                                                     ``faint_weight``
===================================================================================================== ===============

A failure that is retried with ever longer pauses (a polite back-off) counts ``faint_weight`` of its score.

Novelty drains: every *other* tool call or publish whose outcome was not seen before takes ``drain`` off all scores,
three or more of them between two repetitions twice that;
the same request with a new outcome (paging, a job that moves) takes a whole point off its neighbours. Counts, not time
windows: a step every few minutes adds up as well as ten a second, until a file rests for ``memory_s``.

A tool that returns nothing is judged on a target that names one thing, and with ``faint_weight`` elsewhere (it may be
that the result was not recorded). A publish has no result: it cannot be said to make no progress and is not judged.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Final

from breakers.detectors.base import finding, span_of
from fusebox.fingerprint import distance
from fusebox.records import ActionKind, Event, Finding

_Key = tuple[ActionKind, str, str, int]

_FILES: Final = 32
_SEEN: Final = 128
_RECENT: Final = 4
_EVIDENCE: Final = 8
_PAUSE_S: Final = 1.0
_BACKOFF: Final = 1.8
_FEW: Final = 3
_DIGIT: Final = re.compile(r"\d")


@dataclass(slots=True)
class _File:
    """One (action, operation, target, result) and how often it came round."""

    score: float
    first_time: float
    last_time: float
    novelties: int
    thoughts: int
    gap: float = 0.0
    polite: bool = True
    """Each pause so far was longer than the one before by the factor of a back-off."""
    count: int = 1
    requests: tuple[int, ...] = ()
    simhashes: tuple[int, ...] = ()
    spans: tuple[str, ...] = ()


class Repetition:
    """See the module.

    Args:
        threshold: score that opens; an exact loop reaches it at its ``threshold``-th lap.
        near_distance: SimHash bits in which near-duplicates may differ on a target that names one thing.
        vague_distance: the same on a target that names a whole system.
        near_weight, vague_weight, faint_weight: see the table.
        drain: what one novel outcome takes off.
        memory_s: seconds after which a file that rested is forgotten.
    """

    name = "repetition"

    def __init__(
        self,
        *,
        threshold: float = 4.0,
        near_distance: int = 20,
        vague_distance: int = 4,
        near_weight: float = 0.98,
        vague_weight: float = 0.6,
        faint_weight: float = 0.4,
        drain: float = 0.22,
        memory_s: float = 1800.0,
    ) -> None:
        self._threshold = threshold
        self._near_distance = near_distance
        self._vague_distance = vague_distance
        self._near_weight = near_weight
        self._vague_weight = vague_weight
        self._faint_weight = faint_weight
        self._drain = drain
        self._memory_s = memory_s
        self._files: OrderedDict[_Key, _File] = OrderedDict()
        self._seen: OrderedDict[tuple[int, int], None] = OrderedDict()
        self._outcomes: OrderedDict[int, _Key] = OrderedDict()
        self._novelties = 0
        self._thoughts = 0

    def observe(self, event: Event) -> Finding | None:
        """Judge one event of the agent."""
        if event.action in (ActionKind.MODEL_CALL, ActionKind.CONSUME):
            self._thoughts += 1
        if not _judged(event):
            return None
        key = (event.action, event.operation, event.target, event.result)
        novel = self._is_novel(event)
        file = self._files.get(key)
        if file is None or event.time - file.last_time > self._memory_s:
            self._open_file(key, event, novel)
            return None
        self._repeat(file, event, novel)
        _keep(self._files, key, _FILES)
        return self._judge(file, event)

    def _is_novel(self, event: Event) -> bool:
        """True when this request had not had this outcome in recent memory."""
        mark = (event.request, event.result)  # the request hash is bound to operation and target
        novel = mark not in self._seen
        self._seen[mark] = None
        _keep(self._seen, mark, _SEEN)
        return novel

    def _open_file(self, key: _Key, event: Event, novel: bool) -> None:
        # A thought is no work: what a model says is always new and must not hide that nothing gets done.
        if novel and event.ok and event.action is not ActionKind.MODEL_CALL:
            self._novelties += 1
            self._moved_on(event, key)
        file = _File(1.0, event.time, event.time, self._novelties, self._thoughts)
        _remember(file, event)
        self._files[key] = file
        _keep(self._files, key, _FILES)
        self._outcomes[event.request] = key
        _keep(self._outcomes, event.request, _SEEN)

    def _moved_on(self, event: Event, key: _Key) -> None:
        """When the same request had another outcome before, that one was no dead end."""
        before = self._files.get(self._outcomes.get(event.request, key))
        if before:
            before.score = max(0.0, before.score - 1.0)

    def _repeat(self, file: _File, event: Event, novel: bool) -> None:
        weight = self._weight(file, event)
        score = max(0.0, file.score - self._drain * _dilution(self._novelties - file.novelties))
        if weight:
            file.score, file.count = score + weight, file.count + 1
        else:  # other work with the same outcome: a row of a batch
            one_thing = _DIGIT.search(event.target) is not None
            file.score, file.count = 1.0 if one_thing else max(1.0, score - self._drain * _FEW), 1
            file.first_time = event.time
            file.spans = ()
            if novel and event.ok:
                self._novelties += 1
        file.novelties, file.thoughts = self._novelties, self._thoughts
        gap, file.last_time = event.time - file.last_time, event.time
        file.polite = not event.ok and file.polite and gap >= _BACKOFF * file.gap
        file.gap = gap
        _remember(file, event)

    def _weight(self, file: _File, event: Event) -> float:
        one_thing = _DIGIT.search(event.target) is not None
        if event.request in file.requests:
            return 1.0 if event.result or one_thing else self._faint_weight
        if event.action is ActionKind.MODEL_CALL:  # prompts share their instructions; answers like "yes" say nothing
            return 0.0
        bits = min((distance(event.simhash, s) for s in file.simhashes if s), default=64) if event.simhash else 64
        if one_thing and (bits <= self._near_distance or self._reacted(file, event)):
            return self._near_weight
        if not event.ok:
            return self._vague_weight
        return self._vague_weight if bits <= self._vague_distance and event.result else 0.0

    def _reacted(self, file: _File, event: Event) -> bool:
        """Not a quick batch over rows: the agent thought, or let time pass, since it last did this."""
        return self._thoughts > file.thoughts or event.time - file.last_time >= _PAUSE_S

    def _judge(self, file: _File, event: Event) -> Finding | None:
        polite = file.polite and file.count >= _FEW
        score = file.score * self._faint_weight if polite else file.score
        if score < self._threshold:
            return None
        what = f"{event.action} {event.operation} × {file.count}"
        outcome = "the same result" if event.ok else f"the same error {event.error_type}".rstrip()
        return finding(
            event,
            self.name,
            f"{what} on {event.target or 'the same target'} with {outcome}: no progress",
            score=score,
            threshold=self._threshold,
            spans=file.spans,
            repeated=what,
            first_time=file.first_time,
        )


def _keep(kept: OrderedDict[Any, Any], key: object, limit: int) -> None:
    """``key`` is the latest; the oldest beyond ``limit`` goes."""
    kept.move_to_end(key)
    if len(kept) > limit:
        kept.popitem(last=False)


def _judged(event: Event) -> bool:
    """Tool calls, and what else is known by its request and its result."""
    if not event.request or event.action is ActionKind.CONSUME:
        return False
    return bool(event.result) or event.action is ActionKind.TOOL_CALL


def _dilution(novelties: int) -> int:
    """One or two new outcomes in between are part of a loop's lap; more make what repeats a side line."""
    return novelties if novelties < _FEW else 2 * novelties


def _remember(file: _File, event: Event) -> None:
    file.spans = (*file.spans, span_of(event))[-_EVIDENCE:]
    if event.request not in file.requests:
        file.requests = (*file.requests, event.request)[-_RECENT:]
        file.simhashes = (*file.simhashes, event.simhash)[-_RECENT:]
