"""The laboratory of the collector: the three roles as processes, senders here, and a database that can misbehave.

::

    senders (here) ──► receive ──► spool ─┬─► keep ──► ClickHouse: chDB in keep, or a server (stand-in, here)
       │                                  └─► watch                    │
       └────────────── oracle ◄── rows of every table ◄────────────────┘
"""

from __future__ import annotations

import random
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import requests

from collector.keep.engine import Engine
from tests.collector.clickhouse_standin import StandIn
from tests.collector.prebuilt import database
from tests.faults.collector.oracle import Oracle
from tests.faults.collector.roles import Role
from tests.faults.collector.sender import Sender
from tests.fixtures.collector import until

ROLES: Final = ("keep", "watch", "receive")
_SPOOL_BYTES: Final = 64 << 20
_DRAIN_S: Final = 300.0


class Lab:
    """See the module; a context manager.

    Args:
        folder: where everything of it lives.
        embedded: chDB inside *keep*; else a server over HTTP.
    """

    def __init__(self, folder: Path, seed: int, *, embedded: bool) -> None:
        self.data_dir = folder / "data"
        self.data_dir.mkdir(parents=True)
        self.chance = random.Random(seed)
        self.server = None if embedded else StandIn(database(folder / "server"))
        self._engine = Engine(None, self.server.url) if self.server else None
        settings = {"spool_max_bytes": str(_SPOOL_BYTES)}
        if self.server:
            settings["clickhouse_url"] = self.server.url
        self.roles = {name: Role(name, self.data_dir, settings) for name in ROLES}
        self.oracle = Oracle()
        self.sender = Sender(self.data_dir, self.oracle, seed)

    def __enter__(self) -> Lab:
        with ExitStack() as stack:
            if self.server and self._engine:
                stack.callback(self.server.close)
                stack.callback(self._engine.close)
            for role in self.roles.values():
                stack.callback(role.stop)
                role.start()
            self._parts = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._parts.close()

    @property
    def kills(self) -> int:
        """Processes that died of SIGKILL so far."""
        return sum(role.kills for role in self.roles.values())

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        """Ask the database."""
        if self._engine:
            return [tuple(row) for row in self._engine.writer().query(statement).result_rows]
        answer = until(lambda: self._ask_keep(statement), "keep answers")
        return [tuple(row) for row in answer.json()["data"]]

    def drain(self) -> None:
        """Wait until all that is owed is in every table, and what was given up, too, if it was received."""
        until(lambda: self.oracle.is_paid(self.rows), "everything owed is stored", _DRAIN_S)
        until(lambda: self.roles["keep"].measured("keep_lag_bytes") == 0, "keep has nothing to do", _DRAIN_S)

    def _ask_keep(self, statement: str) -> requests.Response | None:
        url = self.roles["keep"].url
        try:
            answer = requests.post(url, data=f"{statement} FORMAT JSONCompact", timeout=30) if url else None
        except requests.ConnectionError:
            return None
        assert answer is None or answer.ok, answer.text
        return answer
