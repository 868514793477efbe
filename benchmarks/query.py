"""How fast the named queries answer over 30 million spans, and how that grows from one million.

Every query of ``collector.queries`` is asked with other parameters each time, as the dashboard, ``fusebox why`` and the
demo ask it: through the client, under the limits of the SQL port (two threads), with the query condition cache off.
The data are ``benchmarks.warehouse``'s: three days of 400 agents. trace_p95_ms is the tree of a trace by its id, as the
dashboard draws it; the attributes of one span, asked when somebody opens it, are the query ``span``. worst_p95_ms is
the slowest query of all. With ``--data DIR`` the large data are kept there, and grow on from what is there.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import clickhouse_connect
from clickhouse_connect.driver.client import Client
from rich.console import Console
from rich.table import Table

from benchmarks.corpus import AGENTS, agent_id
from benchmarks.report import Report
from benchmarks.warehouse import Warehouse, warehouse
from collector import queries
from collector.keep.engine import READ_LIMITS

_HOUR_S: Final = 3600.0
_COLD: Final = {"use_query_condition_cache": "0", **READ_LIMITS}
_TIMES: Final = 20


class Asker:
    """Knows spans to ask for.

    Args:
        sample: spans ``(trace, span, message)`` found anywhere in the data.
        now: Unix seconds at which the data end.
    """

    def __init__(self, sample: list[tuple[str, str, str]], rng: random.Random, now: float) -> None:
        self._rng, self._now = rng, now
        self._spans = [(trace, span) for trace, span, _ in sample]
        self._messages = [message for _, _, message in sample if message]

    def parameters(self) -> dict[str, Callable[[], dict[str, Any]]]:
        """By the query's name (behind a colon: which way of asking)."""
        hour = {"since": self._now - _HOUR_S}
        return {**self._of_a_span(hour), **self._of_pages({**hour, "until": self._now})}

    def _of_a_span(self, hour: dict[str, float]) -> dict[str, Callable[[], dict[str, Any]]]:
        """What begins with a span, an agent or a message, and the sums."""
        return {
            "recent_events": dict,
            "recent_events:agent": lambda: {"agent": self._agent()},
            "agent_activity": lambda: hour,
            "tokens_by_agent_minute": lambda: hour,
            "trip_evidence": lambda: {"spans": [":".join(self._span()) for _ in range(8)]},
            "last_tool_call": lambda: {"agent": self._agent()},
            "counts_by_agent": dict,
            "totals": dict,
            "spans_total": dict,
            "span": lambda: dict(zip(("trace_id", "span_id"), self._span(), strict=True)),
            "span_of_any_trace": lambda: {"span_id": self._span()[1]},
            "spans_at": lambda: {"spans": [":".join(self._span())]},
            "spans_below": lambda: {"spans": [":".join(self._span())]},
            "spans_linking": lambda: {"spans": [":".join(self._span())]},
            "trace_spans": lambda: {"trace_id": self._span()[0]},
            "audit_of_traces": lambda: {"traces": [self._span()[0]], "approvals": []},
            "message_spans": lambda: {"message_id": self._rng.choice(self._messages)},
            "row_spans": lambda: {"row": self._rng.choice(self._messages)},
            "last_call_in_trace": lambda: {"trace_id": self._span()[0]},
            "audit": dict,
        }

    def _of_pages(self, hour: dict[str, float]) -> dict[str, Callable[[], dict[str, Any]]]:
        """What the dashboard's pages ask, for the last hour, as they do unless somebody chooses another period."""
        of_agent = (
            "agent_operations",
            "agent_partners",
            "agent_readers",
            "agent_course",
            "agent_scores",
            "agent_between",
        )
        plain = ("agents_active", "spend", "spend_by_workflow", "spend_course",
                 "audit_found", "audit_kinds", "traces_found")  # fmt: skip
        return {
            **{name: lambda: {**hour, "agent": self._agent()} for name in of_agent},
            **dict.fromkeys(plain, lambda: hour),
            "traces_found:agent": lambda: {**hour, "agent": self._agent(), "failed": True},
            "traces_found:words": lambda: {**hour, "words": "orders", "failed": True},
            "ledger_of_spans": lambda: {"spans": [":".join(self._span()) for _ in range(8)]},
            "audit_about": lambda: {"since": hour["since"], "agent": self._agent()},
            "dead_letters_by_reason": dict,
            "span_gaps": lambda: {"since": hour["since"]},
            "written": dict,
            "columns": dict,
        }

    def _agent(self) -> str:
        return agent_id(self._rng.randrange(AGENTS))

    def _span(self) -> tuple[str, str]:
        return self._rng.choice(self._spans)


def asker(data: Warehouse) -> Asker:
    sample = data.ask(
        "SELECT TraceId, SpanId, SpanAttributes['messaging.message.id'] FROM otel_traces "
        "WHERE sipHash64(SpanId) % {every:UInt64} = 0 LIMIT 2000",
        every=max(1, data.rows() // 2000),
    )
    return Asker(sample, random.Random(5), data.newest())


def percentiles(client: Client, asked: Asker, times: int) -> dict[str, tuple[float, float]]:
    """Milliseconds, p50 and p95, of each query; the first asking of each warms up code, not data, and is dropped."""
    found = {}
    for name, parameters in asked.parameters().items():
        taken = []
        for _ in range(times + 1):
            values = parameters()
            started = time.perf_counter()
            queries.run(client, name.partition(":")[0], **values)
            taken.append(1e3 * (time.perf_counter() - started))
        found[name] = (statistics.median(taken[1:]), statistics.quantiles(taken[1:], n=20)[-1])
    return found


def measured(data: Warehouse, rows: int, times: int) -> dict[str, tuple[float, float]]:
    data.grow(rows)
    client = clickhouse_connect.get_client(interface="chdb", path=str(data.folder), settings=dict(_COLD))
    try:
        return percentiles(client, asker(data), times)
    finally:
        client.close()


def show(small: dict[str, tuple[float, float]], large: dict[str, tuple[float, float]]) -> None:
    table = Table("query", "p50 small", "p95 small", "p50 large", "p95 large", "grows by", title="milliseconds")
    for name, (p50, p95) in large.items():
        before = small[name]
        table.add_row(name, *(f"{ms:.1f}" for ms in (*before, p50, p95)), f"{p50 / before[0]:.1f}")
    Console().print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="from 0.2 to 2 million spans, which takes a minute")
    parser.add_argument("--data", type=Path, help="a folder to keep the large data in; 6 GB")
    args = parser.parse_args()
    few, many = (200_000, 2_000_000) if args.quick else (1_000_000, 30_000_000)
    times = 5 if args.quick else _TIMES
    report = Report("query")
    with warehouse() as data:
        small = measured(data, few, times)
    with warehouse(args.data) as data:
        large = measured(data, many, times)
        report.add("rows", data.rows())
    show(small, large)
    report.add("worst_p95_ms", max(p95 for _, p95 in large.values()), ("<=", 300.0))
    report.add("trace_p95_ms", large["trace_spans"][1], ("<=", 100.0))
    report.show()


if __name__ == "__main__":
    main()
