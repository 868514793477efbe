"""Act three: people. The alert reaches one, who cuts the agent, mends the cause and lets it run again."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final

from examples.demo_incident import Incident
from examples.demo_screen import Screen
from examples.demo_stage import Stage, patiently, until
from examples.rogue_tickets.tickets import COMMENTED
from examples.web import Json
from fusebox.command import agent_scope

_ALERT_S: Final = 15.0
_RELEASE_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Response:
    """What people did about the incident."""

    alerts: int
    kill_seconds: float
    resume_seconds: float
    resumed_delivered: int


def play(stage: Stage, screen: Screen, incident: Incident) -> Response:
    """Alert, kill, mend, resume.

    Raises:
        TooSlow: an alert, or a process's receipt, did not arrive.
    """
    until(lambda: _alerts(stage, incident.agent), f"the alert about {incident.agent} is delivered", _ALERT_S)
    alerts = _alerts(stage, incident.agent)
    for alert in alerts:
        screen.event("pager", f"{alert['type']} {alert['data']['agent']}: {alert['data']['reason']}", "red")
    killed = _kill(stage, incident.agent)
    screen.event("operator", f"kill {incident.agent}: every process confirmed after {killed:.3f} s", "red")
    stage.tickets.mute(COMMENTED)
    screen.event("operator", "switches the label bot's webhook off in the ticket service")
    resumed = _resume(stage, incident.agent)
    screen.event("operator", f"resume {incident.agent}: every process confirmed after {resumed:.3f} s", "green")
    patiently(lambda: stage.waiting(incident.agent) == 0 and _answered(stage, incident), _RELEASE_S)
    delivered = incident.held - min(incident.held, stage.waiting(incident.agent))
    screen.event(
        incident.agent, f"works off {delivered} of {incident.held} held messages, one after the other", "green"
    )
    return Response(len(alerts), killed, resumed, delivered)


def _alerts(stage: Stage, agent: str) -> list[Json]:
    return [alert for alert in stage.pager.alerts if alert["data"].get("agent") == agent]


def _kill(stage: Stage, agent: str) -> float:
    """Seconds until every process that runs agents has confirmed."""
    began = time.monotonic()
    return _confirmed(stage, stage.control.kill(agent_scope(agent), "a loop on one ticket"), began)


def _resume(stage: Stage, agent: str) -> float:
    began = time.monotonic()
    return _confirmed(stage, stage.control.resume(agent_scope(agent), "the label bot is switched off"), began)


def _confirmed(stage: Stage, order: Json, began: float) -> float:
    until(lambda: stage.control.receipts(order["command"])["complete"], "every process confirms the command")
    return time.monotonic() - began


def _answered(stage: Stage, incident: Incident) -> bool:
    """True when the customers who wrote meanwhile have their answers."""
    return all(stage.tickets.written(ticket) for ticket in incident.waiting_tickets)
