"""All scenes by name, and how one is played."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from examples.demo_screen import Screen
from examples.scenes import guarded, limited, signed, working
from examples.scenes.stage import Mesh
from examples.scenes.told import Scene, Told

SCENES: Final[Mapping[str, Scene]] = {
    "delay": Scene("a ship is late; an order is drafted, signed off and committed", working.delay),
    "injection": Scene("a carrier's note tells the model to export the user table", guarded.injection),
    "analyst-orders": Scene("the Analyst tries to write a purchase order", guarded.analyst_orders),
    "delete": Scene("the Analyst sends a DELETE to the warehouse", guarded.delete),
    "pii": Scene("a note holds a person's address and number", guarded.pii),
    "runaway": Scene("an agent loops while three others work behind the same gateway", limited.runaway),
    "weekend": Scene("a batch burns tokens while nobody watches", limited.weekend),
    "approval": Scene("the manager agrees", signed.approval),
    "refusal": Scene("the manager says no", signed.refusal),
    "expiry": Scene("the manager does not answer", signed.expiry),
    "replayed": Scene("an approval is used twice", signed.replayed),
    "altered": Scene("an approval is used for something else", signed.altered),
    "collector-killed": Scene("receive, keep and watch are killed in the middle", working.collector),
    "redis-killed": Scene("Redis is killed in the middle", working.redis),
    "broker-killed": Scene("RabbitMQ is killed in the middle", working.broker),
}
NEEDS_NODE: Final = frozenset({"broker-killed"})
"""Scenes that need a RabbitMQ of their own."""


def play(name: str, mesh: Mesh, screen: Screen) -> Told:
    """Play one.

    Raises:
        FuseboxError: it did not get that far.
    """
    told = Told(name, screen)
    screen.say(SCENES[name].about)
    SCENES[name].play(mesh, told)
    return told
