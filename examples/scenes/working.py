"""Scenes in which nothing goes wrong, or parts are killed in the middle and nothing is lost."""

from __future__ import annotations

import os
import signal
from typing import Final

from examples.demo_stage import until
from examples.scenes.stage import Mesh
from examples.scenes.told import Told
from examples.supply_chain.agents import ANALYST, EXECUTOR, CarrierUpdate
from fusebox.errors import Retryable
from fusebox.names import approvals_queue
from fusebox.rundir import lookup

_GUESS: Final = "a guess"
_MANY: Final = 4
_LONG_S: Final = 90.0


def delay(mesh: Mesh, told: Told) -> None:
    """A carrier says that a ship is late; an order is drafted, signed off, committed."""
    update = mesh.delay(carrier="FedEx")
    told.claim(
        "a webhook that the carrier did not sign is refused", mesh.carrier_posts(update, secret=_GUESS)[0] == 401
    )
    status, answer = mesh.carrier_posts(update)
    told.claim("a signed one is taken", status == 200)
    asked = mesh.manager.asked(update.shipment)
    told.claim("nothing is ordered before the manager agrees", mesh.ordered(update.shipment) == [])
    parked = until(lambda: mesh.runtime.broker.depth(approvals_queue(EXECUTOR)), "the executor's message is parked")
    told.claim("the executor's message waits in executor.approvals", parked == 1)
    status, _ = mesh.manager.post(mesh.manager.webhook(asked, approve=True))
    until(lambda: mesh.ordered(update.shipment), "the order is committed")
    mesh.carrier_posts(update)
    workflow = str(answer["workflow"])
    until(lambda: mesh.remembered(workflow, "ordered"), "the executor has written down what it ordered")
    told.claim(
        "the order is committed by the gateway for the executor, once",
        [order["agent"] for order in mesh.ordered(update.shipment)] == ["executor"],
    )
    told.claim(
        "the workflow remembers the delay, its impact, the draft, the approval shown and the order",
        [e.type for e in mesh.remembered(workflow)] == ["delay", "impact", "fact", "fact", "ordered"],
    )
    rows = until(lambda: mesh.query("ask_knew", agent="executor"), "reads are stored", _LONG_S)
    told.claim("what the executor knew when it ordered is on record", any(r["operation"] == "erp.order" for r in rows))


def collector(mesh: Mesh, told: Told) -> None:
    """receive, keep and watch are killed while carriers post."""
    before = {role: mesh.supervisor.pid(role) for role in ("receive", "keep", "watch")}

    def strike() -> None:
        for pid in before.values():
            os.kill(pid, signal.SIGKILL)

    updates = _in_the_middle(mesh, strike)
    told.claim("every delay became one order", _once(mesh, updates))
    told.claim("the roles were killed and are back", all(mesh.supervisor.pid(r) != pid for r, pid in before.items()))
    shipments = {update.shipment for update in updates}
    until(lambda: _read(mesh) >= shipments, "what happened meanwhile is stored", _LONG_S)
    told.claim("what the agents did meanwhile is stored", _read(mesh) >= shipments)


def redis(mesh: Mesh, told: Told) -> None:
    """Redis is killed while carriers post."""
    server = int((lookup(mesh.config.data_dir, "redis") or {})["server"])
    updates = _in_the_middle(mesh, lambda: os.kill(server, signal.SIGKILL))
    told.claim("every delay became one order", _once(mesh, updates))
    told.claim("Redis was killed and is back", int((lookup(mesh.config.data_dir, "redis") or {})["server"]) != server)


def broker(mesh: Mesh, told: Told) -> None:
    """RabbitMQ is killed while carriers post, after a first order.

    A node that dies seconds after a quorum queue was declared may not know that queue any more (RabbitMQ 3.10).
    """
    assert mesh.node is not None, "choose() gives this scene a node of its own"
    node, first = mesh.node, mesh.delay()
    with mesh.manager.agreeing():
        _posted(mesh, first)
        until(lambda: mesh.ordered(first.shipment), f"{first.shipment} is ordered", _LONG_S)

    def strike() -> None:
        node.kill()
        node.start()

    told.claim("every delay became one order", _once(mesh, _in_the_middle(mesh, strike)))


def _in_the_middle(mesh: Mesh, strike: object) -> list[CarrierUpdate]:
    """Carriers post delays, something is struck, they go on posting (again, when they are told to); all is ordered."""
    assert callable(strike)
    updates = [mesh.delay(carrier=("FedEx", "Maersk")[n % 2]) for n in range(_MANY)]
    with mesh.manager.agreeing():
        for update in updates[: _MANY // 2]:
            _posted(mesh, update)
        strike()
        for update in updates[_MANY // 2 :]:
            _posted(mesh, update)
        for update in updates:
            until(lambda update=update: mesh.ordered(update.shipment), f"{update.shipment} is ordered", _LONG_S)  # type: ignore[misc]
    return updates


def _posted(mesh: Mesh, update: CarrierUpdate) -> None:
    """A carrier comes back with what was not taken."""
    until(lambda: mesh.carrier_posts(update)[0] == 200, f"the dock takes {update.shipment}", _LONG_S)


def _once(mesh: Mesh, updates: list[CarrierUpdate]) -> bool:
    return all(len(mesh.ordered(update.shipment)) == 1 for update in updates)


def _read(mesh: Mesh) -> set[str]:
    """Shipments that the analyst has read of, as the database has it."""
    try:
        rows = mesh.query("recent_events", agent=ANALYST, limit=1000)
    except Retryable:
        return set()
    return {row["target"] for row in rows if row["operation"] == "warehouse.query"}
