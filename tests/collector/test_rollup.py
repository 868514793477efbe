"""agent_minutes says what agent_events says, whatever was interrupted, shown twice or not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from collector import schema
from collector.keep.batch import Batch
from tests.collector.keep_bench import Bench
from tests.collector.spans import NOW, Span, Value, request

_SUMS = "agent, sum(actions), sum(model_calls), sum(tool_calls), sum(errors), sum(input_tokens), sum(output_tokens)"
_KEPT = f"SELECT tenant, minute, {_SUMS}, sum(cost_usd), max(last) FROM agent_minutes GROUP BY ALL ORDER BY ALL"
_TRUE = """
SELECT tenant, toStartOfMinute(time) AS minute, agent, toInt64(count()), toInt64(countIf(action = 'model_call')),
    toInt64(countIf(action = 'tool_call')), toInt64(countIf(NOT ok)), toInt64(sum(input_tokens)),
    toInt64(sum(output_tokens)), sum(cost_usd), max(time)
FROM agent_events GROUP BY tenant, minute, agent ORDER BY ALL
"""
_VIEW = "SELECT as_select FROM system.tables WHERE name = 'agent_minutes_mv'"
_AGAIN = "INSERT INTO agent_minutes SETTINGS insert_deduplicate = 0 SELECT * FROM agent_minutes"


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with Bench(tmp_path) as bench:
        bench.store(_chats(1, 10))
        yield bench


def _chats(first: int, count: int) -> bytes:
    """Model calls of two agents, one in twenty seconds, tool calls among them."""
    return request(*(_span(number) for number in range(first, first + count)))


def _span(number: int) -> Span:
    tool: dict[str, Value] = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "t"}
    chat: dict[str, Value] = {
        "gen_ai.operation.name": "chat", "gen_ai.usage.input_tokens": number, "gen_ai.usage.output_tokens": 1,
        "fusebox.cost.usd": "0.000001",
    }  # fmt: skip
    attributes = {"gen_ai.agent.id": f"agent-{number % 2}", **(chat if number % 4 else tool)}
    return Span(number, start=NOW + 20 * number, status=0 if number % 3 else 2, attributes=attributes)


def _is_exact(bench: Bench) -> bool:
    return bench.rows(_KEPT) == bench.rows(_TRUE)


def _again(bench: Bench, batch: Batch) -> None:
    bench.inserter.write(bench.batch(*batch.payloads, retried=True, id=batch.id))


def test_minutes_are_the_sums_of_the_events(bench: Bench) -> None:
    bench.store(_chats(11, 7))
    assert _is_exact(bench)
    assert bench.one("SELECT sum(cost_usd) FROM agent_minutes") == Decimal("0.000013")
    bench.engine.writer().command("OPTIMIZE TABLE agent_minutes FINAL")
    assert _is_exact(bench)


def _unseen(bench: Bench) -> None:
    """The view was away while the events came."""
    bench.engine.writer().command("TRUNCATE TABLE agent_minutes")


def _seen_twice(bench: Bench) -> None:
    bench.engine.writer().command(_AGAIN)


def _half_seen(bench: Bench) -> None:
    bench.engine.writer().command(
        "ALTER TABLE agent_minutes DELETE WHERE agent = 'agent-1' SETTINGS mutations_sync = 1"
    )


def _half_stored(bench: Bench) -> None:
    """Some events are lost and their sums are not; and the engine remembers no token."""
    writer = bench.engine.writer()
    for table in ("otel_traces", "agent_events", "agent_minutes"):
        writer.command(f"ALTER TABLE {table} MODIFY SETTING non_replicated_deduplication_window = 0")
    writer.command("ALTER TABLE agent_events DELETE WHERE action = 'tool_call' SETTINGS mutations_sync = 1")


@pytest.mark.parametrize("damage", [_unseen, _seen_twice, _half_seen, _half_stored])
def test_a_replay_makes_the_minutes_of_its_batch_exact(bench: Bench, damage: Callable[[Bench], None]) -> None:
    bench.engine.writer().command("TRUNCATE TABLE agent_minutes")
    bench.engine.writer().command("TRUNCATE TABLE agent_events")
    batch = bench.store(_chats(101, 12))
    damage(bench)
    assert not _is_exact(bench)
    _again(bench, batch)
    assert _is_exact(bench)
    rows = bench.one("SELECT count() FROM agent_minutes")
    _again(bench, batch)
    assert bench.one("SELECT count() FROM agent_minutes") == rows, "nothing was left to say"
    bench.store(_chats(201, 2))
    assert _is_exact(bench)


def test_a_replay_leaves_what_other_batches_did_in_the_same_minutes(bench: Bench) -> None:
    batch = bench.store(_chats(5, 12))
    other = request(
        Span(90, start=NOW + 120, attributes={"gen_ai.agent.id": "agent-0", "gen_ai.operation.name": "chat"})
    )
    bench.store(other)
    _half_seen(bench)
    _again(bench, batch)
    assert _is_exact(bench) is False, "the first batch has minutes of its own, which nobody replayed"
    bench.engine.writer().command("ALTER TABLE agent_minutes DELETE WHERE 1 SETTINGS mutations_sync = 1")
    for each in (batch, Batch("batch-1", 1, 1, 0, (_chats(1, 10),))):
        _again(bench, each)
    assert _is_exact(bench)


def test_a_database_from_before_is_counted_once_however_often_its_start_dies(bench: Bench) -> None:
    writer = bench.engine.writer()
    for _ in range(2):
        writer.command("DELETE FROM fusebox_schema WHERE number = 15")
        schema.apply(writer)
        assert _is_exact(bench)
    bench.store(_chats(301, 3))
    assert _is_exact(bench)
