"""Webhooks that answer approvals: signed by an approver, of now, and each believed once.

``POST /v1/approvals/webhook`` takes what Standard Webhooks describe (:mod:`fusebox.webhooks`); the body is::

    {"type": "approval.answered", "data": {"approval": "apr_…", "digest": "…", "approve": true, "reason": "…"}}

Whatever is malformed, unsigned, or of another time (five minutes either way) is a 401 and nothing else: a stranger
learns nothing from it. The id of a webhook that was taken is kept in the state store, beside the approvals, for
:data:`REMEMBER_S`; the same again is answered like the first and does nothing. A webhook that could not be journaled is
forgotten, so that its sender's next attempt counts.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

from collector.approvers import Approvers
from collector.watch import people_bodies
from collector.watch.approving import Approving
from collector.watch.body import parse
from collector.watch.refusal import UNAUTHORISED, UNAVAILABLE, Refusal
from fusebox.clock import Clock
from fusebox.errors import StoreUnavailable
from fusebox.store import Script, Store
from fusebox.webhooks import TOLERANCE_S, BadWebhook

Json = dict[str, Any]
TYPE: Final = "approval.answered"
REMEMBER_S: Final = int(4 * TOLERANCE_S)


def _first(row: dict[str, str], args: tuple[str, ...]) -> int:
    if row:
        return 0
    row["by"] = args[0]
    return 1


_FIRST: Final = Script("return redis.call('HSETNX', KEYS[1], 'by', ARGV[1])", _first)


class Callbacks:
    """Takes webhooks.

    Args:
        store: where ids are remembered; the one of the approvals.
    """

    def __init__(self, approvers: Approvers, approving: Approving, store: Store, clock: Clock, tenant: str) -> None:
        self._approvers, self._approving, self._store, self._clock = approvers, approving, store, clock
        self._prefix = f"fusebox:{tenant}:webhook:"

    def take(self, headers: Mapping[str, str], raw: bytes) -> Json:
        """One webhook.

        Raises:
            Refusal: 401 unless an approver signed it just now; else as :meth:`Approving.answer`.
        """
        try:
            who, id = self._approvers.signer(headers, raw, self._clock.wall())
            body = _answer(raw)
        except (BadWebhook, Refusal) as error:
            raise Refusal(UNAUTHORISED, "no answer that an approver signed just now") from error
        key = self._prefix + hashlib.sha256(f"{who}\n{id}".encode()).hexdigest()
        if not self._is_first(key, who):
            return {**self._standing(body.approval), "repeated": True}
        try:
            return self._approving.answer(who, body, via="webhook")
        except Refusal as refusal:
            if refusal.status == UNAVAILABLE:
                self._forget(key)
            raise

    def _is_first(self, key: str, who: str) -> bool:
        try:
            return bool(self._store.run(_FIRST, key, who, ttl=REMEMBER_S))
        except StoreUnavailable as error:
            raise Refusal(UNAVAILABLE, f"the state store does not answer: {error}") from error

    def _forget(self, key: str) -> None:
        try:
            self._store.delete(key)
        except StoreUnavailable:
            return  # the approval is kept there too: its sender is told to come back, with a new id

    def _standing(self, approval: str) -> Json:
        row = self._approving.show(approval)
        return {"approval": approval, "stage": row["stage"], "reason": row["reason"]}


def _answer(raw: bytes) -> people_bodies.AnswerBody:
    """
    Raises:
        BadWebhook, Refusal: the body is no answer.
    """
    try:
        data = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise BadWebhook("the body is not JSON") from error
    if not isinstance(data, dict) or data.get("type") != TYPE:
        raise BadWebhook(f"the body is not of type {TYPE}")
    return parse(people_bodies.AnswerBody, data.get("data"))
