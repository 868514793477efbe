"""The supply chain whole: three agents that share a workflow's context and reach everything through the gateway.

::

    FedEx, Maersk ─ signed webhook ─► dock ─ carrier.update ─► listener ─ shipment.delayed ─► analyst ─ stock.short ─┐
                                                                 │ remembers the delay          │ reads the warehouse │
                                                                 ▼                              ▼ asks a model        │
                                                    the workflow's context ◄────── facts ──── executor ◄──────────────┘
                                                                                                │ drafts an order
                                                           person ◄── 202, an approval ── gateway ── signed off ─► ERP
                                                                │                             ▲
                                                                └─► its message waits in executor.approvals

A handler may run again (a crash, Redis or the gateway away for a moment), and what it publishes then comes twice. The
draft is a fact of the workflow and the workflow's id the order's idempotency key, so there is one order for one delay.
"""

from __future__ import annotations

import json
from datetime import date
from http import HTTPStatus
from typing import Any, Final

from examples.chat import Chat, ask
from examples.supply_chain.agents import (
    ANALYSE,
    ANALYST,
    ANALYST_MODEL,
    CARRIER_NOTICE,
    EXECUTOR,
    LATE,
    LISTENER,
    LISTENER_KEYS,
    CarrierUpdate,
    StockShort,
)
from examples.through import Said, Through
from examples.web import ServiceUnavailable
from fusebox.errors import Permanent, Retryable
from rabbitmq import Agent, Context, Retry, Runtime

_AGAIN: Final = Retry(attempts=8, base_s=1, on=(Retryable,))
"""Redis, RabbitMQ, *watch* or the gateway may be away for a moment."""
_IMPACT: Final = (
    "SELECT p.sku, p.name, p.stock, p.daily_demand FROM shipments AS s JOIN products AS p ON p.sku = s.sku "
    "WHERE s.id = '{shipment}'"
)
_OFFER: Final = (
    "SELECT s.name, o.pack, o.unit_cents, s.lead_days FROM offers AS o JOIN suppliers AS s ON s.id = o.supplier "
    "WHERE o.sku = '{sku}'"
)
_LATER: Final = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.REQUEST_TIMEOUT)
ORDERED: Final = "ordered"
REFUSED: Final = "refused"
WAITS: Final = "pending"
"""Detectors know the word: who asks again while something is pending is in no loop."""


class RefusedByGateway(Permanent):
    """The gateway said no to a call; the text is its reason."""


def listener(runtime: Runtime) -> Agent:
    """Remembers delays and passes them on."""
    agent = Agent(LISTENER, runtime)

    @agent.on(LISTENER_KEYS[CARRIER_NOTICE], retry=_AGAIN)
    def hear(update: CarrierUpdate, ctx: Context) -> None:
        if update.status in LATE:
            ctx.workflow.remember(update, type="delay")
            ctx.publish("shipment.delayed", update)

    return agent


def analyst(runtime: Runtime, through: Through, chat: Chat) -> Agent:
    """Reads the warehouse and tells what will run out; it writes nothing anywhere but into the context."""
    agent = Agent(ANALYST, runtime, concurrency=2)

    @agent.on("shipment.delayed", retry=_AGAIN)
    def analyse(delay: CarrierUpdate, ctx: Context) -> None:
        found = query(ctx, through, _IMPACT.format(shipment=plain(delay.shipment)), delay.shipment)
        short = _shortfall(found[0], delay) if found else 0
        if short <= 0:
            return
        summary = _summary(ctx, chat, {**delay.model_dump(), **found[0], "shortfall": short})
        ctx.workflow.remember({"sku": found[0]["sku"], "shortfall": short, "summary": summary}, type="impact")
        ctx.publish(
            "stock.short",
            StockShort(shipment=delay.shipment, sku=found[0]["sku"], shortfall=short, summary=summary),
        )

    return agent


def executor(runtime: Runtime, through: Through) -> Agent:
    """Drafts an order, and commits it once a person has signed it off."""
    agent = Agent(EXECUTOR, runtime, concurrency=4)

    @agent.on("stock.short", retry=_AGAIN)
    def reorder(short: StockShort, ctx: Context) -> None:
        if ctx.workflow.history(type=ORDERED).entries:
            return  # what a crash had published twice
        draft = ctx.workflow.facts.get("draft")
        order = draft.body if draft else _draft(ctx, through, short)
        said = ctx.tool("erp.order", _commit, through, order, ctx.workflow.id, _shown(ctx), target=short.shipment)
        if said["became"] == WAITS:
            ctx.await_approval(said["approval"])
        ctx.workflow.remember({"order": order, **said}, type=said["became"])

    return agent


