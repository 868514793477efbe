"""Approval: one request and what became of it. Pure: every step gives a new value, or says why it is not taken.

::

              ask                 as many people as it takes agree               the action goes ahead
    (nothing) ───► pending ────────────────────────────────────────► approved ─────────────────────────► used
                    │  │                                               │  │
          one denies│  │expires_at                           one denies│  │expires_at
                    ▼  ▼                                               ▼  ▼
              denied    expired                                  denied    expired

Invariants:

* ``denied``, ``expired`` and ``used`` are ends. Nothing leaves them, so an answer, and an approval, count once.
* An approval is used by who states its digest, before ``expires_at``, once.
* An answer states the digest of what its giver has read. It counts only while the approval waits, only from one of
  ``allowed``. Each person agrees once.
* Nobody who asked is among ``allowed``: neither the agent nor the name of the token its process came with.
* ``approved`` has ``people`` answers of different persons that agree, and none that denies.
* Nobody answers in time: that is a no.
* ``version`` grows by one with each step.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any

from fusebox.errors import Permanent
from governance.approvals.request import Request


class Stage(StrEnum):
    """How an approval stands."""

    PENDING = "pending"
    APPROVED = "approved"
    DENIED = "denied"
    EXPIRED = "expired"
    USED = "used"


LIVE = frozenset({Stage.PENDING, Stage.APPROVED})
"""Stages that something can still become of."""


class NotTaken(Permanent):
    """A step that is not taken; the text says why, and changes nothing."""


class NotYours(NotTaken):
    """This person may not answer."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What one person said.

    Attributes:
        by: name of the operator, or of the key that signed the webhook.
        digest: of the request as they have read it.
        via: ``api``, ``page`` or ``webhook``.
        time: Unix seconds.
    """

    by: str
    approve: bool
    reason: str
    digest: str
    via: str
    time: float


@dataclass(frozen=True, slots=True)
class Approval:
    """One request for a person's word. Times are unscaled Unix seconds.

    Attributes:
        requester: who asked: the name of the token with which the agent's process came.
        allowed: people who may answer.
        people: how many of them must agree.
        lasts_s: seconds until it expires: from the question to the answer, and again from the answer to its use.
    """

    id: str
    tenant: str
    request: Request
    digest: str
    requester: str
    allowed: tuple[str, ...]
    people: int
    lasts_s: float
    asked_at: float
    expires_at: float
    stage: Stage = Stage.PENDING
    answers: tuple[Answer, ...] = ()
    version: int = 1

    @property
    def reason(self) -> str:
        """Why it stands as it does, for the agent and for people."""
        if self.stage is Stage.EXPIRED:
            return f"nobody has used or answered {self.id} within {self.lasts_s:.0f} s"
        said = "; ".join(f"{a.by} {'agrees' if a.approve else 'says no'}: {a.reason}" for a in self.answers)
        if self.stage is not Stage.PENDING:
            return said
        others = [name for name in self.allowed if name not in {a.by for a in self.answers}]
        waits = f"waits for {self.people - len(self.answers)} of {', '.join(others)}"
        return f"{waits}; {said}" if said else waits

    def live(self, now: float) -> bool:
        """True while something can still become of it."""
        return self.stage in LIVE and now < self.expires_at

    def fits(self, request: Request) -> bool:
        """True when it is about exactly this action, for the same message or workflow."""
        return self.digest == request.digest(self.tenant) and self.request.origin == request.origin

    def answered(self, answer: Answer) -> Approval:
        """With one more answer.

        Raises:
            NotTaken: it does not wait, has expired, or the answer is about something else.
            NotYours: this person may not answer, or has.
        """
        if answer.by not in self.allowed:
            raise NotYours(f"{answer.by} may not answer {self.id}; {', '.join(self.allowed)} may")
        self._require_live(answer.time)
        if answer.digest != self.digest:
            raise NotTaken(f"{self.id} is about something else than what was read; look at it again")
        if not answer.approve:
            return self._step(Stage.DENIED, answers=(*self.answers, answer))
        if self.stage is Stage.APPROVED or answer.by in {each.by for each in self.answers}:
            raise NotTaken(f"{answer.by} cannot add to {self.id}: {self.reason}")
        answers = (*self.answers, answer)
        if len(answers) < self.people:
            return self._step(Stage.PENDING, answers=answers)
        return self._step(Stage.APPROVED, answers=answers, expires_at=answer.time + self.lasts_s)

    def used(self, now: float) -> Approval:
        """Spent, for the one time.

        Raises:
            NotTaken: it is not approved, or no longer.
        """
        self._require_live(now)
        if self.stage is not Stage.APPROVED:
            raise NotTaken(f"{self.id} {self.reason}")
        return self._step(Stage.USED)

    def expired(self, now: float) -> Approval:
        """Over, for want of an answer or of its use.

        Raises:
            NotTaken: its time is not up, or it has ended.
        """
        if self.stage not in LIVE or now < self.expires_at:
            raise NotTaken(f"{self.id} has not expired")
        return self._step(Stage.EXPIRED)

    def json(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)

    @classmethod
    def of(cls, data: dict[str, Any]) -> Approval:
        """What :meth:`json` gave.

        Raises:
            KeyError, TypeError, ValueError: it is none.
        """
        return cls(
            **{
                **data,
                "request": Request(**data["request"]),
                "allowed": tuple(data["allowed"]),
                "stage": Stage(data["stage"]),
                "answers": tuple(Answer(**each) for each in data["answers"]),
            }
        )

    def _require_live(self, now: float) -> None:
        if self.stage in LIVE and now >= self.expires_at:
            raise NotTaken(f"{self.id} has expired")
        if self.stage not in LIVE:
            raise NotTaken(f"{self.id} is {self.stage.value} already: {self.reason}")

    def _step(self, stage: Stage, **changes: Any) -> Approval:
        return replace(self, stage=stage, version=self.version + 1, **changes)
