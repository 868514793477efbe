"""Malformed OTLP by mutation: every request is taken or refused with a reason, and what is taken the database reads.

CI tries some thousands; ``make faults`` a million. A run prints its seed, and ``--fault-seed`` repeats it.
"""

from __future__ import annotations

import random
import socket
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from collector.keep.otlp_bytes import framed, identities
from collector.receive.decode import Encoding
from collector.receive.intake import Answer, Intake
from collector.receive.refusal import Refusal, Why
from collector.receive.repeats import Repeats
from collector.receive.signals import LOGS, SIGNALS, TRACES, Signal
from collector.tokens import Principal
from fusebox.clock import SystemClock
from tests.collector.keep_bench import Bench
from tests.collector.otlp_samples import as_json, log, logs_request, request, span
from tests.faults.mutations import mutated
from tests.fixtures.receiving import receiving

ANYBODY: Final = Principal("local", "default", frozenset({"*"}))
_INFERENCE = {
    "gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-5-mini", "gen_ai.provider.name": "openai",
    "gen_ai.usage.input_tokens": 1000, "gen_ai.usage.output_tokens": 2**62, "gen_ai.agent.id": "ticket-helper",
}  # fmt: skip
_ODD = {"f": 1e308, "t": True, "list": [1, "x", {"k": ["v", b"\x00\xff"]}], "raw": b"\x00\xff", "ü": "naïve ✓"}
_TRACES = [
    request(span(_INFERENCE), span(_ODD)),
    request(
        span(
            {"gen_ai.operation.name": "execute_tool", "fusebox.lineage": "a/0123456789abcdef"}, parent_span_id=b"p" * 8
        )
    ),
    request(span(dropped_attributes_count=2**32 - 1, kind=5, start_time_unix_nano=2**64 - 1)),
]
_TRACES[1].resource_spans[0].scope_spans[0].spans[0].links.add(trace_id=b"t" * 16, span_id=b"s" * 8)
_TRACES[1].resource_spans[0].scope_spans[0].spans[0].events.add(name="e", time_unix_nano=7)
_LOGS = [
    logs_request(log({"role": "user"}, _ODD, event_name="gen_ai.evaluation.result")),
    logs_request(log(7), log(b"x")),
]
SEEDS: Final = {
    (TRACES.name, Encoding.PROTOBUF): [message.SerializeToString() for message in _TRACES],
    (TRACES.name, Encoding.JSON): [as_json(message) for message in _TRACES],
    (LOGS.name, Encoding.PROTOBUF): [message.SerializeToString() for message in _LOGS],
    (LOGS.name, Encoding.JSON): [as_json(message) for message in _LOGS],
}


class Records(list[bytes]):
    """Takes the place of the spool."""

    def append(self, payload: bytes) -> int:  # type: ignore[override]
        super().append(payload)
        return len(self)


class Fuzz:
    """Sends mutated requests to the intake, counts what becomes of them, and has the database read what was taken."""

    def __init__(self, bench: Bench, dice: random.Random) -> None:
        self.tally: Counter[str] = Counter()
        self._bench, self._dice = bench, dice
        self._records = Records()
        self._intake = Intake(self._records, SystemClock(), Repeats(SystemClock()))
        self._items: set[tuple[str, str]] = set()

    def one(self, signal: Signal, encoding: Encoding) -> None:
        body = mutated(SEEDS[signal.name, encoding], self._dice)
        answer = self._take(body, encoding, signal)
        if isinstance(answer, Refusal):
            assert answer.why in (Why.MALFORMED, Why.TOO_LARGE), (answer, body)
            assert len(str(answer)) < 400
            self.tally[answer.why.name] += 1
        else:
            self.tally["partly taken" if answer.rejected else "taken"] += 1

    def _take(self, body: bytes, encoding: Encoding, signal: Signal) -> Answer | Refusal:
        try:
            return self._intake.take(body, encoding, ANYBODY, signal)
        except Refusal as refusal:
            return refusal

    def store(self) -> None:
        """One batch, as *keep* writes it; nothing of it may be a dead letter."""
        records = [*self._records]
        self._records.clear()
        assert all(map(framed, records))
        batch = self._bench.store(*records)
        sent = Counter(identity for record in records for identity in identities(record))
        found = Counter(self._bench.rows(
            "SELECT TraceId, SpanId FROM otel_traces WHERE _batch = {b:String} "
            "UNION ALL SELECT 'log', _id FROM otel_logs WHERE _batch = {b:String}", b=batch.id,
        ))  # fmt: skip
        assert found == sent, (found - sent, sent - found)
        assert self._bench.one("SELECT count() FROM dead_letters") == 0
        self.tally["rows"] += found.total()


@pytest.fixture
def dice(request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]) -> random.Random:
    seed = request.config.getoption("--fault-seed")
    with capsys.disabled():
        print(f"\nfuzz: seed {seed}", end=" ")
    return random.Random(seed)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with Bench(tmp_path) as bench:
        yield bench


@pytest.mark.faults
@pytest.mark.timeout(3600)
def test_mutated_requests_are_taken_or_refused_and_what_is_taken_is_readable(
    bench: Bench, dice: random.Random, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    """A million requests by ``make faults``, five thousand in CI."""
    rounds = 1000 if request.config.getoption("--fault-cycles") else 5
    fuzz = Fuzz(bench, dice)
    for _ in range(rounds):
        for _ in range(250):
            for signal in SIGNALS:
                for encoding in Encoding:
                    fuzz.one(signal, encoding)
        fuzz.store()
    with capsys.disabled():
        print(dict(fuzz.tally), end=" ")
    total = rounds * 1000
    assert fuzz.tally["MALFORMED"] > total / 10, "mutations break requests"
    assert fuzz.tally["taken"] > total / 20, "and not all"
    assert fuzz.tally["partly taken"] > 0
    assert fuzz.tally["rows"] > total / 20


def test_garbage_on_the_sockets_stops_nobody(tmp_path: Path, dice: random.Random) -> None:
    """Mutated HTTP requests, several on a connection, to both ports."""
    with receiving(tmp_path / "data") as receive:
        token, body = receive.token("t"), request(span()).SerializeToString()
        head = (
            f"POST /v1/traces HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\ncontent-length: {len(body)}\r\n"
        )
        whole = head.encode() + b"content-type: application/x-protobuf\r\n\r\n" + body
        chunked = b"POST /v1/logs HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
        http2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9)
        for _ in range(150):
            for address in (receive.url.removeprefix("http://"), receive.grpc):
                host, port = address.split(":")
                with socket.create_connection((host, int(port)), timeout=20) as sock:
                    sock.sendall(b"".join(mutated([whole, chunked, http2], dice) for _ in range(3)))
        assert receive.post("traces", request(span()).SerializeToString(), token)[0] == 200
        with receive.caller() as call:
            assert call("traces", request(span()).SerializeToString(), token) == b""
