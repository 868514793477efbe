"""The inventory database: the impact of a delay, and that only a person's yes becomes an order."""

from pathlib import Path
from threading import Thread

import pytest

from examples.supply_chain.agents import recorded_events
from examples.supply_chain.inventory import Inventory, NotApproved
from fusebox.clock import ManualClock, SystemClock
from fusebox.errors import Permanent

LATE = ("NKL-48213", "2026-03-02", "2026-03-14")


@pytest.fixture
def inventory(tmp_path: Path) -> Inventory:
    inventory = Inventory(tmp_path / "inventory.db", SystemClock())
    inventory.create()
    return inventory


def draft(inventory: Inventory) -> int:
    impact = inventory.impact(*LATE)
    return int(inventory.draft(LATE[0], impact["sku"], impact["shortfall"], "late")["id"])


def test_the_impact_of_a_delay_is_the_demand_the_stock_cannot_meet(inventory: Inventory) -> None:
    impact = inventory.impact(*LATE)
    assert (impact["stock"], impact["daily_demand"], impact["days_to_eta"]) == (240, 35, 12)
    assert impact["shortfall"] == 12 * 35 - 240
    assert impact["days_left"] == 6


def test_a_shipment_that_comes_in_time_or_is_unknown_leaves_no_gap(inventory: Inventory) -> None:
    assert inventory.impact("NKL-48213", "2026-03-02", "2026-03-03")["shortfall"] == 0
    assert inventory.impact("nobody's", "2026-03-02", "2026-03-14") == {}


def test_a_draft_covers_the_gap_in_whole_packs_from_the_quickest_supplier(inventory: Inventory) -> None:
    made = inventory.draft("NKL-48213", "HUB-32", 180, "late")
    assert (made["supplier"], made["quantity"], made["total_cents"]) == ("Ostsee Metall GmbH", 200, 200 * 1890)


def test_drafting_twice_for_a_shipment_makes_one_draft(inventory: Inventory) -> None:
    assert draft(inventory) == draft(inventory)
    assert len(inventory.drafts()) == 1


def test_a_part_nobody_offers_is_an_error_that_names_the_fix(inventory: Inventory) -> None:
    with pytest.raises(Permanent, match="offers"):
        inventory.draft("NKL-48213", "GOLD-1", 3, "late")


def test_without_a_persons_yes_there_is_no_order(inventory: Inventory) -> None:
    number = draft(inventory)
    with pytest.raises(NotApproved):
        inventory.order(number)
    inventory.decide(number, "Dana", approved=False)
    with pytest.raises(NotApproved):
        inventory.order(number)
    assert inventory.orders() == []


def test_an_approved_draft_is_ordered_once_in_the_name_of_who_approved(inventory: Inventory) -> None:
    number = draft(inventory)
    assert inventory.decide(number, "Dana", approved=True)
    inventory.order(number)
    inventory.order(number)
    assert [(o["quantity"], o["approved_by"]) for o in inventory.orders()] == [(200, "Dana")]


def test_who_waits_hears_the_answer(inventory: Inventory) -> None:
    number, heard = draft(inventory), []
    waiting = Thread(target=lambda: heard.append(inventory.await_decision(number, 30)))
    waiting.start()
    inventory.decide(number, "Dana", approved=True)
    waiting.join(10)
    assert heard == [True]


def test_silence_is_a_no_and_a_late_yes_changes_nothing(tmp_path: Path) -> None:
    inventory = Inventory(tmp_path / "inventory.db", ManualClock())
    inventory.create()
    number = draft(inventory)
    assert inventory.await_decision(number, timeout=60) is False
    assert inventory.decide(number, "Dana", approved=True) is False
    assert inventory.orders() == []


def test_every_recorded_event_is_about_a_shipment_of_the_database(inventory: Inventory) -> None:
    events = recorded_events()
    assert len(events) > 5
    assert all(inventory.impact(e["shipment"], e["date"], e["eta"]) for e in events)
    assert any(e["status"] == "customs_hold" for e in events)
