"""Two internal systems that agents reach through the gateway only: it alone has their credentials.

``warehouse`` runs SQL on the inventory (``POST /query``): it trusts whoever has the credential, as such systems do, so
what an agent may say is the gateway's to judge. ``erp`` writes purchase orders (``POST /orders``); the same idempotency
key makes one.
"""

from __future__ import annotations

import hmac
import json
import secrets
import sqlite3
from contextlib import closing
from http import HTTPStatus
from importlib.resources import files
from pathlib import Path
from threading import Lock
from typing import Any, Final

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
        path: its SQLite file, made anew.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        folder = files("examples.supply_chain")
        with closing(sqlite3.connect(path)) as db:
            db.executescript(folder.joinpath("inventory.sql").read_text() + folder.joinpath("mesh.sql").read_text())

    def rows(self, sql: str) -> list[Json]:
        """Run one statement."""
        with closing(sqlite3.connect(self._path, timeout=10)) as db, db:
            found = db.execute(sql)
            names = [column[0] for column in found.description or ()]
            return [dict(zip(names, row, strict=True)) for row in found]

    def answer(self, request: Request) -> Answer:
        if (request.method, request.path) != ("POST", ("query",)):
            return not_found(request)
        try:
            return Answer({"rows": self.rows(str(request.json()["sql"]))})
        except sqlite3.Error as error:
            return Answer({"error": str(error)}, HTTPStatus.BAD_REQUEST)


class Erp(System):
    """The table of purchase orders, and who asked for each.

    Args:
        path: its SQLite file.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        self._run("CREATE TABLE IF NOT EXISTS purchase_orders (id TEXT PRIMARY KEY, body TEXT NOT NULL, agent TEXT)")

    def orders(self) -> list[Json]:
        """Every purchase order."""
        rows = self._run("SELECT id, body, agent FROM purchase_orders ORDER BY rowid")
        return [{**json.loads(body), "id": id, "agent": agent} for id, body, agent in rows]

    def answer(self, request: Request) -> Answer:
        if request.path != ("orders",) or request.method != "POST":
            return not_found(request)
        id = request.headers.get("idempotency-key", "")
        if not id:
            return Answer({"error": "an order needs an idempotency-key"}, HTTPStatus.BAD_REQUEST)
        body, agent = json.dumps(request.json()), request.headers.get("x-fusebox-agent", "")
        self._run("INSERT OR IGNORE INTO purchase_orders VALUES (?, ?, ?)", id, body, agent)
        return Answer({"purchase_order": id, "status": "ordered"}, HTTPStatus.CREATED)

    def _run(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self._path, timeout=10)) as db, db:
            return list(db.execute(sql, values))
