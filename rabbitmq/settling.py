"""Settling: where a message goes that was not simply handled: held, retried later, dead, or back.

It is published, confirmed, to where it goes *before* the original is acknowledged: a crash between the two leaves a
duplicate, never a loss. Its id, lineage and trace stay as they are; what happened to it is said in headers.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from fusebox import happenings, names
from fusebox.errors import ApprovalPending, Permanent
from fusebox.protobuf import carried
from fusebox.records import Verdict
from rabbitmq.broker import Broker, Delivery, Header
from rabbitmq.retry import retry_exchange
from rabbitmq.run import Await, Bury, Done, Hold, Outcome, Postpone, Retried, origin_key

_MAX_STACK: Final = 8_000
_MOMENT_S: Final = 5

MESSAGE_HELD: Final = happenings.declare("message_held", logging.INFO, "a message of a stopped agent was held")
MESSAGE_AWAITS: Final = happenings.declare(
    "message_awaits_approval", logging.INFO, "a message waits until people have answered what they are asked about it"
)
MESSAGE_RETRIED: Final = happenings.declare(
    "message_retried", logging.WARNING, "a handler failed; its message will be tried again"
)
MESSAGE_POSTPONED: Final = happenings.declare(
    "message_postponed", logging.INFO, "a message came again while its handler was at work; it comes back later"
)
MESSAGE_DEAD: Final = happenings.declare("message_dead", logging.ERROR, "a message could not be handled; dead-lettered")
SETTLE_FAILED: Final = happenings.declare(
    "settle_failed", logging.ERROR, "a message could not be moved to its held or dead queue; it goes back"
)


class Settling:
    """Moves the messages of one agent."""

    def __init__(self, agent: str, broker: Broker) -> None:
        self._agent, self._broker = agent, broker

    def settle(self, delivery: Delivery, outcome: Outcome) -> None:
        """Do with a message what ``outcome`` says."""
        match outcome:
            case Done():
                delivery.ack()
            case Hold(verdict):
                self.hold(delivery, verdict)
            case Await(pending):
                self.park(delivery, pending)
            case Retried(error, delay, attempt):
                self.retry(delivery, error, delay, attempt)
            case Postpone(_):
                self.postpone(delivery)
            case Bury(error):
                self.bury(delivery, error)

    def hold(self, delivery: Delivery, verdict: Verdict) -> None:
        """To the held queue: a guard said no."""
        reason = {names.H_HELD_REASON: f"{verdict.guard}: {verdict.reason}"[:500]}
        if verdict.finding:
            reason[names.H_HELD_FINDING] = verdict.finding
        self._move(delivery, names.EXCHANGE_OWN, names.held_queue(self._agent), reason)
        self._emit(MESSAGE_HELD, delivery, guard=verdict.guard)

    def park(self, delivery: Delivery, pending: ApprovalPending) -> None:
        """To the approvals queue: people are asked."""
        verdict = pending.verdict
        notes = {names.H_APPROVAL: pending.approval, names.H_HELD_REASON: f"{verdict.guard}: {verdict.reason}"[:500]}
        self._move(delivery, names.EXCHANGE_OWN, names.approvals_queue(self._agent), notes)
        self._emit(MESSAGE_AWAITS, delivery, guard=verdict.guard, approval=pending.approval)

    def retry(self, delivery: Delivery, error: BaseException, delay: int, attempt: int) -> None:
        """To the queue that gives it back after ``delay`` seconds, as attempt number ``attempt``."""
        try:
            self._move(delivery, retry_exchange(delay), self._agent, {names.H_ATTEMPT: attempt})
        except Permanent:  # no room for our header, say: trying on would never end
            self.bury(delivery, error)
        else:
            self._emit(MESSAGE_RETRIED, delivery, error=_said(error), delay=delay, attempt=attempt)

    def postpone(self, delivery: Delivery) -> None:
        """To the queue that gives it back in a moment: its handler is at work elsewhere. No attempt is counted."""
        self._move(delivery, retry_exchange(_MOMENT_S), self._agent, {})
        self._emit(MESSAGE_POSTPONED, delivery)

    def bury(self, delivery: Delivery, error: BaseException) -> None:
        """To the dead queue, with the reason and the stack."""
        stack = "".join(traceback.format_exception(error))[-_MAX_STACK:]
        reason = {names.H_DEAD_REASON: _said(error)[:2_000], names.H_DEAD_STACK: stack}
        try:
            self._move(delivery, names.EXCHANGE_OWN, names.dead_queue(self._agent), reason)
        except Permanent as refused:
            self.give_back(delivery, refused, requeue=False)
        self._emit(MESSAGE_DEAD, delivery, error=_said(error))

    def give_back(self, delivery: Delivery, error: BaseException, *, requeue: bool = True) -> None:
        """Back to its queue, or to the dead queue as it is: it could not be moved."""
        self._emit(SETTLE_FAILED, delivery, error=repr(error))
        delivery.reject(requeue=requeue)

    def _move(self, delivery: Delivery, exchange: str, key: str, notes: Mapping[str, Header]) -> None:
        message = delivery.message
        headers = {**message.headers, names.H_ORIGIN_KEY: origin_key(delivery)}
        headers |= {name: _clean(value) for name, value in notes.items()}
        self._broker.publish(exchange, key, replace(message, headers=headers, user_id=""))
        delivery.ack()

    def _emit(self, kind: happenings.Kind, delivery: Delivery, **fields: str | int) -> None:
        noted: dict[str, Any] = {"agent": self._agent, "message_id": delivery.message.message_id, **fields}
        happenings.emit(kind, **noted)


def _said(error: BaseException) -> str:
    return f"{type(error).__qualname__}: {error}"


def _clean(value: Header) -> Header:
    """An error may quote half a surrogate pair, which no header can carry."""
    return carried(value) if isinstance(value, str) else value
