"""Batch: many publishes that share the round trips of their confirms.

Each message is guarded, traced, fenced and judged like a single one, and at most :data:`WINDOW` are on their way::

    publish ─► guards ─► span ─► handed over ─► … others … ─► its confirm ─► fence ─► span ends
       └─ refused: raised at once, nothing further is handed over

Spans of one batch overlap, so each lives in a context of its own: none becomes the parent of the next.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from contextvars import copy_context
from types import TracebackType
from typing import Final

from fusebox.errors import BatchError, Failure, FuseboxError, Refused
from rabbitmq.act import Act
from rabbitmq.broker import Message
from rabbitmq.confirms import Confirm, soon

WINDOW: Final = 512
"""Messages of one batch that wait for their confirms; handing over a further one waits for the oldest."""

Outgoing = Callable[[str, object], tuple[Act, Message]]
Acting = Callable[[Act], AbstractContextManager[Act]]
HandOver = Callable[[str, Act, Message], Confirm]


class Batch:
    """What ``with ctx.batch() as batch`` gives: publish now, hear of the outcome at the end of the block.

    Args:
        outgoing: makes one publish of a key and a payload.
        acting: the middleware around it.
        hand_over: gives a message to the broker without waiting for its confirm.
    """

    def __init__(self, outgoing: Outgoing, acting: Acting, hand_over: HandOver) -> None:
        self._outgoing, self._acting, self._hand_over = outgoing, acting, hand_over
        self._pending: deque[_Pending] = deque()
        self._failures: list[Failure] = []
        self._refused: Refused | None = None
        self.ids: list[str] = []
        """Ids of the messages handed over so far, in order."""

    def publish(self, key: str, payload: object) -> str:
        """Hand ``payload`` over under routing key ``key``; returns its message id, not yet confirmed.

        Raises:
            Refused: a guard said no, to this message or (kill) to an earlier one.
            BadMessage: the payload has no JSON form.
        """
        act, message = self._outgoing(key, payload)
        pending = _Pending(key, len(self.ids), act, message, self._acting, self._hand_over)
        self.ids.append(pending.message_id)
        self._pending.append(pending)
        if len(self._pending) > WINDOW:
            self._settle_oldest()
        if self._refused is not None:
            raise self._refused
        return pending.message_id

    def __enter__(self) -> Batch:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, stack: TracebackType | None
    ) -> None:
        """Wait for every confirm, whatever ended the block.

        Raises:
            BatchError: some messages were not published; says which, and whether trying them again may help.
            Refused: the agent was killed while messages were on their way.
        """
        while self._pending:
            self._settle_oldest()
        outcome = self._outcome()
        if outcome is None:
            return
        if error is None:
            raise outcome
        if error is not outcome:
            error.add_note(str(outcome))

    def _outcome(self) -> Refused | BatchError | None:
        unpublished = BatchError.of(self._failures, len(self.ids)) if self._failures else None
        if self._refused is not None and unpublished is not None:
            self._refused.add_note(str(unpublished))
        return self._refused or unpublished

    def _settle_oldest(self) -> None:
        pending = self._pending.popleft()
        try:
            pending.settle()
        except Refused as refused:
            self._refused = self._refused or refused
        except FuseboxError as error:
            self._failures.append(Failure(pending.position, pending.key, pending.message_id, error))


class _Pending:
    """One message on its way; its span stays open, in a context of its own, until its confirm."""

    def __init__(
        self, key: str, position: int, act: Act, message: Message, acting: Acting, hand_over: HandOver
    ) -> None:
        self.key, self.position = key, position
        self._context, self._span = copy_context(), ExitStack()
        self._context.run(self._span.enter_context, acting(act))
        self.message_id = message.message_id
        self._confirm = soon(lambda: hand_over(key, act, message))

    def settle(self) -> None:
        """Wait for the confirm and end the span; raises what became of the message."""
        self._context.run(self._finish)

    def _finish(self) -> None:
        with self._span:
            self._confirm()
