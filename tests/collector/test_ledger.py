"""The token ledger: what has a row, what it says, and what its queries say of it. Every figure is counted by hand."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector import queries
from collector.audit.entry import COLUMNS
from collector.receive.stamp import stamp
from collector.repricing import changes
from collector.tokens import Principal
from collector.verbs import explain
from fusebox import names
from fusebox.prices import SHIPPED, PriceBook
from fusebox.usage import Usage
from tests.collector.keep_bench import Bench
from tests.collector.otlp_samples import request as as_received
from tests.collector.otlp_samples import span
from tests.collector.spans import NOW, Span, Value, request

PRICES = """
[[price]]
model = "house-*"
input_mtok = 1
output_mtok = 2
cache_read_mtok = 0.5
"""


def chat(span_id: int, *, parent: int = 0, status: int = 0, start: float = NOW, **more: Value) -> Span:
    attributes: dict[str, Value] = {
        "gen_ai.operation.name": "chat", "gen_ai.agent.id": "helper", "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "house-1", "gen_ai.usage.input_tokens": 100, "gen_ai.usage.output_tokens": 20,
    }  # fmt: skip
    attributes |= {key.replace("__", "."): value for key, value in more.items()}
    return Span(span_id, parent=parent, status=status, start=start, attributes=attributes)


PRICED: dict[str, Value] = {"fusebox__cost__usd": "0.25", "fusebox__cost__price": "list 1 openai/house-1"}
AGENT = {"gen_ai.operation.name": "invoke_agent", "gen_ai.usage.input_tokens": 200, "gen_ai.usage.output_tokens": 40}


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with Bench(tmp_path) as bench:
        yield bench


def ask(bench: Bench, name: str, **parameters: Any) -> list[dict[str, Any]]:
    """Through a reader, as the SQL port asks."""
    return queries.run(bench.engine.reader(), name, since=NOW - 1000, **parameters)


def test_only_leaf_inferences_that_are_counted_here_have_a_row(bench: Bench) -> None:
    bench.store(
        request(
            Span(1, attributes=AGENT),
            chat(2, parent=1),
            chat(3, parent=1, fusebox__usage__delegated=True),
            Span(4, attributes={"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "x"}),
            *(chat(10 + n, gen_ai__operation__name=o) for n, o in enumerate(("embeddings", "text_completion"))),
        )
    )
    rows = bench.rows("SELECT span_id, operation FROM token_ledger ORDER BY span_id")
    assert rows == [(f"{2:016x}", "chat"), (f"{10:016x}", "embeddings"), (f"{11:016x}", "text_completion")]


def test_every_attempt_is_a_row_and_what_failed_or_was_cut_is_wasted(bench: Bench) -> None:
    bench.store(request(chat(1, status=2, **PRICED), chat(2, fusebox__usage__cut=True, **PRICED), chat(3, **PRICED)))
    rows = [(row["outcome"], row["wasted"], row["cost_usd"]) for row in ask(bench, "ledger_rows")]
    assert rows == [("error", True, Decimal("0.25")), ("cut", True, Decimal("0.25")), ("ok", False, Decimal("0.25"))]
    totals = ask(bench, "ledger_totals")[0]
    assert (totals["cost_usd"], totals["wasted_attempts"], totals["wasted_usd"], totals["wasted_tokens"]) == (
        Decimal("0.75"), 2, Decimal("0.5"), 240
    )  # fmt: skip


def test_cache_and_reasoning_are_parts_and_are_not_added(bench: Bench) -> None:
    parts = {"gen_ai.usage.cache_read.input_tokens": 60, "gen_ai.usage.cache_creation.input_tokens": 40,
             "gen_ai.usage.reasoning.output_tokens": 20}  # fmt: skip
    bench.store(request(chat(1, **parts, **PRICED)))
    totals = ask(bench, "ledger_totals")[0]
    assert (totals["input_tokens"], totals["output_tokens"], totals["violations"]) == (100, 20, 0)
    assert (totals["cache_read_tokens"], totals["cache_creation_tokens"], totals["reasoning_tokens"]) == (60, 40, 20)


def test_a_contradiction_is_flagged_and_kept_as_it_came(bench: Bench) -> None:
    read, created = "gen_ai.usage.cache_read.input_tokens", "gen_ai.usage.cache_creation.input_tokens"
    bench.store(
        request(
            chat(1, **{read: 60, created: 41}),
            chat(2, **{read: 2**53 - 1, created: 2}),
            chat(3, **{"gen_ai.usage.reasoning.output_tokens": 21}),
            chat(4, **{read: 60, created: 40}),
            chat(5, **{"gen_ai.usage.input_tokens": str(2**53)}),
        )
    )
    rows = [(row["violation"], row["cache_read_tokens"]) for row in ask(bench, "ledger_violations")]
    assert rows == [
        ("cache exceeds input", 60), ("cache exceeds input", 2**53 - 1), ("reasoning exceeds output", 0),
        ("impossible count", 0),
    ]  # fmt: skip


_SAID: Final = (None, 0, 7, 900, -5, 2**41, 2**60, 2**63 - 1, "12", "-3", "many", "", 7.0, 7.5, True)
_COUNTS: Final = (
    names.USAGE_INPUT, names.USAGE_INPUT_OLD, names.USAGE_OUTPUT, names.USAGE_OUTPUT_OLD, names.USAGE_CACHE_READ,
    names.USAGE_REASONING,
)  # fmt: skip


def test_a_row_costs_what_its_tokens_cost_whatever_a_span_says_of_them(bench: Bench) -> None:
    """Priced by *receive*, read by the database: both see the same tokens, or there is no cost."""
    random = Random(5)
    spans = [
        span({
            **{name: value for name in _COUNTS if (value := random.choice(_SAID)) is not None},
            "gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o",
        }, start_time_unix_nano=int(NOW * 1e9), end_time_unix_nano=int(NOW * 1e9))
        for _ in range(3000)
    ]  # fmt: skip
    message = as_received(*spans)
    stamp(message, Principal("local", "default", frozenset("*")), NOW)
    bench.store(message.SerializeToString())
    rows = ask(bench, "ledger_rows", limit=10_000)
    assert len(rows) == len(spans)
    priced = [row for row in rows if row["cost_usd"] is not None]
    assert len(priced) > 100
    for row in priced:
        usage = Usage(row["input_tokens"], row["output_tokens"], row["cache_read_tokens"], 0, row["reasoning_tokens"])
        cost = SHIPPED.cost_of(usage, "gpt-4o", "openai", NOW)
        assert cost is not None
        assert row["cost_usd"] == cost.usd.quantize(Decimal("1e-12")), row
    unpriced = [row for row in rows if row["cost_usd"] is None and not row["violation"]]
    assert {row["price"] for row in unpriced} <= {"unpriced", "unmetered"}
    for row in unpriced:
        used = [row[name] for name in ("input_tokens", "output_tokens", "cache_read_tokens", "reasoning_tokens")]
        assert row["price"] == "unmetered" or max(used) >= 2**40, row


def test_counts_that_cannot_be_are_flagged_and_spoil_no_sum(bench: Bench) -> None:
    odd: tuple[Value, ...] = (-5, 2**53, 2**63 - 1, str(2**64 - 1), "-1")
    bench.store(request(*(chat(n, **{"gen_ai.usage.input_tokens": value}) for n, value in enumerate(odd, 1))))
    assert [row["violation"] for row in ask(bench, "ledger_violations")] == ["impossible count"] * len(odd)
    for table in ("agent_events", "agent_minutes", "token_ledger"):
        assert bench.one(f"SELECT sum(input_tokens) FROM {table}") == 0, table


def test_what_nobody_knows_is_never_free(bench: Bench) -> None:
    nothing: dict[str, Value] = {"gen_ai.usage.input_tokens": 0, "gen_ai.usage.output_tokens": 0}
    bench.store(
        request(chat(1), chat(2, **nothing), chat(3, fusebox__cost__usd="0", fusebox__cost__price="list 1 free/model"))
    )
    rows = [(row["cost_usd"], row["price"]) for row in ask(bench, "ledger_rows")]
    assert rows == [(None, "unpriced"), (None, "unmetered"), (Decimal(0), "list 1 free/model")]
    totals = ask(bench, "ledger_totals")[0]
    assert (totals["unpriced_attempts"], totals["unpriced_tokens"], totals["unmetered_attempts"]) == (1, 120, 1)


def test_old_names_and_spellings_of_other_collectors_are_read(bench: Bench) -> None:
    bench.engine.writer().command("""INSERT INTO otel_traces
        (Timestamp, TraceId, SpanId, ServiceName, SpanAttributes, Duration, StatusCode) VALUES
        ('2025-10-09 08:53:20', '0a', '0b', 'svc', map('gen_ai.operation.name', 'chat', 'gen_ai.system', 'openai',
         'gen_ai.request.model', 'm', 'gen_ai.usage.prompt_tokens', '7', 'gen_ai.usage.completion_tokens', '3'), 5,
         'STATUS_CODE_ERROR')""")
    rows = bench.rows("SELECT agent, provider, model, input_tokens, output_tokens, outcome FROM token_ledger")
    assert rows == [("svc", "openai", "m", 7, 3, "error")]


def test_a_retry_completes_the_ledger_and_repeats_nothing(bench: Bench) -> None:
    writer = bench.engine.writer()
    select = bench.one("SELECT as_select FROM system.tables WHERE name = 'token_ledger_mv'")
    writer.command("DROP VIEW token_ledger_mv")
    batch = bench.store(request(chat(1)), request(chat(2)))
    writer.command(f"CREATE MATERIALIZED VIEW token_ledger_mv TO token_ledger AS {select}")
    writer.command("ALTER TABLE token_ledger MODIFY SETTING non_replicated_deduplication_window = 0")
    for _ in range(2):
        bench.inserter.write(bench.batch(*batch.payloads, retried=True, id=batch.id))
        rows = bench.rows("SELECT span_id, batch FROM token_ledger ORDER BY span_id")
        assert rows == [(f"{1:016x}", batch.id), (f"{2:016x}", batch.id)]


def test_parents_are_a_cross_check(bench: Bench) -> None:
    step = Span(6, parent=5, attributes={"x": "y"})
    bench.store(
        request(
            Span(1, attributes=AGENT), chat(2, parent=1), chat(3, parent=1),  # it agrees
            Span(5, attributes=AGENT), step, chat(7, parent=6),  # one of two calls is missing below it
        )
    )  # fmt: skip
    rows = [(row["span_id"], row["input_tokens"], row["ledger_input_tokens"]) for row in ask(bench, "ledger_parents")]
    assert rows == [(f"{5:016x}", 200, 100)]


def test_the_cross_check_reads_no_days_long_before(bench: Bench) -> None:
    """Else it would be too slow over months of spans. A trace may be that old: a conversation that goes on."""
    days = 20 * 86_400.0
    old = [Span(100 + n, parent=1, start=NOW - days, attributes={"x": "y"}) for n in range(2000)]
    bench.store(request(Span(1, attributes=AGENT), chat(2, parent=1)), request(*old))
    asked = {**queries.QUERIES["ledger_parents"].defaults, "since": NOW - 3600}
    few = {"max_rows_to_read": 1000}
    rows = bench.engine.writer().query(queries.QUERIES["ledger_parents"].sql, asked, settings=few).named_results()
    assert [(row["input_tokens"], row["ledger_input_tokens"]) for row in rows] == [(200, 100)]


def test_double_counting_is_found(bench: Bench) -> None:
    same: dict[str, Value] = {"gen_ai.response.id": "r1"}
    bench.store(request(chat(1, **same), chat(2, parent=1, **same), chat(3)))
    assert [row["span_id"] for row in ask(bench, "ledger_not_leaf")] == [f"{1:016x}"]
    assert [(row["response_id"], row["attempts"]) for row in ask(bench, "ledger_repeated")] == [("r1", 2)]


def test_double_counting_is_found_behind_other_spans_and_of_a_span_that_came_twice(bench: Bench) -> None:
    http = Span(2, parent=1, attributes={"http.request.method": "POST"})
    bench.store(request(chat(1), http, chat(3, parent=2), chat(4)), request(chat(4)))
    assert [row["span_id"] for row in ask(bench, "ledger_not_leaf")] == [f"{1:016x}"]
    (again,) = ask(bench, "ledger_repeated")
    assert (again["response_id"], again["attempts"]) == ("", 2)
    assert again["spans"] == [f"{1:032x}:{4:016x}"]


def test_a_repricing_is_an_entry_of_the_journal_and_the_ledger_follows(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "prices.toml").write_text(PRICES)
    book = PriceBook.load(tmp_path / "prices.toml")
    bench.store(request(chat(1), chat(2, **{"gen_ai.usage.cache_read.input_tokens": 50}, **PRICED),
                        chat(3, gen_ai__request__model="other")))  # fmt: skip
    found = list(changes(ask(bench, "ledger_rows"), book))
    assert [(c.before, c.now) for c in found] == [
        (None, Decimal("0.000140")), (Decimal("0.25"), Decimal("0.000115")),
    ]  # fmt: skip
    rows = [list(change.body().values()) for change in found]
    entry = [
        7,
        "watch",
        datetime.fromtimestamp(NOW, UTC),
        "reprice",
        "operator:jo",
        "all",
        "contract",
        "",
        "",
        json.dumps({"rows": rows}),
        "",
        "",
        "",
    ]
    columns = list(COLUMNS)
    for _ in range(2):  # the copy may be made twice
        bench.engine.writer().insert("audit_log", [entry], column_names=columns)
    after = [(row["cost_usd"], row["price"], row["repriced"]) for row in ask(bench, "ledger_rows")]
    assert after == [
        (Decimal("0.000140"), found[0].price, 1), (Decimal("0.000115"), found[1].price, 1), (None, "unpriced", 0),
    ]  # fmt: skip
    assert found[0].price.startswith("own ")
    assert list(changes(ask(bench, "ledger_rows"), book)) == []
    models = [
        (row["model"], row["attempts"], row["tokens"], row["cost_usd"], row["unpriced_tokens"])
        for row in ask(bench, "spend", until=NOW + 1000)
    ]
    assert models == [("house-1", 2, 240, Decimal("0.000255"), 0), ("other", 1, 120, Decimal(0), 120)]


def test_a_row_knows_the_tier_it_was_served_at_and_is_repriced_by_it(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "prices.toml").write_text(PRICES + PRICES.replace("[[price]]", '[[price]]\nservice_tier = "night"'))
    bench.store(request(chat(1), chat(2, fusebox__cost__tier="night")))
    assert [row["service_tier"] for row in ask(bench, "ledger_rows")] == ["", "night"]
    found = list(changes(ask(bench, "ledger_rows"), PriceBook.load(tmp_path / "prices.toml")))
    assert [change.price.endswith(" night") for change in found] == [False, True]


def test_a_price_that_no_row_can_hold_reprices_nothing(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "prices.toml").write_text(PRICES)
    bench.store(request(chat(1, **{"gen_ai.usage.input_tokens": 2**41})))
    assert list(changes(ask(bench, "ledger_rows"), PriceBook.load(tmp_path / "prices.toml"))) == []


SANE = 2**53
TOKENS = st.integers(0, 100) | st.sampled_from([SANE - 1, SANE, 2**63, 2**64 - 1, 2**64])


def test_the_rows_that_explain_a_number_add_up_to_it_while_more_arrive(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.store(request(chat(1)))
    asking, late = queries.run, [chat(2), chat(3)]

    def run(client: Any, name: str, **parameters: Any) -> list[dict[str, Any]]:
        answer = asking(client, name, **parameters)
        if name == "ledger_rows" and late:
            bench.store(request(late.pop()))
        return answer

    monkeypatch.setattr(queries, "run", run)
    chosen = {"since": NOW - 1000}
    rows, totals = explain.rows_and_sum(bench.engine.writer(), chosen, 100)
    assert (len(rows), totals["attempts"]) == (3, 3)
    assert sum(row["input_tokens"] for row in rows) == totals["input_tokens"]


@settings(max_examples=15)
@given(st.lists(st.tuples(TOKENS, TOKENS, TOKENS, TOKENS, st.booleans()), min_size=1, max_size=20))
def test_the_ledger_agrees_with_a_sum_in_python(bench: Bench, calls: list[tuple[int, int, int, int, bool]]) -> None:
    names = ("input_tokens", "cache_read.input_tokens", "cache_creation.input_tokens", "reasoning.output_tokens")
    spans = [
        chat(
            n,
            status=2 * failed,
            **{f"gen_ai.usage.{name}": str(value) for name, value in zip(names, usage, strict=True)},
        )
        for n, (*usage, failed) in enumerate(calls, 1)
    ]
    batch = bench.store(request(*spans))
    rows = bench.rows(f"""SELECT input_tokens, cache_read_tokens, cache_creation_tokens, reasoning_tokens, violation,
        wasted FROM token_ledger WHERE batch = '{batch.id}' ORDER BY span_id""")
    assert rows == [row_of(*call) for call in calls]


def row_of(tokens: int, read: int, created: int, reasoning: int, failed: bool) -> tuple[int, int, int, int, str, bool]:
    """The ledger's rules in Python: a count no reader can hold is none, and neither is one that is no UInt64."""
    told = [n if n < SANE else 0 for n in (tokens, read, created, reasoning)]
    impossible = any(SANE <= n < 2**64 for n in (tokens, read, created, reasoning))
    doubt = "cache exceeds input" if told[1] + told[2] > told[0] else "reasoning exceeds output" if told[3] > 20 else ""
    return (*told, "impossible count" if impossible else doubt, failed)  # type: ignore[return-value]
