"""Detector scores: the highest of a minute, from the panel to a table."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from random import Random

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from breakers.panel import Panel
from breakers.rules import load_rules
from collector.otlp import facts_of
from collector.watch.scores import EVERY_S, Scores
from fusebox.clock import ManualClock
from fusebox.eventmap import event_of
from fusebox.telemetry import Telemetry
from tests.breakers.traffic import bare_comments
from tests.collector.keep_bench import Bench
from tests.collector.spans import Span, request


class Kept(SpanExporter):
    """Keeps what was exported, as the bytes that go on the wire."""

    def __init__(self) -> None:
        self.payloads: list[bytes] = []

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.payloads.append(encode_spans(spans).SerializeToString())
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        pass


def test_the_highest_score_of_a_minute_becomes_one_row(tmp_path: Path) -> None:
    # Given a panel that saw three paraphrases and then a novelty
    clock, kept, panel = ManualClock(), Kept(), Panel(load_rules())
    telemetry = Telemetry(kept, service="fusebox-watch", clock=clock)
    scores = Scores(panel, telemetry, clock, "acme")
    for one in islice(bare_comments(Random(1)), 3):
        panel.observe(one)
    # When less than a minute has passed, nothing is told; then once
    scores.tick()
    assert telemetry.pending == 0
    clock.advance(EVERY_S)
    scores.tick()
    scores.tick()
    scores.stop()
    # Then it is one row, and no action of anybody
    with Bench(tmp_path) as bench:
        bench.store(*kept.payloads)
        bench.store(*kept.payloads)
        rows = bench.rows(
            "SELECT tenant, agent, detector, round(score, 2) FROM detector_scores FINAL ORDER BY detector"
        )
        assert ("acme", "worker", "repetition", 2.96) in rows
        assert bench.one("SELECT count() FROM agent_events") == 0
    assert [event_of(facts) for payload in kept.payloads for facts in facts_of(payload)] == [None] * len(rows)


def test_times_that_nobody_can_have_meant_make_few_partitions(tmp_path: Path) -> None:
    told = {"fusebox.score.agent": "bot", "fusebox.score.detector": "rate", "fusebox.score.value": "0.9"}
    months = range(0, 2_000_000_000, 2_592_000)
    spans = (Span(n, name="fusebox.detector.score", start=start, attributes=told) for n, start in enumerate(months, 1))
    with Bench(tmp_path) as bench:
        bench.store(request(*spans))
        assert bench.one("SELECT uniqExact(_partition_id) FROM detector_scores") <= 3
        assert bench.one("SELECT count() FROM detector_scores") >= 1
        assert bench.one("SELECT count() FROM otel_traces") == len(months)
