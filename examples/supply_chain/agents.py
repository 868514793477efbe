"""Three agents: a Listener hears of delays, an Analyst works out what they mean, an Executor drafts an order.

::

    carrier ─ webhook ─► bridge ─ carrier.update ─► listener ─ shipment.delayed ─► analyst ─ stock.short ─► executor
                                                                                          a person agrees ──► the order
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from importlib.resources import files
from typing import Any, Final

from pydantic import BaseModel

from examples.chat import Chat, ask
from examples.model_server import Script, dice
from examples.supply_chain.inventory import Inventory
from fusebox.errors import ApprovalDenied
from rabbitmq import Agent, Context, Runtime

LISTENER: Final = "listener"
ANALYST: Final = "analyst"
EXECUTOR: Final = "executor"
CARRIER_NOTICE: Final = "carrier.update"
LISTENER_KEYS: Final = {CARRIER_NOTICE: "carrier.update"}
ANALYST_MODEL: Final = "gpt-5"

LATE: Final = frozenset({"delayed", "customs_hold"})
"""What a carrier says when a shipment will not arrive as planned."""
ANALYSE: Final = "You are a supply chain analyst. Say in one sentence what this delay means for the stock."


class CarrierUpdate(BaseModel):
    """What a carrier says of a shipment."""

    carrier: str
    shipment: str
    status: str
    date: str
    eta: str
    place: str
    note: str


class StockShort(BaseModel):
    """A delay that will empty a shelf."""

    shipment: str
    sku: str
    shortfall: int
    summary: str


def recorded_events() -> list[dict[str, Any]]:
    """The recorded shipping events, in order."""
    events: list[dict[str, Any]] = json.loads(files(__package__).joinpath("events.json").read_text())
    return events


def listener(runtime: Runtime) -> Agent:
    """Passes on what matters of a carrier's updates."""
    agent = Agent(LISTENER, runtime)

    @agent.on(LISTENER_KEYS[CARRIER_NOTICE])
    def hear(update: CarrierUpdate, ctx: Context) -> None:
        if update.status in LATE:
            ctx.publish("shipment.delayed", update)

    return agent


def analyst(runtime: Runtime, inventory: Inventory, chat: Chat) -> Agent:
    """Reads the inventory and tells the Executor what will run out."""
    agent = Agent(ANALYST, runtime)

    @agent.on("shipment.delayed")
    def analyse(delay: CarrierUpdate, ctx: Context) -> None:
        impact = ctx.tool(
            "inventory.impact", inventory.impact, delay.shipment, delay.date, delay.eta, target=delay.shipment
        )
        if not impact.get("shortfall"):
            return
        summary = ask(ctx, chat, ANALYST_MODEL, ANALYSE, json.dumps({**delay.model_dump(), **impact}))
        short = StockShort(shipment=delay.shipment, sku=impact["sku"], shortfall=impact["shortfall"], summary=summary)
        ctx.publish("stock.short", short)

    return agent


def executor(runtime: Runtime, inventory: Inventory) -> Agent:
    """Drafts a purchase order and writes it; that is an action which its policy holds until a person has agreed."""
    agent = Agent(EXECUTOR, runtime, concurrency=4)

    @agent.on("stock.short")
    def reorder(short: StockShort, ctx: Context) -> None:
        draft = ctx.tool(
            "purchasing.draft", inventory.draft, short.shipment, short.sku, short.shortfall, target=short.shipment
        )
        with suppress(ApprovalDenied):  # who said no knows
            ctx.tool("purchasing.order", inventory.order, **draft, target=short.shipment)

    return agent


def summarise(messages: Any, _model: str, seed: int) -> str:
    """The Analyst's model."""
    facts = json.loads(messages[-1]["content"])
    opening = dice(seed, facts["shipment"]).choice(("As it stands,", "On these figures,", "Without an order,"))
    return (
        f"{opening} {facts['name']} runs out in {facts['days_left']} days, {facts['days_to_eta'] - facts['days_left']} "
        f"days before {facts['shipment']} arrives: {facts['shortfall']} pieces are missing ({facts['note'].lower()})."
    )


SCRIPTS: Final[Mapping[str, Script]] = {ANALYST_MODEL: summarise}
