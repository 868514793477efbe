"""Client: the part of an agent's process, or of a gateway, that asks *watch* about an action that a guard holds.

What lets an action go ahead is a grant: bytes that *watch* signs with its Command key, over the approval, the digest of
the action and a nonce drawn here for this one question. So nobody else can give one, and none counts twice: *watch*
spends the approval before it signs.
"""

from __future__ import annotations

import logging
import secrets
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import Any, Final

from fusebox import guard, happenings
from fusebox.control import ControlClient, ControlRefused
from fusebox.errors import (
    ApprovalDenied,
    ApprovalPending,
    ApprovalUnavailable,
    BadCommand,
    ControlUnavailable,
    Refused,
)
from fusebox.records import Action, Verdict
from governance.approvals.approval import Stage
from governance.approvals.request import Request, Unaskable, exact

Json = Mapping[str, Any]
_MAX_ASKED: Final = 10_000
_AGAIN_S: Final = 5.0
_NO: Final = frozenset({Stage.DENIED, Stage.EXPIRED})

APPROVAL_ASKED: Final = happenings.declare("approval_asked", logging.INFO, "a person is asked about an action")
APPROVAL_USED: Final = happenings.declare(
    "approval_used", logging.INFO, "an action went ahead because people agreed to it"
)
BAD_GRANT: Final = happenings.declare(
    "approval_bad_grant", logging.ERROR, "what should let an action go ahead was not signed by watch for it; refused"
)


class Approvals:
    """Asks *watch*; thread-safe.

    Args:
        client: the current client of *watch*, or None while it is unknown.
        opened: verifies signed bytes and gives their payload; raises :class:`BadCommand`.
        tenant: of this installation.
        process: this process's id.
    """

    def __init__(
        self, client: Callable[[], ControlClient | None], opened: Callable[[bytes], Json], tenant: str, process: str
    ) -> None:
        self._client, self._opened, self._tenant, self._process = client, opened, tenant, process
        self._asked: OrderedDict[tuple[str, str], str] = OrderedDict()

    def require(
        self, action: Action, verdict: Verdict, arguments: Callable[[], object], *, contract: str = "",
        origin: str = "", named: str = "", by_origin: bool = True,
    ) -> str:  # fmt: skip
        """Return the approval's id when people have agreed to this action; it then goes ahead, this once.

        Args:
            verdict: the guard's ``hold``.
            arguments: gives what people are shown; ``contract`` says what they mean (a signature, an address).
            origin: the message or workflow that the action belongs to.
            named: the approval that the message or the call carries.
            by_origin: see :meth:`governance.approvals.register.Register.settle`.

        Raises:
            ApprovalPending: they have been asked.
            ApprovalDenied: they said no, did not answer, or cannot be asked.
            ApprovalUnavailable: *watch* does not answer; nobody was asked.
        """
        try:
            request = _request(action, verdict, exact(arguments()), contract, origin)
        except Unaskable as error:
            raise _denied(action, str(error)) from error
        nonce, place = secrets.token_hex(16), (origin, request.digest(self._tenant))
        body = {
            "process": self._process, "request": request.json(), "nonce": nonce, "by_origin": by_origin,
            "named": named or (self._asked.get(place, "") if by_origin else ""),
        }  # fmt: skip
        answer = self._ask(action, body)
        self._rule(action, verdict, answer, {"kind": "grant", "digest": place[1], "nonce": nonce}, place)
        return str(answer["approval"])

    def standing(self, agents: Iterable[str]) -> dict[str, str]:
        """Stages of the approvals of these agents that live, or came to a no a moment ago; any other is over.

        Raises:
            ControlUnavailable, ControlRefused: *watch* does not say.
        """
        return dict(self._send("standing", {"process": self._process, "agents": list(agents)})["approvals"])

    def _ask(self, action: Action, body: Json) -> Json:
        try:
            return self._send("hold", body)
        except ControlRefused as refused:
            if refused.status == HTTPStatus.TOO_MANY_REQUESTS:
                raise _unavailable(action, refused) from refused
            raise _denied(action, str(refused)) from refused
        except ControlUnavailable as error:
            raise _unavailable(action, error) from error

    def _send(self, kind: str, body: Json) -> Json:
        client = self._client()
        if client is None:
            raise ControlUnavailable("watch is not running, so nobody can be asked; start it with 'fusebox up'")
        return client.send(kind, body)

    def _rule(self, action: Action, verdict: Verdict, answer: Json, bound: Json, place: tuple[str, str]) -> None:
        """
        Raises:
            Refused: it may not go ahead.
        """
        approval, stage = str(answer["approval"]), Stage(str(answer["stage"]))
        self._asked.pop(place, None)
        if stage is Stage.USED:
            self._verify(action, str(answer["grant"]), {**bound, "approval": approval, "tenant": self._tenant})
            happenings.emit(APPROVAL_USED, approval=approval, agent=action.agent, operation=action.operation)
            return
        if stage in _NO:
            raise _denied(action, str(answer["reason"]))
        self._remember(place, approval)
        happenings.emit(APPROVAL_ASKED, approval=approval, agent=action.agent, operation=action.operation)
        held = guard.hold(verdict.guard, f"{verdict.reason}; {approval}", revision=verdict.revision)
        raise ApprovalPending(action, held, approval)

    def _verify(self, action: Action, grant: str, bound: Json) -> None:
        try:
            signed = self._opened(grant.encode())
        except BadCommand:
            signed = {}
        if signed != bound:
            happenings.emit(BAD_GRANT, agent=action.agent, approval=str(bound["approval"]))
            raise _denied(action, "the grant is not one that watch signed for this action")

    def _remember(self, place: tuple[str, str], approval: str) -> None:
        """Work that no message caused carries no approval; so that it is not asked about again after a no."""
        self._asked[place] = approval
        if len(self._asked) > _MAX_ASKED:
            self._asked.popitem(last=False)


def asked_elsewhere(action: Action, approval: str) -> Refused:
    """What a gateway says of a call that a guard holds there: people are asked, or (without an id) nobody could be."""
    if not approval:
        return _unavailable(action, "the gateway could ask nobody")
    return ApprovalPending(action, guard.hold(guard.APPROVAL, f"people are asked; {approval}"), approval)


def _unavailable(action: Action, error: object) -> Refused:
    verdict = guard.deny(guard.APPROVAL, str(error), retry_after=_AGAIN_S, narrow=True)
    return ApprovalUnavailable(action, verdict)


def _denied(action: Action, reason: str) -> Refused:
    return ApprovalDenied(action, guard.deny(guard.APPROVAL, reason, narrow=True))


def _request(action: Action, verdict: Verdict, arguments: str, contract: str, origin: str) -> Request:
    return Request(
        action.agent, action.kind.value, action.operation, action.target, arguments, contract, verdict.revision,
        verdict.guard, verdict.reason, action.workflow, action.trace_id, origin,
    )  # fmt: skip
