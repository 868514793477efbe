"""Register: the approvals of one tenant, in the state store.

A step is read, made (:mod:`governance.approvals.approval`), and written by one atomic compare-and-set
(:mod:`governance.approvals.rows`): of two that race, one finds the version changed and looks again. What a step is to
bring about is recorded (journaled) before it is written; when it cannot be recorded it is not taken.

Who can write to the store can neither approve (the seal) nor have an approval used twice by putting back what it was:
the register is told which approvals have ended (:meth:`Register.ended`), from the journal, and believes no store that
says otherwise. A store that forgets an approval makes a question of it again, never a yes.

Rows expire :data:`KEEP_S` after their last possible step.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from fusebox import happenings
from fusebox.clock import Clock
from fusebox.errors import StoreUnavailable
from fusebox.records import new_id
from fusebox.store import Store
from governance.approvals.approval import LIVE, Answer, Approval, NotTaken, Stage
from governance.approvals.index import Entry, Index
from governance.approvals.request import Request
from governance.approvals.rows import Forged, Rows

KEEP_S: Final = 7 * 86_400
NEWS_S: Final = 120.0
"""Who asks how things stand, often, is not told again and again of what ended longer ago."""
MAX_PENDING: Final = 1_000
"""Approvals that wait at once, over all people."""
_TRIES: Final = 16

FORGED: Final = happenings.declare(
    "approval_forged", logging.ERROR, "an approval in the state store is not what watch wrote; it counts as none"
)
ROLLED_BACK: Final = happenings.declare(
    "approval_rolled_back", logging.ERROR, "the state store shows an approval that has ended as live; it stays ended"
)

Record = Callable[[str, Approval], None]
"""``record(step, approval)``: write down what is about to be; whatever it raises prevents it."""


class TooMany(NotTaken):
    """The people who could be asked have enough to answer already."""


@dataclass(frozen=True, slots=True)
class Terms:
    """Who is asked, and how.

    Attributes:
        allowed: people who may answer; those who asked are left out.
        people: how many must agree.
        lasts_s: seconds until the question, and then the approval, expires.
        each: approvals that may wait for one person at once.
    """

    allowed: tuple[str, ...]
    people: int = 1
    lasts_s: float = 900.0
    each: int = 20


class Register:
    """Approvals in a store; thread-safe, and safe beside other registers on the same store.

    Args:
        key: seals what is stored.
        record: called before each step with its name (``asked``, ``answered``, ``used``, ``expired``), and with
            ``failed`` when the store then did not take it.

    Every method raises :class:`fusebox.errors.StoreUnavailable` when the store does not answer.
    """

    def __init__(self, store: Store, clock: Clock, tenant: str, key: bytes, record: Record) -> None:
        self._clock, self._tenant, self._record = clock, tenant, record
        self._rows, self._index = Rows(store, tenant, key), Index(store, tenant, KEEP_S)
        self._ends: OrderedDict[str, float] = OrderedDict()
        self._lock = threading.RLock()
        """What is recorded for a step that another one then forestalls would be wrong in the record."""

    def get(self, id: str) -> Approval | None:
        """One approval, or None when there is none (any more)."""
        try:
            approval = self._rows.read(id)
        except Forged as error:
            happenings.emit(FORGED, approval=id, error=str(error))
            return None
        if approval is not None and id in self._ends and approval.stage in LIVE:
            happenings.emit(ROLLED_BACK, approval=id)
            return replace(approval, stage=Stage.EXPIRED)
        return approval

    def live(self) -> list[Approval]:
        """Those that something can still become of."""
        now = self._clock.wall()
        return [approval for approval in self._found(self._index.entries(now), live=True) if approval.live(now)]

    def over(self, limit: int) -> list[Approval]:
        """Those that nothing can become of any more, the latest end first."""
        entries = sorted(self._index.entries(self._clock.wall()), key=lambda entry: entry.until, reverse=True)
        return self._found([entry for entry in entries if not entry.live][:limit], live=False)

    def standing(self, agents: Container[str]) -> dict[str, str]:
        """Stages of the approvals of these agents: what is live, and what came to a no within :data:`NEWS_S`."""
        now = self._clock.wall()
        entries = [each for each in self._index.entries(now) if each.live or now - each.until <= NEWS_S]
        return {each.id: each.stage for each in entries if each.agent in agents and each.stage != Stage.USED}

    def ended(self, id: str) -> None:
        """The journal says that this approval has ended."""
        now = self._clock.wall()
        self._ends[id] = now + 2 * KEEP_S
        while next(iter(self._ends.values())) <= now:
            self._ends.popitem(last=False)

    def ask(self, request: Request, requester: str, terms: Terms) -> Approval:
        """The live approval of this request, or a new one that waits.

        Raises:
            TooMany: those who could be asked have enough to answer.
            NotTaken: there are too few who could.
        """
        with self._lock:
            live = self.live()
            same = next((approval for approval in live if approval.fits(request)), None)
            return same or self._new(request, requester, terms, live)

    def settle(self, request: Request, requester: str, terms: Terms, *, named: str, by_origin: bool) -> Approval:
        """How things stand with an action that is about to happen; ``used`` when it may go ahead, once.

        Args:
            named: the approval that the agent names; empty when it names none.
            by_origin: whatever was agreed for the request's origin counts (of a message, say); otherwise only what is
                named does, and it must be about this very action.

        Raises:
            TooMany, NotTaken: nobody can be asked, or what is named does not fit, or was used before.
        """
        with self._lock:
            found = self.get(named) if named else None
            if by_origin:
                over = found is not None and found.fits(request) and found.stage in (Stage.DENIED, Stage.EXPIRED)
                found = found if over else self.ask(request, requester, terms)
            elif not named:
                return self.ask(request, requester, terms)
            elif found is None or not found.fits(request):
                raise NotTaken(f"{named} is not about this action; what is to be approved must not change")
            assert found is not None
            return found if found.stage in (Stage.PENDING, Stage.DENIED, Stage.EXPIRED) else self.use(found.id)

    def answer(self, id: str, answer: Answer) -> Approval:
        """Take one person's word.

        Raises:
            NotTaken: it does not count; the text says why.
        """
        return self._step("answered", id, lambda approval: approval.answered(answer))

    def use(self, id: str) -> Approval:
        """Spend an approval.

        Raises:
            NotTaken: it is not approved, or no longer.
        """
        return self._step("used", id, lambda approval: approval.used(self._clock.wall()))

    def expire(self) -> list[Approval]:
        """End what has waited too long; what that was."""
        now = self._clock.wall()
        due = [entry for entry in self._index.entries(now) if entry.live and now >= entry.until]
        ended = []
        for approval in self._found(due, live=True):
            if approval.stage not in LIVE or now < approval.expires_at:
                self._index.note(approval, now)  # a crash came between the two
            else:
                ended.append(self._step("expired", approval.id, lambda each: each.expired(now)))
        return ended

    def _found(self, entries: Iterable[Entry], *, live: bool) -> list[Approval]:
        """The approvals of these entries; an entry of none is dropped."""
        found = {entry.id: self.get(entry.id) for entry in entries if entry.live is live}
        self._index.drop(*(id for id, approval in found.items() if approval is None))
        return [approval for approval in found.values() if approval is not None]

    def _new(self, request: Request, requester: str, terms: Terms, live: Sequence[Approval]) -> Approval:
        askable = tuple(name for name in terms.allowed if name not in (requester, request.agent))
        waiting = [approval for approval in live if approval.stage is Stage.PENDING]
        free = [name for name in askable if _load(name, waiting) < terms.each]
        if len(askable) < terms.people:
            raise NotTaken(f"it takes {terms.people} people to agree, and {len(askable)} may: {', '.join(askable)}")
        if len(free) < terms.people or len(waiting) >= MAX_PENDING:
            raise TooMany(f"{terms.each} approvals wait for each of {', '.join(askable)} already; ask again later")
        now = self._clock.wall()
        approval = Approval(
            new_id("apr"), self._tenant, request, request.digest(self._tenant), requester, askable, terms.people,
            terms.lasts_s, now, now + terms.lasts_s,
        )  # fmt: skip
        self._take("asked", approval)
        return approval

    def _step(self, name: str, id: str, step: Callable[[Approval], Approval]) -> Approval:
        for _ in range(_TRIES):
            with self._lock:
                before = self.get(id)
                if before is None:
                    raise NotTaken(f"there is no approval {id}; it may be over for long")
                after = step(before)
                if self._take(name, after):
                    if after.stage not in LIVE:
                        self.ended(id)
                    return after
        raise StoreUnavailable(f"{id} changes all the time; try again")

    def _take(self, name: str, after: Approval) -> bool:
        self._record(name, after)
        try:
            return self._put(after)
        except StoreUnavailable:
            self._record("failed", after)
            raise

    def _put(self, approval: Approval) -> bool:
        """Write what comes after the version before it; False when that is no longer what is there."""
        lasts = max(0.0, approval.expires_at - self._clock.wall()) + approval.lasts_s
        if not self._rows.write(approval, int(lasts) + KEEP_S):
            return False
        self._index.note(approval, self._clock.wall())
        return True


def _load(name: str, waiting: Iterable[Approval]) -> int:
    """How many approvals wait for this person."""
    return sum(name in each.allowed and name not in {a.by for a in each.answers} for each in waiting)
