"""What can stop an agent: guards before it acts and before it is given a message, the fence after it has acted."""

from __future__ import annotations

import asyncio
from contextlib import AbstractContextManager
from typing import Final

from fusebox import guard, names
from fusebox.errors import AgentTripped, ApprovalDenied, ApprovalPending, Refused
from fusebox.records import Action, Decision, Finding, Verdict
from governance.approvals.request import text_of
from rabbitmq.act import Act
from rabbitmq.lineage import LAPS, laps
from rabbitmq.middleware.base import Middleware
from rabbitmq.run import Await, Bury, Hold, Outcome, Postpone, Run

_CALLING: Final = "breaking.calling"


class Guarding(Middleware):
    """Asks the guards. A refused action does not happen; the message of a refused handler is held.

    Where a guard holds, people are asked; once they have agreed the guards are asked again, who may have changed their
    mind meanwhile.
    """

    def before_action(self, act: Act) -> None:
        """
        Raises:
            Refused: a guard said no; it is audited, and a ring becomes a Finding.
        """
        runtime, action = act.runtime, act.action
        try:
            verdict = runtime.guards.check(action)
            if verdict.decision is Decision.HOLD:
                act.attributes[names.APPROVAL] = _approve(act, verdict)
                verdict = runtime.guards.check(action)
            if verdict.decision is Decision.DENY:
                raise guard.refusal(action, verdict)
        except Refused as refused:
            runtime.refused(refused)
            if refused.verdict.guard == guard.LINEAGE:
                runtime.found(_ring(action, refused.verdict.reason, runtime.clock.now()))
            raise

    async def before_action_async(self, act: Act) -> None:
        """Policy may wait for a server, and what it holds for *watch*: on a thread, so that the event loop goes on."""
        if act.runtime.policy is None:
            self.before_action(act)
        else:
            await asyncio.to_thread(self.before_action, act)

    def before_handle(self, run: Run) -> None:
        """
        Raises:
            AgentTripped: a guard said no; the circuit itself rules in :class:`Breaking`, which admits probes.
            ApprovalPending, ApprovalDenied, ApprovalUnavailable: a guard holds the message.
        """
        verdict = _ruling(run)
        if verdict.decision is Decision.HOLD:
            run.notes[names.APPROVAL] = run.runtime.approvals.require(
                run.action, verdict, lambda: _shown(run), origin=run.message.message_id, named=run.approval
            )
            verdict = _ruling(run)
        if verdict.decision is Decision.DENY:
            raise AgentTripped(run.action, verdict)

    def on_failure(self, run: Run, error: BaseException) -> Outcome | None:  # noqa: ARG002 - the hook's
        """What a killed workflow or tool, or policy, has stopped would hold up the agent's other messages if it were
        held, and so would what waits for people; where only nobody could be asked, it comes back in a moment."""
        if isinstance(error, ApprovalPending):
            return Await(error)
        if not isinstance(error, Refused):
            return None
        if not error.verdict.narrow:
            return Hold(error.verdict)
        return Bury(error) if error.verdict.retry_after is None else Postpone(error)


class Fencing(Middleware):
    """Refuses the result of work that outlived its agent: a thread cannot be stopped from outside.

    The span stays, marked as refused: people can see that it happened, and detectors, who judge what an agent chose to
    do, leave it out.
    """

    def after_action(self, act: Act, error: BaseException | None) -> None:
        """
        Raises:
            AgentKilled: the agent was cut while it worked.
        """
        if error is None:
            act.runtime.fence(act.action)


class Breaking(Middleware):
    """Runs the handler as a call of the agent's circuit, which admits it, or one probe, and learns how it ends."""

    def before_handle(self, run: Run) -> None:
        """
        Raises:
            AgentTripped: the circuit is open, or another probe is at work.
        """
        calling = run.runtime.circuits.calling(run.agent)
        calling.__enter__()
        run.notes[_CALLING] = calling

    def after_handle(self, run: Run, error: BaseException | None) -> None:
        calling: AbstractContextManager[None] = run.notes.pop(_CALLING)
        calling.__exit__(type(error) if error else None, error, error.__traceback__ if error else None)


def _ruling(run: Run) -> Verdict:
    """What the guards say of a message, the circuit left out."""
    verdict = run.runtime.guards.check(run.action)
    if verdict.guard == guard.CIRCUIT and not verdict.allowed:
        verdict = run.runtime.action_guards.check(run.action)
    return verdict


def _approve(act: Act, verdict: Verdict) -> str:
    if act.approve is None:
        raise ApprovalDenied(act.action, guard.deny(guard.APPROVAL, "nobody can be asked about it here"))
    return act.approve(verdict)


def _shown(run: Run) -> dict[str, object]:
    return {"key": run.key, "body": text_of(run.message.body)}


def _ring(action: Action, reason: str, now: float) -> Finding:
    return Finding(
        agent=action.agent, detector="lineage", time=now, reason=reason, action="open", score=float(laps(action)),
        threshold=float(LAPS), repeated=f"publish {action.operation}", trace_id=action.trace_id,
        tenant=action.tenant, first_time=now,
    )  # fmt: skip
