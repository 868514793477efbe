"""Approvals as *watch* keeps them: agents ask, people answer, the journal knows of both before either counts.

Every step is an entry ``approval`` about the approval's id; ``payload.step`` says which:

========  ====================  ==================================================================================
step      actor                 payload
========  ====================  ==================================================================================
asked     ``agent:<id>``        ``approval`` (all of it, exact arguments included) and ``alert``
answered  ``operator:<name>``   ``approve``, ``digest``, ``via`` and the ``stage`` that comes of it
used      ``agent:<id>``        ``digest``: the action goes ahead, this once
expired   ``watch``             ``digest``
========  ====================  ==================================================================================

An ``outcome`` "failed" about the id says that the state store did not take the step. While the journal cannot be
written nobody is asked, no answer is taken and nothing goes ahead.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any, Final

from collector.alerts.writer import OPERATOR, Writer
from collector.audit.entry import Note
from collector.audit.journal import Journal
from collector.tokens import Principal
from collector.watch import people_bodies, process_bodies
from collector.watch.body import parse
from collector.watch.dispatch import Dispatch
from collector.watch.journal_first import journal_first
from collector.watch.refusal import CONFLICT, FORBIDDEN, NOT_FOUND, TOO_MANY, UNAVAILABLE, Refusal
from collector.watch.telling import Telling
from collector.watch.uplink import refuse_foreign
from fusebox import happenings
from fusebox.clock import Clock
from fusebox.errors import StoreUnavailable
from fusebox.store import Store
from governance.approvals.approval import LIVE, Answer, Approval, NotTaken, NotYours, Stage
from governance.approvals.register import KEEP_S, Register, Terms, TooMany
from governance.approvals.rules import ApprovalRules

Json = dict[str, Any]
KIND: Final = "approval"
AGENT: Final = "agent:"
_ENDS: Final = frozenset({"used", "expired"})
_SHOWN: Final = 500

ANSWERED: Final = happenings.declare("approval_answered", logging.WARNING, "a person agreed to an action, or said no")
EXPIRED: Final = happenings.declare(
    "approval_expired", logging.WARNING, "nobody answered in time, or what was agreed to was not used in time"
)
EXPIRY_LATE: Final = happenings.declare(
    "approval_expiry_late",
    logging.ERROR,
    "an approval is over, but that could not be recorded yet; it counts all the same",
)


class Approving:
    """Who is asked, what they say, and what is done with it.

    Args:
        key: seals what is in the store.
        rules: who is asked about each agent.
        local: the token that belongs to this machine and to no person: whoever reads it may be one who has agreed by
            name already, so it counts for nobody where two must agree.
        people: everyone who could answer, by name.
        each: approvals that may wait for one person at once.
    """

    def __init__(
        self, store: Store, key: bytes, journal: Journal, rules: ApprovalRules, people: Callable[[], tuple[str, ...]],
        dispatch: Dispatch, telling: Telling, writer: Writer, clock: Clock, *, tenant: str, local: str, each: int,
    ) -> None:  # fmt: skip
        self._register = Register(store, clock, tenant, key, self._record)
        self._journal, self._rules, self._people, self._dispatch = journal, rules, people, dispatch
        self._telling, self._writer, self._clock = telling, writer, clock
        self._tenant, self._local, self._each = tenant, local, each

    # --- agents -----------------------------------------------------------------------------------------------------
    def hold(self, principal: Principal, data: Any) -> Json:
        """How things stand with an action that a guard holds; with a grant when it may go ahead.

        Raises:
            Refusal: nobody can be asked; 409 also when what is named is about something else, or was used.
        """
        body = parse(process_bodies.HoldBody, data)
        request = body.request.record()
        refuse_foreign(principal, [request.agent])
        requester = "" if principal.name == self._local else principal.name
        with _refusing():
            approval = self._register.settle(
                request, requester, self._terms(request.agent), named=body.named, by_origin=body.by_origin
            )
        if approval.stage is Stage.PENDING:
            self._telling.asked(self._writer.approval(approval))
        told = {"approval": approval.id, "stage": approval.stage.value, "reason": approval.reason}
        return told | {"expires_at": approval.expires_at, "grant": self._grant(approval, body.nonce)}

    def standing(self, principal: Principal, data: Any) -> Json:
        """Stages of the approvals of some agents that live, or have ended a moment ago; not of those used."""
        body = parse(process_bodies.StandingBody, data)
        refuse_foreign(principal, body.agents)
        with _refusing():
            return {"approvals": self._register.standing(body.agents)}

    # --- people -----------------------------------------------------------------------------------------------------
    def show_all(self) -> Json:
        """The answer of ``GET /v1/approvals``: without arguments, which may be long."""
        with _refusing():
            live = sorted(self._register.live(), key=lambda each: each.expires_at)
            rows = [_row(each) for each in (*live, *self._register.over(_SHOWN))]
        for row in rows:
            del row["request"]["arguments"]
        return {"approvals": rows, "time": self._clock.wall()}

    def show(self, id: str) -> Json:
        """One approval, with its exact arguments.

        Raises:
            Refusal: 404, there is none.
        """
        with _refusing():
            approval = self._register.get(id)
        if approval is None:
            raise Refusal(NOT_FOUND, f"there is no approval {id[:100]!r}; see 'fusebox approvals list'")
        return _row(approval)

    def answer(self, who: str, body: people_bodies.AnswerBody, via: str = "api") -> Json:
        """Take a person's word.

        Raises:
            Refusal: 403, they may not answer; 409, it does not count any more; 503, it could not be journaled.
        """
        answer = Answer(who, body.approve, body.reason, body.digest, via, self._clock.wall())
        with _refusing():
            approval = self._register.answer(body.approval, answer)
        happenings.emit(ANSWERED, approval=approval.id, by=who, approve=body.approve, stage=approval.stage.value)
        return {"approval": approval.id, "stage": approval.stage.value, "reason": approval.reason}

    # --- watch ------------------------------------------------------------------------------------------------------
    def look(self) -> None:
        """End what has waited too long; what cannot be recorded now is tried again, and counts as over all the same."""
        try:
            over = self._register.expire()
        except (Refusal, StoreUnavailable, NotTaken) as error:
            happenings.emit(EXPIRY_LATE, error=str(error))
            return
        for approval in over:
            happenings.emit(EXPIRED, approval=approval.id, agent=approval.request.agent)

    def learn(self, entry: Json) -> None:
        """Take in one entry of the journal: what has ended stays so, whatever a store says that was put back."""
        if entry["kind"] != KIND or self._clock.wall() - entry["time"] > 2 * KEEP_S:
            return
        payload = entry["payload"]
        if payload.get("step") in _ENDS or payload.get("stage") == Stage.DENIED:
            self._register.ended(entry["subject"])

    def _record(self, step: str, approval: Approval) -> None:
        """
        Raises:
            Refusal: 503, it could not be journaled; 409, who agreed to it may not any more.
        """
        if step == "failed":
            self._journal.record(Note("outcome", "watch", approval.id, "failed: the state store did not take it"))
            return
        if step == "used":
            self._require_givers(approval)
        note = _note(step, approval)
        if step == "asked":
            note.payload["alert"] = asdict(self._writer.approval(approval))
        journal_first(self._journal, note)

    def _require_givers(self, approval: Approval) -> None:
        """
        Raises:
            Refusal: 409, somebody who agreed has been shut out since: a thief with their token may have agreed.
        """
        gone = {answer.by for answer in approval.answers} - {*self._people()}
        if gone:
            who = ", ".join(sorted(gone))
            raise Refusal(CONFLICT, f"{who} agreed to {approval.id} and has neither token nor key any more; deny it")

    def _terms(self, agent: str) -> Terms:
        rule = self._rules.of(agent)
        allowed = rule.by or self._people()
        if rule.people > 1:
            allowed = tuple(name for name in allowed if name != self._local)
        return Terms(allowed, rule.people, rule.expires_s, self._each)

    def _grant(self, approval: Approval, nonce: str) -> str:
        if approval.stage is not Stage.USED:
            return ""
        bound = {"approval": approval.id, "digest": approval.digest, "tenant": self._tenant}
        return self._dispatch.sign({"kind": "grant", "nonce": nonce, **bound})


@contextmanager
def _refusing() -> Iterator[None]:
    """What the register says, as an answer of the control API."""
    try:
        yield
    except NotYours as error:
        raise Refusal(FORBIDDEN, str(error)) from error
    except TooMany as error:
        raise Refusal(TOO_MANY, str(error)) from error
    except NotTaken as error:
        raise Refusal(CONFLICT, str(error)) from error
    except StoreUnavailable as error:
        raise Refusal(UNAVAILABLE, f"approvals are kept in the state store: {error}") from error


def _row(approval: Approval) -> Json:
    return {**approval.json(), "reason": approval.reason, "live": approval.stage in LIVE}


def _note(step: str, approval: Approval) -> Note:
    request = approval.request
    payload: Json = {"step": step, "digest": approval.digest}
    agent = f"{AGENT}{request.agent}"
    if step == "asked":
        payload = {"step": step, "approval": approval.json()}
        return Note(KIND, agent, approval.id, request.reason, request.trace_id, payload=payload)
    if step == "answered":
        said = approval.answers[-1]
        told = {"approve": said.approve, "via": said.via, "stage": approval.stage.value}
        return Note(KIND, f"{OPERATOR}{said.by}", approval.id, said.reason, request.trace_id, payload=payload | told)
    actor = agent if step == "used" else "watch"
    return Note(KIND, actor, approval.id, step, request.trace_id, payload=payload)
