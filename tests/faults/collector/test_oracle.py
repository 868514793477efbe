"""The oracle itself: it is content with what was sent, and sees every way in which that can go wrong."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from collector.receive.decode import Encoding
from collector.receive.intake import Intake
from collector.receive.repeats import Repeats
from collector.receive.signals import LOGS, TRACES
from collector.tokens import Principal
from fusebox.clock import SystemClock
from tests.collector.keep_bench import Bench
from tests.faults.collector.content import Parcel, logs, spans
from tests.faults.collector.oracle import Oracle

_SOMEBODY = Principal("local", "default", frozenset({"*"}))


class _Spool(list[bytes]):
    """Where *receive* puts what it has stamped."""

    def append(self, payload: bytes) -> int:  # type: ignore[override]
        super().append(payload)
        return len(self)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with Bench(tmp_path_factory.mktemp("oracle")) as bench:
        yield bench


@pytest.fixture
def oracle(bench: Bench) -> Oracle:
    """One request of each kind was answered, one of each was given up, and all came into the tables."""
    for table in ("otel_traces", "agent_events", "agent_minutes", "token_ledger", "otel_logs"):
        bench.engine.writer().command(f"TRUNCATE TABLE {table}")
    oracle, spool, clock, chance = Oracle(), _Spool(), SystemClock(), random.Random(5)
    intake = Intake(spool, clock, Repeats(clock))
    for parcel in (spans(chance, 5), logs(chance, 5), spans(chance, 5), logs(chance, 5)):
        oracle.issue(parcel)
        intake.take(parcel.body(), Encoding.PROTOBUF, _SOMEBODY, _signal(parcel))
        if len(spool) <= 2:
            oracle.owe(parcel)
    bench.store(*spool)
    return oracle


def _signal(parcel: Parcel) -> object:
    return TRACES if parcel.path == "/v1/traces" else LOGS


def test_what_was_sent_and_stored_as_it_was_is_in_order(bench: Bench, oracle: Oracle) -> None:
    assert oracle.is_paid(bench.rows)
    assert oracle.verdict(bench.rows) == []


_ONE = "(SELECT min({id}) FROM {table})"


@pytest.mark.parametrize(
    ("statement", "kinds"),
    [
        ("INSERT INTO otel_traces SELECT * FROM otel_traces LIMIT 1", {"doubled"}),
        ("INSERT INTO otel_logs SELECT * FROM otel_logs LIMIT 1", {"doubled"}),
        ("INSERT INTO token_ledger SELECT * FROM token_ledger LIMIT 1", {"doubled"}),
        ("ALTER TABLE otel_logs DELETE WHERE Body = (SELECT min(Body) FROM otel_logs)", {"lost", "halved"}),
        ("ALTER TABLE agent_events DELETE WHERE span_id = (SELECT min(span_id) FROM agent_events)", {"lost", "halved"}),
        (
            "ALTER TABLE otel_traces UPDATE SpanAttributes = mapUpdate(SpanAttributes, map('lab.list', '[]')) WHERE 1",
            {"changed"},
        ),
        ("ALTER TABLE otel_traces UPDATE Duration = Duration + 1 WHERE 1", {"changed"}),
        ("ALTER TABLE otel_logs UPDATE EventName = '' WHERE 1", {"changed"}),
        ("ALTER TABLE token_ledger UPDATE cost_usd = cost_usd + 0.000001 WHERE 1", {"changed"}),
        ("ALTER TABLE token_ledger UPDATE cost_usd = NULL WHERE 1", {"changed"}),
        ("ALTER TABLE token_ledger UPDATE output_tokens = 0 WHERE 1", {"changed"}),
        (
            "ALTER TABLE otel_logs UPDATE LogAttributes = map('lab.id', 'nobody') WHERE 1",
            {"lost", "invented", "doubled"},
        ),
        ("ALTER TABLE agent_minutes UPDATE cost_usd = cost_usd + 1 WHERE 1", {"miscounted"}),
    ],
)
def test_what_is_wrong_is_seen(bench: Bench, oracle: Oracle, statement: str, kinds: set[str]) -> None:
    bench.engine.writer().command(statement, settings={"mutations_sync": 1, "insert_deduplicate": 0})
    found = {wrong.partition(":")[0] for wrong in oracle.verdict(bench.rows)}
    assert found & kinds
    assert found <= kinds | {"miscounted"}
