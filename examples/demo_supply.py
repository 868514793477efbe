"""Act one: the supply chain at work, nothing goes wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from examples.demo_screen import Screen
from examples.demo_stage import Stage, patiently, until
from examples.supply_chain.agents import ANALYST, CARRIER_NOTICE, EXECUTOR, LATE, LISTENER, recorded_events
from examples.supply_chain.inventory import Draft

Manager = Callable[[Draft], tuple[str, bool]]
"""Decides a draft: (who, yes or no)."""

_ANSWER_S: Final = 15.0


def play(stage: Stage, screen: Screen) -> None:
    """Deliver the recorded shipping events; a person decides what the Executor drafts; yes becomes an order.

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
    agreed = sum(_decide(stage, screen, number, manager) for number in range(expected))
    until(lambda: len(stage.inventory.orders()) >= agreed, "approved drafts become orders")
    screen.event(EXECUTOR, f"{len(stage.inventory.orders())} purchase orders written", "green")


def _leaves_a_gap(stage: Stage, event: dict[str, str]) -> bool:
    impact = stage.inventory.impact(event["shipment"], event["date"], event["eta"])
    return event["status"] in LATE and impact["shortfall"] > 0


def _decide(stage: Stage, screen: Screen, number: int, manager: Manager) -> bool:
    until(lambda: len(stage.inventory.drafts()) > number, f"{EXECUTOR} drafts an order")
    draft = stage.inventory.drafts()[number]
    screen.event(ANALYST, draft.reason)
    screen.event(EXECUTOR, f"drafts {draft} and waits")
    person, yes = manager(draft)
    stage.inventory.decide(draft.id, person, yes)
    screen.event(person, "yes" if yes else "no", "green" if yes else "yellow")
    if yes:
        patiently(lambda: draft.id in (o["draft"] for o in stage.inventory.orders()), 5)
    return yes


def _scripted(_draft: Draft) -> tuple[str, bool]:
    return "scripted manager", True


class _Person:
    """Whoever sits at the terminal. Silence is a no, once; then the scripted manager steps in."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._away = False

    def __call__(self, draft: Draft) -> tuple[str, bool]:
        if self._away:
            return _scripted(draft)
        answer = self._screen.ask(f"Order {draft}?", _ANSWER_S)
        self._away = answer is None
        return ("nobody answered", False) if answer is None else ("you", answer)
