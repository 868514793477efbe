"""Two internal systems that agents reach through the gateway only: it alone has their credentials.

``warehouse`` runs SQL on the inventory (``POST /query``): it trusts whoever has the credential, as such systems do, so
what an agent may say is the gateway's to judge. ``erp`` writes purchase orders (``POST /orders``); the same idempotency
key makes one.
"""

from __future__ import annotations

import hmac
import json
import secrets
from http import HTTPStatus
from threading import Lock
from typing import Final

from examples.supply_chain.database import BadStatement, open_database
from examples.supply_chain.inventory import Inventory
from examples.web import Answer, Json, Request, WebServer, not_found

_REFUSED: Final = Answer({"error": "who are you?"}, HTTPStatus.UNAUTHORIZED)


class System:
    """An HTTP server that asks for a credential."""

    def __init__(self) -> None:
        self.credential = secrets.token_urlsafe(24)
        self._web = WebServer(self._respond)
        self.url = self._web.url
        self._lock = Lock()

    def start(self) -> None:
        self._web.start()

    def stop(self, timeout: float = 10.0) -> None:
        self._web.stop(timeout)

    def _respond(self, request: Request) -> Answer:
        given = request.headers.get("authorization", "")
        if not hmac.compare_digest(given.encode(), f"Bearer {self.credential}".encode()):
            return _REFUSED
        with self._lock:
            return self.answer(request)

    def answer(self, request: Request) -> Answer:
        """Answer somebody who has the credential."""
        return not_found(request)


class Warehouse(System):
    """The inventory.

    Args:
        address: of its database, where its tables are made.
    """

    def __init__(self, address: str) -> None:
        super().__init__()
        Inventory(address).create("mesh.sql")
        self._database = open_database(address)

    def rows(self, sql: str) -> list[Json]:
        """Run one statement."""
        return self._database.rows(sql)

    def answer(self, request: Request) -> Answer:
        if (request.method, request.path) != ("POST", ("query",)):
            return not_found(request)
        try:
            return Answer({"rows": self.rows(str(request.json()["sql"]))})
        except BadStatement as error:
            return Answer({"error": str(error)}, HTTPStatus.BAD_REQUEST)


class Erp(System):
    """The table of purchase orders, and who asked for each.

    Args:
        address: of its database, where the table is made.
    """

    def __init__(self, address: str) -> None:
        super().__init__()
        self._database = open_database(address)
        self._database.script("CREATE TABLE orders (id TEXT PRIMARY KEY, body TEXT NOT NULL, agent TEXT NOT NULL)")

    def orders(self) -> list[Json]:
        """Every purchase order."""
        rows = self._database.rows("SELECT id, body, agent FROM orders ORDER BY id")
        return [{**json.loads(row["body"]), "id": row["id"], "agent": row["agent"]} for row in rows]

    def answer(self, request: Request) -> Answer:
        if request.path != ("orders",) or request.method != "POST":
            return not_found(request)
        id = request.headers.get("idempotency-key", "")
        if not id:
            return Answer({"error": "an order needs an idempotency-key"}, HTTPStatus.BAD_REQUEST)
        body, agent = json.dumps(request.json()), request.headers.get("x-fusebox-agent", "")
        self._database.rows("INSERT INTO orders VALUES (?, ?, ?) ON CONFLICT (id) DO NOTHING", id, body, agent)
        return Answer({"purchase_order": id, "status": "ordered"}, HTTPStatus.CREATED)
