"""Parking: publishes that may not go out now, kept instead of refused, where the agent asks for it.

::

    publish(park=True) ─► the circuit says no ─► <agent>.held, in an envelope ─► released like any held message:
                       ─► people are asked ────► <agent>.approvals, likewise     published under its own key and id

The envelope is a message to the agent itself: it keeps its place among what is held, people see it and may discard it
(``fusebox held``), and its release passes the guards and the detectors again. The header that makes an envelope is
believed only of a message that came to the agent by the name of its own queues, never of one from the events exchange.
"""

from __future__ import annotations

from typing import Any, Final

from fusebox import names
from fusebox.records import Verdict
from rabbitmq.broker import Delivery, Header, Message
from rabbitmq.handlers import Handler

_SUFFIX: Final = ".parked"
"""The envelope has an id of its own: it is claimed by its agent, who may also be the one to handle what is in it."""


def envelope(key: str, message: Message, verdict: Verdict, approval: str = "") -> Message:
    """The message to hold in place of ``message``, which was to go out under ``key``.

    Args:
        approval: id of the approval for which it waits.
    """
    headers: dict[str, Header] = {**message.headers, names.H_PARKED: key, names.H_ORIGIN_KEY: key}
    headers[names.H_HELD_REASON] = f"{verdict.guard}: {verdict.reason}"[:500]
    if verdict.finding:
        headers[names.H_HELD_FINDING] = verdict.finding
    if approval:
        headers[names.H_APPROVAL] = approval
    return Message(message.body, headers, message.message_id + _SUFFIX, correlation_id=message.correlation_id)


def is_parked(delivery: Delivery, agent: str) -> bool:
    """True for an envelope of the agent's own."""
    own = delivery.queue in (names.held_queue(agent), names.approvals_queue(agent)) or delivery.routing_key == agent
    return own and names.H_PARKED in delivery.message.headers


def _forward(body: bytes, ctx: Any) -> None:
    message: Message = ctx.message
    ctx.publish(str(message.headers[names.H_PARKED]), body, message_id=message.message_id.removesuffix(_SUFFIX))


FORWARD: Final = Handler("", _forward, lambda body: body, is_async=False)
"""Handles an envelope: publishes what is in it."""
