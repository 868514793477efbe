"""What a ClickHouse server does on a bad day; the stand-in does it, and counts that it did."""

from __future__ import annotations

from typing import Final

from tests.collector.clickhouse_standin import StandIn

SAYINGS: Final = ("refuse", "exception", "slow", "reset before", "reset after")
_TIMES: Final = 3


class Server:
    """One kind of trouble, of every insert of spans or of every statement, a few times in a row."""

    def __init__(self, saying: str, inserts_only: bool) -> None:
        self.name = f"server: {saying}, {'inserts' if inserts_only else 'everything'}"
        self._saying, self._inserts_only = saying, inserts_only
        self.struck = 0

    def strike(self, server: StandIn) -> None:
        """From now on, until it happened often enough."""
        self.struck = 0
        server.fault = self._fault

    @property
    def over(self) -> bool:
        """True once it happened often enough."""
        return self.struck >= _TIMES

    def _fault(self, statement: str) -> str:
        if self.over or (self._inserts_only and "otlp_ingest" not in statement):
            return ""
        self.struck += "otlp_ingest" in statement or "_batch = " in statement  # not the journal's copy
        return self._saying


class View:
    """A view fails in the middle of inserts: its target is gone, and comes back."""

    name = "server: a view's target is gone"

    def __init__(self) -> None:
        self.struck = 0

    def strike(self, server: StandIn) -> None:
        server.run("RENAME TABLE agent_events TO away")
        server.fault = self._watch

    @property
    def over(self) -> bool:
        return self.struck >= _TIMES

    def heal(self, server: StandIn) -> None:
        server.run("RENAME TABLE away TO agent_events")

    def _watch(self, statement: str) -> str:
        self.struck += "otlp_ingest" in statement
        return ""


def all_faults() -> list[Server | View]:
    """Every kind once."""
    return [Server(saying, only) for saying in SAYINGS for only in (True, False)] + [View()]
