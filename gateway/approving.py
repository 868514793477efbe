"""Approving: what a call meets where a guard wants a person's word on it.

::

    a call ── a guard holds ──► people are asked ──► 202 {"approval_id": "apr_…", "status": "pending"}
    the same call, with the header x-fusebox-approval: apr_…
        ├─ they have not answered ──► 202 again
        ├─ they agreed ─────────────► it goes ahead, once
        ├─ they said no, or too late ► 403 approval_denied, with the reason
        └─ it is not the same call, or has gone ahead before ──► 403 approval_denied

A call of a model is answered 403 ``approval_pending`` in the place of the 202, in the error's shape of its API: client
libraries take every 2xx for an answer, and one without events for a stream in which nothing was said.

People are asked last, when every other guard has let the call pass, about exactly what would go out: after masking. How
a call ended that they agreed to is journaled behind their answer (kind ``commit``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from http import HTTPStatus
from typing import Final

import orjson

from fusebox.errors import ApprovalDenied, ApprovalPending, ApprovalUnavailable, Refused
from fusebox.names import HTTP_APPROVAL
from fusebox.records import Action, ActionKind, Verdict
from gateway.asking import Asking
from gateway.denied import Denied, named
from gateway.http import Reply, Request
from rabbitmq.runtime import Runtime

_AGAIN_S: Final = 5.0
_LEFT: Final = "cancelled"
_PENDING: Final = "approval_pending"
_NOT_ASKED: Final = nullcontext()


class Approving:
    """Asks people; a call waits for the answer of *watch*, never for theirs."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime, self._asking = runtime, Asking("approvals")

    async def require(
        self, action: Action, verdict: Verdict, arguments: Callable[[], object], contract: str, named: str
    ) -> str:
        """Return the approval's id when people have agreed to this call, which then goes ahead.

        Args:
            contract: where it goes; see :class:`governance.approvals.request.Request`.
            named: the approval that the call names.

        Raises:
            Denied: 202 (of a model 403), they have been asked; 403, they said no; 503, nobody can be asked just now.
        """
        answer = asyncio.ensure_future(
            self._asking.answer(
                lambda: self._runtime.approvals.require(
                    action, verdict, arguments, contract=contract, origin=action.workflow, named=named, by_origin=False
                )
            )
        )
        try:
            return await asyncio.shield(answer)
        except asyncio.CancelledError:  # it may be spent all the same
            answer.add_done_callback(lambda done: self._left(action, done))
            raise
        except (ApprovalPending, ApprovalDenied, ApprovalUnavailable) as refused:
            self._runtime.refused(refused)
            raise _told(refused) from None

    def _left(self, action: Action, answer: asyncio.Future[str]) -> None:
        """The call ended before the answer came; what was spent for it is on record."""
        if not answer.cancelled() and answer.exception() is None:
            self._runtime.audit.committed(action, answer.result(), _LEFT)

    def carrying_out(self, action: Action, approval: str, reply: Reply) -> AbstractContextManager[None]:
        """Around a call that people agreed to (or, without an approval, any call): how it ends is on record."""
        return self._recorded(action, approval, reply) if approval else _NOT_ASKED

    @contextmanager
    def _recorded(self, action: Action, approval: str, reply: Reply) -> Iterator[None]:
        outcome = ""
        try:
            yield
        except BaseException as error:
            outcome = named(error)
            raise
        finally:
            self._runtime.audit.committed(action, approval, outcome or f"http_{reply.status}")


def approval_in(request: Request) -> str:
    """The approval that a call names; empty when it names none."""
    return str(request.headers.get(HTTP_APPROVAL, ""))


def _told(refused: Refused) -> Denied:
    sentence = f"{refused.action.agent}: {refused.verdict.reason}"
    if isinstance(refused, ApprovalPending):
        return _pending(refused, sentence)
    if isinstance(refused, ApprovalUnavailable):
        return Denied(HTTPStatus.SERVICE_UNAVAILABLE, "approval_unavailable", sentence, retry_after=_AGAIN_S)
    return Denied(HTTPStatus.FORBIDDEN, "approval_denied", sentence)


def _pending(refused: ApprovalPending, sentence: str) -> Denied:
    told = {"approval_id": refused.approval, "status": "pending"}
    if refused.action.kind is ActionKind.MODEL_CALL:  # clients of models take a 202 for an answer, or an empty stream
        return Denied(HTTPStatus.FORBIDDEN, _PENDING, sentence, retry_after=_AGAIN_S, told=told)
    words = orjson.dumps({**told, "message": sentence})
    return Denied(HTTPStatus.ACCEPTED, _PENDING, sentence, retry_after=_AGAIN_S, words=words)
