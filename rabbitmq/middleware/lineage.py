"""Lineage of messages: read from what comes in, one hop longer on what goes out."""

from __future__ import annotations

import logging
from typing import Final

from fusebox import happenings, names
from fusebox.records import ActionKind
from rabbitmq.act import Act
from rabbitmq.identity import agent_of_user
from rabbitmq.middleware.base import Middleware
from rabbitmq.run import Run

LINEAGE_MISSING: Final = happenings.declare(
    "lineage_missing", logging.WARNING, "an agent we know sent a message without a lineage; rings through it go unseen"
)


class KeepingLineage(Middleware):
    """Carries the chain on. A message without one is handled all the same; from an agent we know, it is counted."""

    def before_action(self, act: Act) -> None:
        if act.action.kind is ActionKind.PUBLISH:
            act.headers.update(act.runtime.lineage.write(act.action.chain, act.message_id))

    def before_handle(self, run: Run) -> None:
        run.lineage = run.runtime.lineage.read(run.message.headers, run.message.message_id)
        if names.H_LINEAGE not in run.message.headers:
            _count_missing(run)


def _count_missing(run: Run) -> None:
    sender = agent_of_user(run.message.user_id) or str(run.message.headers.get(names.H_AGENT, ""))
    if sender in run.runtime.registry.agents:
        happenings.emit(LINEAGE_MISSING, agent=sender, consumer=run.agent, message_id=run.message.message_id)
