"""What a ClickHouse server does on a bad day; the stand-in does it, and counts that it did."""

from __future__ import annotations

from typing import Final

from tests.collector.clickhouse_standin import StandIn

_SAYINGS: Final = ("refuse", "exception", "slow", "reset before", "reset after")
_TIMES: Final = 3


class Server:
    """Trouble with each insert of spans, three times in a row, or with every statement until it is healed."""

    def __init__(self, saying: str, inserts_only: bool) -> None:
        self.name = f"server: {saying}, {'inserts' if inserts_only else 'everything'}"
        self._saying, self._inserts_only = saying, inserts_only
        self._struck = 0

    def strike(self, server: StandIn) -> None:
        """From now on."""
        self._struck = 0
        server.fault = self._fault

    def is_felt(self, delays: int) -> bool:
        """True once it happened often enough, and *keep* put a batch off (for which slowness is no reason)."""
        return self._struck >= _TIMES and (self._saying == "slow" or delays > 0)

    def heal(self, server: StandIn) -> None:
        """All is well again."""
        server.fault = lambda statement: ""

    def _fault(self, statement: str) -> str:
        if self._inserts_only and (self._struck >= _TIMES or "otlp_ingest" not in statement):
            return ""
        self._struck += 1
        return self._saying


class View(Server):
    """A view fails in the middle of inserts: its target is gone, and comes back."""

    def __init__(self) -> None:
        super().__init__("", inserts_only=False)
        self.name = "server: a view's target is gone"

    def strike(self, server: StandIn) -> None:
        server.run("RENAME TABLE agent_events TO away")
        super().strike(server)

    def heal(self, server: StandIn) -> None:
        server.run("RENAME TABLE away TO agent_events")
        super().heal(server)


def all_faults() -> list[Server]:
    """Every kind once."""
    return [Server(saying, only) for saying in _SAYINGS for only in (True, False)] + [View()]
