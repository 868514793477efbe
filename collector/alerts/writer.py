"""Writes alerts: who, why, the evidence, where to look, and the commands that show more or set things right."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final
from urllib.parse import quote

from collector.alerts import alert as types
from collector.alerts.alert import Alert, Severity, iso
from fusebox.command import Command, Order, agent_scope
from fusebox.fingerprint import hash64
from fusebox.records import Event, Finding, State, Transition, new_id
from governance.approvals.approval import Approval

_MAX_SPANS: Final = 20
_MAX_TEXT: Final = 500
_MAX_NAMED: Final = 5
MAX_SHOWN: Final = 2_000
"""Characters of an action's arguments in an alert; the page shows all of them."""
_AGENT: Final = agent_scope("")
OPERATOR: Final = "operator:"
_HEALTH: Final = "health"
INCIDENT: Final = "incident?trip="
"""Where the dashboard shows an opening, behind its address."""

Data = dict[str, Any]


class Writer:
    """One method for each thing that people are told.

    Args:
        dashboard: the dashboard's address, when it runs.
        control: where people reach the control API, without a slash at its end.
    """

    def __init__(self, dashboard: Callable[[], str | None], control: Callable[[], str]) -> None:
        self._dashboard, self._control = dashboard, control

    # --- circuits and orders ----------------------------------------------------------------------------------------
    def moved(self, transition: Transition) -> Alert:
        """A circuit moved. What a person ordered is news, no emergency."""
        by_person = transition.actor.startswith(OPERATOR)
        severity: Data = {"severity": Severity.INFO.value} if by_person else {}
        if transition.after is State.OPEN:
            return self._opened(transition, severity)
        data = {
            "agent": transition.agent,
            "reason": f"{transition.agent}: {transition.before} → {transition.after}: {transition.reason}"[:_MAX_TEXT],
            "before": transition.before.value,
            "after": transition.after.value,
            "actor": transition.actor,
            "commands": ["fusebox status"],
        }
        return self._alert(f"alert_{transition.id}", types.CIRCUIT_MOVED, transition.time, data | severity)

    def _opened(self, transition: Transition, severity: Data) -> Alert:
        finding, agent = transition.finding, transition.agent
        spans = list(finding.spans[-_MAX_SPANS:]) if finding else []
        data = {
            "agent": agent,
            "detector": finding.detector if finding else transition.actor,
            "reason": transition.reason[:_MAX_TEXT],
            "evidence": {"score": finding.score, "threshold": finding.threshold} if finding else {},
            "repeated": finding.repeated[:_MAX_TEXT] if finding else "",
            "spans": spans,
            "actions": len(finding.spans) if finding else 0,
            "finding": finding.id if finding else "",
            "transition": transition.id,
            "commands": _commands(agent, spans),
        }
        page = INCIDENT + quote(transition.id, safe="")
        return self._alert(f"alert_{transition.id}", types.CIRCUIT_OPENED, transition.time, data | severity, page)

    def withheld(self, finding: Finding, why: str) -> Alert:
        """A detector wants a circuit open, and too many are: the agent goes on until a person decides."""
        agent, spans = finding.agent, list(finding.spans[-_MAX_SPANS:])
        data = {
            "agent": agent,
            "detector": finding.detector,
            "reason": f"{agent} goes on: {why}. The finding: {finding.reason}"[:_MAX_TEXT],
            "evidence": {"score": finding.score, "threshold": finding.threshold},
            "repeated": finding.repeated[:_MAX_TEXT],
            "spans": spans,
            "finding": finding.id,
            "commands": ["fusebox status", *_commands(agent, spans)],
        }
        return self._alert(f"alert_{finding.id}", types.OPENING_WITHHELD, finding.time, data)

    def ordered(self, command: Command, time: float) -> Alert | None:
        """A kill or a resume; None for orders that move a circuit, which is told by itself."""
        if command.order not in (Order.KILL, Order.RESUME):
            return None
        killed = command.order is Order.KILL
        agent = command.scope.removeprefix(_AGENT) if command.scope.startswith(_AGENT) else ""
        by_rule = command.operator.startswith("detector:")
        target = agent or _words(command.scope)
        data = {
            "severity": (Severity.CRITICAL if by_rule else Severity.INFO).value,
            "agent": agent,
            "scope": command.scope,
            "reason": f"{command.operator} {'killed' if killed else 'resumed'} {command.scope}: {command.reason}",
            "command": command.id,
            "commands": ["fusebox status", *([f"fusebox resume {target} --reason '...'"] if killed else [])],
        }
        return self._alert(f"alert_{command.id}", types.AGENT_KILLED if killed else types.AGENT_RESUMED, time, data)

    def unconfirmed(self, command: str, order: str, scope: str, missing: Sequence[str], time: float) -> Alert:
        """Processes have not said that they applied an order to stop."""
        agent = scope.removeprefix(_AGENT) if scope.startswith(_AGENT) else ""
        more = len(missing) - _MAX_SPANS
        named = ", ".join(missing[:_MAX_SPANS]) + (f" and {more} more" if more > 0 else "")
        data = {
            "agent": agent,
            "scope": scope,
            "reason": f"the {order} of {scope} is not confirmed by {named}"[:_MAX_TEXT],
            "missing": list(missing[:_MAX_SPANS]),
            "command": command,
            "commands": ["fusebox status", "fusebox doctor", f"fusebox kill {agent or _words(scope)} --reason '...'"],
        }
        return self._alert(f"alert_receipts_{command}", types.RECEIPTS_MISSING, time, data, _HEALTH)

    # --- agents -----------------------------------------------------------------------------------------------------
    def unregistered(self, event: Event) -> Alert:
        """An agent nobody registered has spoken."""
        data = {
            "agent": event.agent,
            "reason": f"{event.agent} is not in the registry; it is watched like any other, and nobody owns it",
            "spans": [f"{event.trace_id}:{event.span_id}"],
            "commands": ["fusebox agents --unregistered", f"fusebox kill {event.agent} --reason '...'"],
        }
        return self._alert(_id("stranger", event.agent), types.AGENT_UNREGISTERED, event.time, data)

    def burning(self, finding: Finding) -> Alert:
        """An agent uses more than its budget, and goes on."""
        spans = list(finding.spans[-_MAX_SPANS:])
        data = {
            "agent": finding.agent,
            "detector": finding.detector,
            "reason": f"{finding.agent}: {finding.reason}"[:_MAX_TEXT],
            "evidence": {"score": finding.score, "threshold": finding.threshold},
            "spans": spans,
            "finding": finding.id,
            "commands": [
                f"fusebox tokens explain --agent {finding.agent}",
                f"fusebox kill {finding.agent} --reason '...'",
            ],
        }
        return self._alert(f"alert_{finding.id}", types.BUDGET_BURNING, finding.time, data)

    def dead_letters(self, agent: str, count: int, time: float) -> Alert:
        """Messages wait in an agent's dead letters."""
        data = {
            "agent": agent,
            "reason": f"dead letters of {agent} that wait for a person: {count}",
            "count": count,
            "commands": [f"fusebox dlq list {agent}", f"fusebox dlq show {agent}"],
        }
        return self._alert(new_id("alert_dead"), types.MESSAGES_DEAD, time, data)

    def approval(self, approval: Approval) -> Alert:
        """An action waits for people: all of it, or how much of it is only on the page."""
        request, more = approval.request, len(approval.request.arguments) - MAX_SHOWN
        shown = request.arguments[:MAX_SHOWN] + (f" … and {more} characters more" if more > 0 else "")
        what = f"{request.kind} {request.operation}" + (f" on {request.target}" if request.target else "")
        data = {
            "agent": request.agent,
            "reason": f"{request.agent} wants to: {what}; {request.reason}"[:_MAX_TEXT],
            "approval": approval.id,
            "repeated": what,
            "incident": f"{self._control()}/confirm/approval?scope={approval.id}",
            "digest": approval.digest,
            "arguments": shown,
            "asked": list(approval.allowed),
            "people": approval.people,
            "expires": iso(approval.expires_at),
            "commands": [
                f"fusebox approvals show {approval.id}",
                f"fusebox approvals approve {approval.id} --reason '...'",
                f"fusebox approvals deny {approval.id} --reason '...'",
            ],
        }
        return self._alert(f"alert_{approval.id}", types.APPROVAL_ASKED, approval.asked_at, data)

    # --- the path ---------------------------------------------------------------------------------------------------
    def damaged(self, path: str, time: float) -> Alert:
        """Telemetry was put aside because it was damaged, or because the database could not take it."""
        data = {
            "path": path,
            "reason": f"{path} was put aside: damaged, or refused by the database; everything else goes on",
            "commands": ["fusebox doctor", "fusebox collector replay-dead"],
        }
        return self._alert(_id("damaged", path), types.DATA_DAMAGED, time, data)

    def gap(self, agent: str, lost: int, time: float) -> Alert:
        """Spans of an agent never arrived."""
        data = {
            "agent": agent,
            "reason": f"{lost} spans of {agent} never arrived; what detectors and tables say of it is incomplete",
            "lost": lost,
            "commands": ["fusebox status", "fusebox sql 'SELECT * FROM span_gaps'"],
        }
        return self._alert(new_id("alert_gap"), types.SPANS_MISSING, time, data)

    def outage(self, model: str, error: str, calls: int, agents: Sequence[str], since: float) -> Alert:
        """A model cannot be asked, by whomever."""
        named = ", ".join(agents[:_MAX_NAMED]) + (" and others" if len(agents) > _MAX_NAMED else "")
        reason = (
            f"the provider of {model} fails or is busy ({error}): the last {calls} calls, of {named}, came to nothing"
        )
        data = {"reason": reason[:_MAX_TEXT], "model": model, "calls": calls, "commands": ["fusebox status"]}
        return self._alert(f"{_id('outage', model)}_{since:.0f}", types.PROVIDER_FAILING, since, data)

    def broken_path(self, reason: str, since: float) -> Alert:
        """Telemetry does not come through: a quiet board may hide a loop."""
        data = {"reason": reason[:_MAX_TEXT], "commands": ["fusebox status", "fusebox doctor"]}
        return self._alert(f"alert_path_{since:.0f}", types.TELEMETRY_INCOMPLETE, since, data)

    def audit_failed(self, reason: str, where: str, time: float) -> Alert:
        """The audit journal does not verify; told once for each ``where``."""
        data = {
            "reason": f"the audit journal does not verify: {reason}"[:_MAX_TEXT],
            "where": where[:_MAX_TEXT],
            "commands": ["fusebox doctor"],
        }
        return self._alert(_id("audit", where), types.AUDIT_FAILED, time, data, "audit")

    def policy_failed(self, reason: str, since: float) -> Alert:
        """The policy that agents are to obey is no good: the last good one stays, or everything is denied."""
        data = {"reason": f"policy: {reason}"[:_MAX_TEXT], "commands": ["fusebox doctor", "fusebox policy test"]}
        return self._alert(f"alert_policy_{since:.3f}", types.POLICY_FAILED, since, data)

    def apart(self, server: str, reason: str, since: float) -> Alert:
        """Shared state is away, or a way by which Commands leave."""
        data = {"reason": reason[:_MAX_TEXT], "commands": ["fusebox status", "fusebox doctor"]}
        return self._alert(f"alert_reach_{server}_{since:.3f}", types.WATCH_APART, since, data, _HEALTH)

    def test(self, operator: str, time: float) -> Alert:
        """Whether anything arrives at all."""
        data = {"reason": f"{operator} asked whether alerts arrive; this one has", "commands": ["fusebox alerts list"]}
        return self._alert(new_id("alert_test"), types.TEST, time, data)

    # --- inside -----------------------------------------------------------------------------------------------------
    def _alert(self, id: str, type: str, time: float, data: Data, page: str = "") -> Alert:
        """``page`` of the dashboard tells it all; left out: the agent's, or the one about the path."""
        dashboard = self._dashboard()
        if dashboard:
            page = page or (f"agents?agent={quote(data['agent'], safe='')}" if data.get("agent") else _HEALTH)
            data = {"dashboard": dashboard, "incident": f"{dashboard.rstrip('/')}/{page}", **data}
        return Alert(id, type, iso(time), data)


def _commands(agent: str, spans: Sequence[str]) -> list[str]:
    why = [f"fusebox why {spans[-1]}"] if spans else []
    return [*why, f"fusebox resume {agent} --reason '...'", f"fusebox kill {agent} --reason '...'"]


def _words(scope: str) -> str:
    kind, _, name = scope.partition(":")
    return f"--{kind} {name}".rstrip()


def _id(kind: str, text: str) -> str:
    return f"alert_{kind}_{hash64(text):016x}"
