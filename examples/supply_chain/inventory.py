"""The inventory: a SQLite file with products, shipments on their way, offers, drafts and purchase orders.

A purchase order can only come from a draft that a person approved: the statement that writes it says so, not the agent.

::

    waiting ──► approved ──► purchase order
       ├──────► refused
       └──────► expired      (nobody answered in time)
"""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from datetime import date
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from fusebox.clock import Clock
from fusebox.errors import Permanent

Json = dict[str, Any]
_POLL_S: Final = 0.1


class NotApproved(Permanent):
    """A purchase order was asked for without a person's yes."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A purchase order that waits for a person."""

    id: int
    shipment: str
    supplier: str
    sku: str
    quantity: int
    total_cents: int
    reason: str
    status: str

    def __str__(self) -> str:
        return f"{self.quantity} × {self.sku} from {self.supplier}, € {self.total_cents / 100:,.2f}"


class Inventory:
    """The database file; every call opens it anew, so any process and thread may use it.

    Args:
        path: the file.
        clock: for waiting.
    """

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path = path
        self._clock = clock

    def create(self) -> None:
        """Write the tables and rows that ship with the package."""
        script = files(__package__).joinpath("inventory.sql").read_text()
        with closing(sqlite3.connect(self._path)) as db:
            db.executescript(script)

    def impact(self, shipment: str, today: str, eta: str) -> Json:
        """What a shipment that arrives on ``eta`` means for the stock.

        Returns:
            ``{sku, name, stock, daily_demand, days_left, days_to_eta, shortfall}``; an unknown shipment has no impact
            (``{}``).
        """
        sql = "SELECT p.sku, name, stock, daily_demand FROM shipments s JOIN products p ON p.sku = s.sku WHERE s.id = ?"
        with self._open() as db:
            row = db.execute(sql, (shipment,)).fetchone()
        if row is None:
            return {}
        wait = (date.fromisoformat(eta) - date.fromisoformat(today)).days
        shortfall = max(0, wait * row["daily_demand"] - row["stock"])
        return {**row, "days_left": row["stock"] // row["daily_demand"], "days_to_eta": wait, "shortfall": shortfall}

    def draft(self, shipment: str, sku: str, shortfall: int, reason: str) -> Json:
        """Draft an order that covers ``shortfall`` pieces with the supplier that delivers first; as data."""
        offer = """SELECT supplier, pack, unit_cents FROM offers JOIN suppliers ON id = supplier
                   WHERE sku = ? ORDER BY lead_days LIMIT 1"""
        insert = """INSERT INTO drafts (shipment, supplier, sku, quantity, total_cents, reason)
                    VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (shipment) DO NOTHING"""
        with self._open() as db:
            best = db.execute(offer, (sku,)).fetchone()
            if best is None:
                raise Permanent(f"nobody offers {sku}; add a row to offers")
            quantity = math.ceil(shortfall / best["pack"]) * best["pack"]
            total = quantity * best["unit_cents"]
            db.execute(insert, (shipment, best["supplier"], sku, quantity, total, reason))
        return asdict(next(d for d in self.drafts() if d.shipment == shipment))

    def decide(self, draft: int, person: str, approved: bool) -> bool:
        """A person's answer; False when the draft no longer waits."""
        return self._settle(draft, "approved" if approved else "refused", person)

    def await_decision(self, draft: int, timeout: float) -> bool:
        """Wait up to ``timeout`` seconds for a person; True when the answer was yes. Silence is a no."""
        deadline = self._clock.monotonic() + timeout
        while (status := self._status(draft)) == "waiting":
            if self._clock.monotonic() > deadline:
                self._settle(draft, "expired", "")
            self._clock.sleep(_POLL_S)
        return status == "approved"

    def order(self, draft: int) -> Json:
        """Turn an approved draft into a purchase order; doing it twice makes one.

        Raises:
            NotApproved: nobody said yes to this draft.
        """
        sql = """INSERT INTO purchase_orders SELECT id, supplier, sku, quantity, total_cents, decided_by
                 FROM drafts WHERE id = ? AND status = 'approved' ON CONFLICT (draft) DO NOTHING"""
        with self._open() as db:
            db.execute(sql, (draft,))
            if not db.execute("SELECT 1 FROM purchase_orders WHERE draft = ?", (draft,)).fetchone():
                raise NotApproved(f"draft {draft} has no person's yes")
        return {"purchase_order": draft, "status": "ordered"}

    def drafts(self, status: str = "") -> list[Draft]:
        """All drafts, oldest first; only those in ``status`` when it is given."""
        sql = """SELECT d.id, shipment, name AS supplier, sku, quantity, total_cents, reason, status
                 FROM drafts d JOIN suppliers s ON s.id = d.supplier WHERE ? IN ('', status) ORDER BY d.id"""
        with self._open() as db:
            return [Draft(**row) for row in db.execute(sql, (status,))]

    def orders(self) -> list[Json]:
        """All purchase orders."""
        with self._open() as db:
            return list(db.execute("SELECT * FROM purchase_orders ORDER BY draft"))

    def _status(self, draft: int) -> str:
        return next((d.status for d in self.drafts() if d.id == draft), "refused")

    def _settle(self, draft: int, status: str, person: str) -> bool:
        sql = "UPDATE drafts SET status = ?, decided_by = ? WHERE id = ? AND status = 'waiting'"
        with self._open() as db:
            return db.execute(sql, (status, person, draft)).rowcount == 1

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self._path, timeout=10)) as db:
            db.row_factory = _as_dict
            with db:
                yield db


def _as_dict(cursor: sqlite3.Cursor, row: tuple[Any, ...]) -> Json:
    return {column[0]: value for column, value in zip(cursor.description, row, strict=True)}
