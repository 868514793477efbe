"""Scenes about a person's word: given, refused, too late, used twice, and for something else."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any, Final

from examples.demo_stage import until
from examples.scenes.stage import Mesh
from examples.scenes.told import Told
from examples.through import Said

_BUYER, _HASTY = "buyer", "hasty-buyer"
_REASON: Final = "we have enough of them"


def approval(mesh: Mesh, told: Told) -> None:
    """The manager agrees, and the order is committed."""
    said = _order(mesh, _BUYER, "SIGN-1")
    asked = mesh.manager.asked("SIGN-1")
    told.claim(
        "the gateway answers 202 and asks",
        said.status == HTTPStatus.ACCEPTED and said.body["approval_id"] == asked["id"],
    )
    shown = json.loads(json.loads(asked["request"]["arguments"])["body"])
    told.claim("the manager is shown the exact order", (shown["shipment"], shown["quantity"]) == ("SIGN-1", 200))
    status, answer = mesh.manager.post(mesh.manager.webhook(asked, approve=True))
    told.claim(
        "a signed webhook counts as the manager's word", (status, answer["stage"]) == (HTTPStatus.OK, "approved")
    )
    told.claim(
        "the order goes through under its approval",
        _order(mesh, _BUYER, "SIGN-1", approval=asked["id"]).status == HTTPStatus.CREATED,
    )
    told.claim("the ERP has it", len(mesh.ordered("SIGN-1")) == 1)


def refusal(mesh: Mesh, told: Told) -> None:
    """The manager says no, and the agents are told why."""
    update = mesh.delay()
    workflow = str(mesh.carrier_posts(update)[1]["workflow"])
    mesh.manager.post(mesh.manager.webhook(mesh.manager.asked(update.shipment), approve=False, reason=_REASON))
    (entry,) = until(lambda: mesh.remembered(workflow, "refused"), "the executor is told")
    told.claim("the executor is told the manager's reason, and remembers it", _REASON in entry.body["why"])
    told.claim("nothing is ordered", mesh.ordered(update.shipment) == [])


def expiry(mesh: Mesh, told: Told) -> None:
    """Nobody answers."""
    approval = _order(mesh, _HASTY, "SIGN-2").body["approval_id"]

    def over() -> Said | None:
        said = _order(mesh, _HASTY, "SIGN-2", approval=approval)
        return said if said.status != HTTPStatus.ACCEPTED else None

    said = until(over, "the approval expires")
    told.claim("silence is a no", (said.status, said.code) == (HTTPStatus.FORBIDDEN, "approval_denied"))
    told.claim("nothing is ordered", mesh.ordered("SIGN-2") == [])


def replayed(mesh: Mesh, told: Told) -> None:
    """A used approval is shown again, and the manager's webhook is sent again."""
    _order(mesh, _BUYER, "SIGN-3")
    asked = mesh.manager.asked("SIGN-3")
    webhook = mesh.manager.webhook(asked, approve=True)
    mesh.manager.post(webhook)
    told.claim(
        "the first use counts", _order(mesh, _BUYER, "SIGN-3", approval=asked["id"]).status == HTTPStatus.CREATED
    )
    again = _order(mesh, _BUYER, "SIGN-3", approval=asked["id"], once="another")
    told.claim("the second does not", (again.status, again.code) == (HTTPStatus.FORBIDDEN, "approval_denied"))
    status, answer = mesh.manager.post(webhook)
    told.claim("the same webhook again changes nothing", status == HTTPStatus.OK and answer["repeated"])
    body, headers = webhook
    forged = (body.replace(b"true", b"false"), headers)
    told.claim("an altered one is a 401", mesh.manager.post(forged)[0] == HTTPStatus.UNAUTHORIZED)
    told.claim("there is one order", len(mesh.ordered("SIGN-3")) == 1)


def altered(mesh: Mesh, told: Told) -> None:
    """People agree to one order, and another one is sent under their approval."""
    _order(mesh, _BUYER, "SIGN-4")
    asked = mesh.manager.asked("SIGN-4")
    mesh.manager.post(mesh.manager.webhook(asked, approve=True))
    more = _order(mesh, _BUYER, "SIGN-4", quantity=2000, approval=asked["id"])
    told.claim(
        "ten times the quantity is refused", (more.status, more.code) == (HTTPStatus.FORBIDDEN, "approval_denied")
    )
    other = _order(mesh, _HASTY, "SIGN-4", approval=asked["id"])
    told.claim("so is another agent", other.status == HTTPStatus.FORBIDDEN)
    told.claim("nothing is ordered", mesh.ordered("SIGN-4") == [])


def _order(mesh: Mesh, agent: str, shipment: str, *, quantity: int = 200, approval: str = "", once: str = "") -> Said:
    order: dict[str, Any] = {
        "shipment": shipment,
        "supplier": "Ostsee Metall GmbH",
        "sku": "HUB-32",
        "quantity": quantity,
    }
    return mesh.through(agent).tool(
        "erp", "orders", order, workflow=f"wf-{shipment}", approval=approval, once=once or shipment
    )