def query(ctx: Context, through: Through, sql: str, target: str = "") -> list[dict[str, Any]]:
    """Ask the warehouse.

    Raises:
        RefusedByGateway: the gateway would not pass it on.
        ServiceUnavailable: it did not answer.
    """
    said = ctx.tool("warehouse.query", _query, through, sql, ctx.workflow.id, target=target)
    return list(said["rows"])


def plain(word: str) -> str:
    """A carrier's word for a statement: nothing but letters, digits and dashes of it."""
    return "".join(c for c in word if c.isalnum() or c == "-")


def _query(through: Through, sql: str, workflow: str) -> dict[str, Any]:
    return _accepted(through.tool("warehouse", "query", {"sql": sql}, workflow=workflow))


def _draft(ctx: Context, through: Through, short: StockShort) -> dict[str, Any]:
    offers = query(ctx, through, _OFFER.format(sku=plain(short.sku)), short.sku)
    heard = ctx.workflow.history(type="delay").entries[-1].body
    best = min(offers, key=lambda offer: int(offer["lead_days"]))
    quantity = -(-short.shortfall // best["pack"]) * best["pack"]
    order = {
        "shipment": short.shipment,
        "supplier": best["name"],
        "sku": short.sku,
        "quantity": quantity,
        "total_cents": quantity * best["unit_cents"],
        "reason": short.summary,
        "late": f"{heard['carrier']}, now {heard['eta']}",
    }
    ctx.workflow.facts.put("draft", order, version=0)
    return order


def _shown(ctx: Context) -> str:
    """The approval to show at the gateway, noted beforehand. Where an earlier run has shown it and broke off, it may be
    used up: people are then asked again, about an order of which the ERP takes one."""
    before = ctx.workflow.facts.get("shown")
    if not ctx.approval or (before and before.body == ctx.approval):
        return ""
    ctx.workflow.facts.put("shown", ctx.approval, version=before.number if before else 0)
    return ctx.approval


def _commit(through: Through, order: dict[str, Any], workflow: str, approval: str) -> dict[str, Any]:
    """Post the order: what became of it, and its approval.

    Raises:
        ServiceUnavailable: the gateway does not answer.
    """
    said = through.tool("erp", "orders", order, workflow=workflow, approval=approval, once=workflow)
    if said.code == "approval_denied":
        return {"became": REFUSED, "approval": approval, "why": str(said.body["error"]["message"])}
    if said.code == "approval_unavailable":
        return {"became": WAITS, "approval": ""}
    body = _accepted(said)
    if said.status == HTTPStatus.ACCEPTED:
        return {"became": WAITS, "approval": str(body["approval_id"])}
    return {"became": ORDERED, "approval": approval}


def _accepted(said: Said) -> dict[str, Any]:
    if said.status < HTTPStatus.MULTIPLE_CHOICES:
        return dict(said.body)
    why = f"{said.status} {said.code}: {json.dumps(said.body)[:300]}"
    if said.status in _LATER or said.status >= HTTPStatus.INTERNAL_SERVER_ERROR or said.code == "agent_tripped":
        raise ServiceUnavailable(why)
    raise RefusedByGateway(why)


def _shortfall(product: dict[str, Any], delay: CarrierUpdate) -> int:
    days = (date.fromisoformat(delay.eta) - date.fromisoformat(delay.date)).days
    return int(days * product["daily_demand"] - product["stock"])


def _summary(ctx: Context, chat: Chat, facts: dict[str, Any]) -> str:
    """What the model says; the bare figures when its answer was stopped on the way."""
    try:
        return ask(ctx, chat, ANALYST_MODEL, ANALYSE, json.dumps(facts))
    except Exception as error:
        code = getattr(error, "code", "") or ""
        if not str(code).startswith(("deny_by_", "hold_by_")):
            raise _retryable(error) from error
        ctx.workflow.remember({"shipment": facts["shipment"], "code": code}, type="blocked")
        return f"{facts['shortfall']} pieces of {facts['sku']} are missing"


def _retryable(error: Exception) -> Exception:
    """A gateway that is away, in our words."""
    status = getattr(error, "status_code", None)
    gone = type(error).__name__ in ("APIConnectionError", "APITimeoutError") or (status or 0) >= 500
    return ServiceUnavailable(str(error)) if gone and not isinstance(error, Retryable) else error
