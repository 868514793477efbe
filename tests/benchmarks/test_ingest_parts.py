"""What the ingest benchmark stands on: its corpus is agents at work, and both routes of *keep* store the same."""

from __future__ import annotations

from pathlib import Path

from benchmarks.corpus import AGENTS, SPANS, Corpus, entropy, registry
from benchmarks.python_route import PythonRoute
from benchmarks.warehouse import records
from breakers.panel import Panel
from breakers.rules import load_rules
from collector.otlp import facts_of
from fusebox.eventmap import event_of
from governance.registry import load_registry
from tests.collector.keep_bench import Bench

END = 1_790_000_000.0


def test_the_corpus_follows_from_its_seed_and_never_repeats() -> None:
    one, again = (Corpus(1, END).bodies(3) for _ in range(2))
    assert one == again
    assert len({*one, *Corpus(2, END).bodies(3)}) == 6
    facts = entropy(one)
    assert 500 < facts["bytes_per_span"] < 1000
    assert facts["zlib_ratio"] < 7


def test_agents_at_work_trip_nothing(tmp_path: Path) -> None:
    (tmp_path / "agents.toml").write_text(registry())
    known = load_registry(tmp_path / "agents.toml")
    assert len(known.agents) == AGENTS
    panel, corpus = Panel(load_rules(), known), Corpus(1, END)
    facts = [fact for body in corpus.bodies(24) for fact in facts_of(body)]
    assert len(facts) == 24 * SPANS
    events = [event for fact in facts if (event := event_of(fact))]
    assert len(events) > len(facts) // 2
    assert [panel.observe(event) for event in events].count(None) == len(events)


def test_both_routes_store_the_same_rows(tmp_path: Path) -> None:
    payloads = records(2, seed=9)
    table = "SELECT * EXCEPT (`_batch`) FROM otel_traces WHERE _batch = {id:String} ORDER BY SpanId"
    events = "SELECT * EXCEPT (`batch`) FROM agent_events WHERE batch = {id:String} ORDER BY span_id"
    with Bench(tmp_path) as bench:
        bench.inserter.write(bench.batch(*payloads, id="engine"))
        PythonRoute(bench.engine).write(bench.batch(*payloads, id="python"))
        for statement in (table, events):
            engine, python = (bench.rows(statement, id=id) for id in ("engine", "python"))
            assert len(engine) > SPANS
            assert engine == python
