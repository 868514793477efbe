"""The inventory: products, shipments on their way, offers, and the purchase orders that came of them.

Nothing here asks a person: an order is an action of an agent, and its policy holds it until somebody has agreed.
"""

from __future__ import annotations

import math
from datetime import date
from importlib.resources import files

from examples.supply_chain.database import open_database
from examples.web import Json
from fusebox.errors import Permanent


class Inventory:
    """The inventory's database.

    Args:
        address: where it is; see :func:`examples.supply_chain.database.place`.
    """

    def __init__(self, address: str) -> None:
        self._database = open_database(address)

    def create(self, *more: str) -> None:
        """Write the tables and rows that ship with the package; ``more`` names further scripts of it."""
        for name in ("inventory.sql", *more):
            self._database.script(files(__package__).joinpath(name).read_text(encoding="utf-8"))

    def impact(self, shipment: str, today: str, eta: str) -> Json:
        """What a shipment that arrives on ``eta`` means for the stock.

        Returns:
            ``{sku, name, stock, daily_demand, days_left, days_to_eta, shortfall}``; an unknown shipment has no impact
            (``{}``).
        """
        sql = "SELECT p.sku, name, stock, daily_demand FROM shipments s JOIN products p ON p.sku = s.sku WHERE s.id = ?"
        found = self._database.rows(sql, shipment)
        if not found:
            return {}
        (row,) = found
        wait = (date.fromisoformat(eta) - date.fromisoformat(today)).days
        shortfall = max(0, wait * row["daily_demand"] - row["stock"])
        return {**row, "days_left": row["stock"] // row["daily_demand"], "days_to_eta": wait, "shortfall": shortfall}

    def draft(self, shipment: str, sku: str, shortfall: int) -> Json:
        """An order of ``shortfall`` pieces, in whole packs, from the supplier that delivers first; nothing is written.

        Raises:
            Permanent: nobody offers the part.
        """
        sql = """SELECT name AS supplier, pack, unit_cents FROM offers JOIN suppliers ON id = supplier
                 WHERE sku = ? ORDER BY lead_days LIMIT 1"""
        offers = self._database.rows(sql, sku)
        if not offers:
            raise Permanent(f"nobody offers {sku}; add a row to offers")
        (best,) = offers
        quantity = math.ceil(shortfall / best["pack"]) * best["pack"]
        return {
            "shipment": shipment, "supplier": best["supplier"], "sku": sku, "quantity": quantity,
            "total_cents": quantity * best["unit_cents"],
        }  # fmt: skip

    def order(self, shipment: str, supplier: str, sku: str, quantity: int, total_cents: int) -> Json:
        """Write a purchase order; one for each shipment, however often."""
        sql = "INSERT INTO purchase_orders VALUES (?, ?, ?, ?, ?) ON CONFLICT (shipment) DO NOTHING"
        self._database.rows(sql, shipment, supplier, sku, quantity, total_cents)
        return {"purchase_order": shipment, "status": "ordered"}

    def orders(self) -> list[Json]:
        """All purchase orders."""
        return self._database.rows("SELECT * FROM purchase_orders ORDER BY shipment")
