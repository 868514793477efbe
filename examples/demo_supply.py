"""Act one: the supply chain at work, nothing goes wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Final

from examples.demo_screen import Screen
from examples.demo_stage import Stage, until
from examples.supply_chain.agents import CARRIER_NOTICE, EXECUTOR, LATE, LISTENER, recorded_events
from examples.web import Json

Manager = Callable[[str], tuple[str, bool]]
"""Decides an order, as text: (who, yes or no)."""

_ANSWER_S: Final = 15.0


def play(stage: Stage, screen: Screen) -> None:
    """Deliver the recorded shipping events; a person decides about each order, and only a yes lets one be written.

    Raises:
        TooSlow: the agents did not get that far.
    """
    screen.say("Carriers post shipping events; an order is written only after a person's yes.")
    expected = sum(_leaves_a_gap(stage, event) for event in recorded_events())
    for event in recorded_events():
        screen.event(
            str(event["carrier"]), f"{event['shipment']} {event['status']} at {event['place']}: {event['note']}"
        )
        stage.deliver(LISTENER, {"notice": CARRIER_NOTICE, **event})
    manager = _Person(screen) if stage.options.interactive else _scripted
    agreed = sum(_decide(stage, screen, manager) for _ in range(expected))
    until(lambda: len(stage.inventory.orders()) >= agreed, "approved orders are written")
    screen.event(EXECUTOR, f"{len(stage.inventory.orders())} purchase orders written", "green")


def _leaves_a_gap(stage: Stage, event: dict[str, str]) -> bool:
    impact = stage.inventory.impact(event["shipment"], event["date"], event["eta"])
    return event["status"] in LATE and impact["shortfall"] > 0


def _decide(stage: Stage, screen: Screen, manager: Manager) -> bool:
    asked = until(lambda: _waiting(stage), f"{EXECUTOR} asks about an order")
    order = _text(json.loads(asked["request"]["arguments"]))
    screen.event(EXECUTOR, f"wants to order {order} and waits")
    person, yes = manager(order)
    stage.control.answer(asked["id"], asked["digest"], yes, f"{person} decided")
    screen.event(person, "yes" if yes else "no", "green" if yes else "yellow")
    return yes


def _waiting(stage: Stage) -> Json | None:
    """The approval that has waited longest, exact arguments and all."""
    rows = [row for row in stage.control.approvals()["approvals"] if row["stage"] == "pending"]
    return stage.control.approval(rows[0]["id"]) if rows else None


def _text(order: Json) -> str:
    return f"{order['quantity']} × {order['sku']} from {order['supplier']}, € {order['total_cents'] / 100:,.2f}"


def _scripted(_order: str) -> tuple[str, bool]:
    return "scripted manager", True


class _Person:
    """Whoever sits at the terminal. Silence is a no, once; then the scripted manager steps in."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._away = False

    def __call__(self, order: str) -> tuple[str, bool]:
        if self._away:
            return _scripted(order)
        answer = self._screen.ask(f"Order {order}?", _ANSWER_S)
        self._away = answer is None
        return ("nobody answered", False) if answer is None else ("you", answer)
