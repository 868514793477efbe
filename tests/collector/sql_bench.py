"""The SQL port in this process, over a database of 2,000 spans, with everything of its own on disk."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import requests

from collector.audit.journal import Journal
from collector.keep.app import http_server, sql_port
from collector.sql.port import SqlPort
from fusebox.clock import ManualClock
from fusebox.config import Config
from fusebox.ports import bind, port_of
from tests.collector.keep_bench import Bench
from tests.collector.spans import Span, request


@dataclass(frozen=True)
class Port:
    """Where it listens, and what it stands on."""

    host: str
    port: int
    folder: Path
    clock: ManualClock
    bench: Bench
    application: SqlPort

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    @property
    def is_full(self) -> bool:
        """True while every place for statements is taken."""
        return self.application._pool._slots.locked()

    def ask(self, statement: str, **query: str) -> requests.Response:
        return requests.post(f"{self.url}/", params=query, data=statement.encode(), timeout=30)


@contextmanager
def serving(folder: Path) -> Iterator[Port]:
    """A port on ``folder``."""
    with Bench(folder) as bench:
        attributes = {"fusebox.action": "tool_call", "gen_ai.tool.name": "tickets.comment", "gen_ai.agent.id": "ann's"}
        bench.store(request(*(Span(n, attributes=attributes) for n in range(1, 2001))))
        clock = ManualClock()
        application = sql_port(
            Config(data_dir=folder), bench.engine, clock, {}, Journal(folder / "journal", clock, "keep")
        )
        server = http_server(application)
        sock = bind("127.0.0.1", 0, "sql_port")
        thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]})
        thread.start()
        try:
            yield Port("127.0.0.1", port_of(sock), folder, clock, bench, application)
        finally:
            server.should_exit = True
            thread.join(10)
            application.close()
