"""What one repetition weighs: a further event of a file, of the same (operation, target, result).

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
a model that could not be asked is asked the same again                                       1
the same, after it was asked other things, or with other numbers or ids                       ``faint``
the same call, sent again by its client library, which says so                                as it was
anything else: other work with the same result; numbers that move in the answer               0
============================================================================================ ===========
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from breakers.detectors.course import Course
from breakers.detectors.memory import CHANGED, KIN, MOVED, SAME, VARIED
from breakers.detectors.outcome import PAUSE_S, OutcomeFile
from breakers.detectors.words import delegates, names_one_thing, writes
from fusebox.fingerprint import NOTHING, SILENCE
from fusebox.records import ActionKind, Event
from fusebox.simhash import distance

UNTOLD: Final = -1.0
"""In the place of a weight: who knows; the score stays as it was."""
HINT: Final = -2.0
"""In the place of a weight: a hint."""
_GREW: Final = 8
_POLITE_S: Final = 0.5
_UNLIKE: Final = 64
_RESENT: Final = 5
"""How often a call may be sent again and be one: anybody can say so. Libraries that go on then wait for long anyway."""
_MODEL: Final = ActionKind.MODEL_CALL


@dataclass(frozen=True, slots=True)
class Weights:
    """The words of the table, as numbers, and the SimHash bits that its likenesses may differ in."""

    near_distance: int
    """Of paraphrases on a target that names one thing."""
    alike_distance: int
    """Of paraphrases on a target that names a whole system."""
    vain_distance: int
    """Of requests that found nothing and still are in similar words."""
    near: float
    alike: float
    faint: float
    idle: float
    patience_s: float
    """Seconds in which one more call is forgiven, of a model that cannot be asked."""

    def of(self, file: OutcomeFile, event: Event, step: int, course: Course) -> float:
        """The weight of ``event``, which is one more of ``file``; :data:`UNTOLD` or :data:`HINT` instead of one.

        Args:
            step: what the agent's memory says of it (:mod:`breakers.detectors.memory`).
            course: the agent's, with this event.
        """
        weight = self._for_whomever(file, event, step, course)
        return self.idle if weight > self.idle and _for_another(file, event, course) else weight

    def of_outage(self, file: OutcomeFile, event: Event, step: int, resent: int) -> float:
        """The same of a model that could not be asked; the call before it was sent again ``resent`` times."""
        if step < VARIED:
            return 0.0
        if resent < event.resent <= _RESENT:
            return UNTOLD
        return 1.0 if step == SAME and event.request == file.request else self.faint

    def _for_whomever(self, file: OutcomeFile, event: Event, step: int, course: Course) -> float:
        gap, again = event.time - file.time, event.request == file.request
        thought = course.thoughts > file.thoughts or event.input_tokens >= file.tokens + _GREW
        if step <= CHANGED and again:
            if file.task < course.task:
                step = SAME  # in an earlier task, which is no longer remembered
            elif event.waiting and event.ok:
                return self.idle  # so much was thought meanwhile that only the file remembers it
        if step <= CHANGED or (step == SAME and not again and not event.ok):
            return self._another_request(file, event, thought, thought or gap >= PAUSE_S, file.task != course.task)
        if event.ok:
            if step in (KIN, MOVED) and not writes(event.operation):
                return 0.0 if step == MOVED else self.idle
            if step != SAME and not thought and gap < PAUSE_S and not names_one_thing(event.target):
                return UNTOLD
            if event.waiting or (not thought and file.ticks(gap)):
                return self.idle
        elif not thought and gap >= _POLITE_S and file.waits_longer(gap):
            return self.faint
        if names_one_thing(event.target):
            return 1.0
        if not event.result or file.task != course.task:
            return self.faint
        return self.alike if step == VARIED and event.ok else 1.0

    def _another_request(self, file: OutcomeFile, event: Event, thought: bool, reacted: bool, elsewhen: bool) -> float:
        """Another request with the same result; ``elsewhen``: in another task."""
        if event.action is _MODEL:  # prompts share their instructions; answers like "yes" say nothing
            return 0.0
        one_thing = names_one_thing(event.target)
        if elsewhen and not one_thing:
            return 0.0
        bits = distance(event.simhash, file.simhash) if event.simhash and file.simhash else _UNLIKE
        if (bits <= self.near_distance or reacted) and one_thing and not delegates(event.operation):
            return self.near
        if not event.ok:
            return self.alike
        same = bool(event.result) and event.result_exact == file.result
        if same and reacted and bits <= self.alike_distance:
            return self.alike
        if event.result == NOTHING:
            return self._in_vain(event, bits, same and reacted, thought)
        return HINT if same and thought and bits <= self.near_distance else 0.0

    def _in_vain(self, event: Event, bits: int, alike: bool, thought: bool) -> float:
        """There was nothing again."""
        told = thought and event.result_exact != SILENCE
        if (alike and bits <= self.near_distance) or (told and bits <= self.vain_distance):
            return self.faint
        return HINT if told else 0.0


def _for_another(file: OutcomeFile, event: Event, course: Course) -> bool:
    """Many users ask the same; who writes, or is at one thing, does it again for whomever."""
    if file.asker == course.asker or not event.ok or not event.workflow:
        return False
    return not (names_one_thing(event.target) or writes(event.operation))
