"""The databases of the supply chain, a file and a PostgreSQL: impact, drafts, orders, and the two systems on them."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from examples.supply_chain.agents import recorded_events
from examples.supply_chain.database import BadStatement, DatabaseAway, open_database, place
from examples.supply_chain.inventory import Inventory
from examples.supply_chain.systems import Erp, System, Warehouse
from examples.web import Json, Request
from fusebox.errors import ConfigError, Permanent

LATE = ("NKL-48213", "2026-03-02", "2026-03-14")


@pytest.fixture
def inventory(address: str) -> Inventory:
    inventory = Inventory(address)
    inventory.create()
    return inventory


def test_the_impact_of_a_delay_is_the_demand_the_stock_cannot_meet(inventory: Inventory) -> None:
    impact = inventory.impact(*LATE)
    assert (impact["stock"], impact["daily_demand"], impact["days_to_eta"]) == (240, 35, 12)
    assert impact["shortfall"] == 12 * 35 - 240
    assert impact["days_left"] == 6


def test_a_shipment_that_comes_in_time_or_is_unknown_leaves_no_gap(inventory: Inventory) -> None:
    assert inventory.impact("NKL-48213", "2026-03-02", "2026-03-03")["shortfall"] == 0
    assert inventory.impact("nobody's", "2026-03-02", "2026-03-14") == {}


def test_a_draft_covers_the_gap_in_whole_packs_from_the_quickest_supplier_and_writes_nothing(
    inventory: Inventory,
) -> None:
    made = inventory.draft("NKL-48213", "HUB-32", 180)
    assert (made["supplier"], made["quantity"], made["total_cents"]) == ("Ostsee Metall GmbH", 200, 200 * 1890)
    assert inventory.orders() == []


def test_a_part_nobody_offers_is_an_error_that_names_the_fix(inventory: Inventory) -> None:
    with pytest.raises(Permanent, match="offers"):
        inventory.draft("NKL-48213", "GOLD-1", 3)


def test_a_draft_is_ordered_once_however_often(inventory: Inventory) -> None:
    made = inventory.draft("NKL-48213", "HUB-32", 180)
    inventory.order(**made)
    inventory.order(**{**made, "quantity": 2000})
    assert inventory.orders() == [made]


def test_every_recorded_event_is_about_a_shipment_of_the_database(inventory: Inventory) -> None:
    events = recorded_events()
    assert len(events) > 5
    assert all(inventory.impact(e["shipment"], e["date"], e["eta"]) for e in events)
    assert any(e["status"] == "customs_hold" for e in events)


def test_the_warehouse_answers_one_statement_and_says_what_is_wrong_with_another(address: str) -> None:
    ask = asking(Warehouse(address), "query")
    assert ask({"sql": "SELECT sku FROM products WHERE name LIKE 'Rim%' ORDER BY sku"}) == (
        200, {"rows": [{"sku": "RIM-28"}]}
    )  # fmt: skip
    assert ask({"sql": "SELECT sum(stock) AS pieces FROM products WHERE sku IN ('HUB-32', 'RIM-28')"}) == (
        200, {"rows": [{"pieces": 1140}]}
    )  # fmt: skip
    assert ask({"sql": "SELECT id FROM shipments WHERE id = 'SCN-BC'"}) == (200, {"rows": [{"id": "SCN-BC"}]})
    assert ask({"sql": "SELECT nothing FROM nowhere"})[0] == 400
    assert ask({"sql": "SELECT 1; DELETE FROM offers"})[0] == 400
    assert ask({"sql": "SELECT count(*) AS n FROM offers"})[1] != {"rows": [{"n": 0}]}


def test_the_erp_writes_one_order_for_one_idempotency_key(address: str) -> None:
    erp = Erp(address)
    headers = {"idempotency-key": "one", "x-fusebox-agent": "executor"}
    assert [asking(erp, "orders", headers)({"quantity": n})[0] for n in (200, 2000)] == [201, 201]
    assert erp.orders() == [{"quantity": 200, "id": "one", "agent": "executor"}]
    assert asking(erp, "orders")({"quantity": 200})[0] == 400


def test_what_stood_in_a_postgresql_before_is_not_touched_and_nothing_stays(postgres_url: str) -> None:
    server = open_database(postgres_url)
    server.script("CREATE TABLE products (mine TEXT); INSERT INTO products VALUES ('before')")
    try:
        with place(postgres_url, Path()) as address:
            Inventory(address).create()
            assert Inventory(address).impact(*LATE)["sku"] == "HUB-32"
        assert server.rows("SELECT mine FROM products") == [{"mine": "before"}]
        assert server.rows("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'fusebox%'") == []
    finally:
        server.script("DROP TABLE products")


def test_an_address_that_is_none_or_where_nobody_answers_is_an_error_that_says_so() -> None:
    with pytest.raises(ConfigError, match="postgresql://"), place("mysql://here", Path()):
        pass
    with pytest.raises(DatabaseAway, match="refused"), place("postgresql://x@127.0.0.1:1/x", Path()):
        pass
    with pytest.raises(BadStatement):
        open_database(":memory:").rows("SELEKT")


def asking(system: System, path: str, headers: dict[str, str] | None = None) -> Callable[[Json], tuple[int, object]]:
    """Posts to a system, with its credential."""
    sent = {"authorization": f"Bearer {system.credential}", **(headers or {})}

    def ask(body: Json) -> tuple[int, object]:
        answer = system._respond(Request("POST", (path,), json.dumps(body).encode(), sent))
        return int(answer.status), answer.body

    return ask
