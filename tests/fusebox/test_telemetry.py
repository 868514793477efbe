"""Telemetry: never blocks, never lies about what was delivered, never blinded by a header."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from fusebox import happenings
from fusebox.buffer import BatchRefused, SpanBuffer
from fusebox.clock import ManualClock
from fusebox.otlp import OtlpExporter
from fusebox.span import Span
from fusebox.telemetry import Telemetry, ids
from tests.fixtures.agents import eventually
from tests.fixtures.authority import Authority
from tests.fixtures.secured import Secured
from tests.need import PATIENCE_S


class Sink(SpanExporter):
    """Keeps what it is given; ``mood`` may refuse, fail or raise first."""

    def __init__(self, mood: Callable[[Sequence[ReadableSpan]], SpanExportResult] | None = None) -> None:
        self.names: list[str] = []
        self.mood = mood
        self.closed = threading.Event()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self.mood(spans) if self.mood else SpanExportResult.SUCCESS
        if result is SpanExportResult.SUCCESS:
            self.names += [span.name for span in spans]
        return result

    def shutdown(self) -> None:
        self.closed.set()


def record(telemetry: Telemetry, *names: str) -> None:
    for name in names:
        with telemetry.span(name, SpanKind.INTERNAL, {}):
            pass


def open_telemetry(exporter: SpanExporter | None) -> Telemetry:
    return Telemetry(exporter, service="agent", clock=ManualClock())


def test_spans_arrive_in_order_and_on_our_clock() -> None:
    seen: list[ReadableSpan] = []

    def keep(spans: Sequence[ReadableSpan]) -> SpanExportResult:
        seen.extend(spans)
        return SpanExportResult.SUCCESS

    clock = ManualClock(1000.0)
    telemetry = Telemetry(Sink(keep), service="agent", clock=clock)
    with telemetry.span("work", SpanKind.CLIENT, {"a": 1}):
        clock.advance(2.5)
    record(telemetry, "more")
    assert telemetry.flush(5)
    telemetry.stop()
    assert [span.name for span in seen] == ["work", "more"]
    assert (seen[0].start_time, seen[0].end_time) == (1000 * 10**9, 1_002_500_000_000)
    assert seen[0].resource.attributes["service.name"] == "agent"


def test_what_is_told_to_a_span_that_has_ended_is_ignored() -> None:
    seen: list[ReadableSpan] = []
    go_on = threading.Event()

    def keep(spans: Sequence[ReadableSpan]) -> SpanExportResult:
        seen.extend(spans)
        return SpanExportResult.SUCCESS if go_on.wait(10) else SpanExportResult.FAILURE

    telemetry = open_telemetry(Sink(keep))
    with telemetry.span("first", SpanKind.CLIENT, {}):
        pass
    eventually(lambda: seen, what="the exporter is at work")
    with telemetry.span("second", SpanKind.CLIENT, {"a": 1}) as span:
        pass
    span.update_name("renamed")  # it is not exported yet
    span.set_status(StatusCode.ERROR, "too late")
    span.add_link(span.get_span_context())
    span.add_event("too late")
    span.set_attribute("b", 2)
    go_on.set()
    assert telemetry.flush(5)
    telemetry.stop()
    late = seen[-1]
    assert (late.name, late.status.status_code, late.links, late.events) == ("second", StatusCode.UNSET, (), ())
    assert "b" not in (late.attributes or {})


def test_a_failure_marks_the_span_and_goes_on_its_way() -> None:
    seen: list[ReadableSpan] = []
    telemetry = open_telemetry(Sink(lambda spans: seen.extend(spans) or SpanExportResult.SUCCESS))  # type: ignore[func-returns-value]
    with pytest.raises(LookupError), telemetry.span("work\udcff", SpanKind.CLIENT, {}):
        raise LookupError("gone \ud800")
    assert telemetry.flush(5)
    telemetry.stop()
    assert seen[0].name == "work?"
    assert seen[0].attributes
    assert seen[0].attributes["error.type"] == "LookupError"
    assert (seen[0].status.is_ok, seen[0].status.description) == (False, "gone ?")


def test_a_sampling_flag_in_a_header_does_not_hide_a_span() -> None:
    sink = Sink()
    telemetry = open_telemetry(sink)
    context = TraceContextTextMapPropagator().extract({"traceparent": f"00-{'a' * 32}-{'b' * 16}-00"})
    unsampled = trace.get_current_span(context).get_span_context()
    with telemetry.span("work", SpanKind.CONSUMER, {}, parent=unsampled) as span:
        assert ids(span)[0] == "a" * 32
    assert telemetry.flush(5)
    telemetry.stop()
    assert sink.names == ["work"]


def test_without_an_exporter_spans_have_ids_and_stop_is_legal() -> None:
    telemetry = open_telemetry(None)
    with telemetry.span("work", SpanKind.CLIENT, {}) as span:
        assert len(ids(span)[0]) == 32
    assert telemetry.flush(0)
    telemetry.stop()
    telemetry.stop()


def test_what_was_buffered_while_the_collector_was_away_is_sent_when_it_is_back() -> None:
    away = threading.Event()
    away.set()

    def mood(spans: Sequence[ReadableSpan]) -> SpanExportResult:
        if away.is_set():
            raise ConnectionError("nobody there")
        return SpanExportResult.SUCCESS

    sink = Sink(mood)
    telemetry = open_telemetry(sink)
    record(telemetry, "a", "b")
    assert not telemetry.flush(0.3)
    assert telemetry.pending == 2
    away.clear()
    assert telemetry.flush(5)
    telemetry.stop()
    assert sink.names == ["a", "b"]


def test_a_batch_is_tried_again_as_it_was() -> None:
    tried: list[list[str]] = []

    def lose_the_answer_once(spans: Sequence[ReadableSpan]) -> SpanExportResult:
        tried.append([span.name for span in spans])
        if len(tried) == 1:
            record(telemetry, "later")
            return SpanExportResult.FAILURE
        return SpanExportResult.SUCCESS

    telemetry = open_telemetry(Sink(lose_the_answer_once))
    record(telemetry, "first")
    assert telemetry.flush(10)
    telemetry.stop()
    assert tried[0] == tried[1], "the collector must be able to recognise the request"
    assert tried[2] == ["later"]


def test_a_full_buffer_drops_and_counts_and_never_blocks() -> None:
    before = happenings.counts()["spans_dropped"]
    release = threading.Event()

    def stuck(spans: Sequence[ReadableSpan]) -> SpanExportResult:
        release.wait(10)
        return SpanExportResult.FAILURE

    buffer = SpanBuffer(Sink(stuck), capacity=3)
    opened = Telemetry(None, service="x", clock=ManualClock()).open("x", SpanKind.INTERNAL, {})
    opened.close()
    started = time.monotonic()
    for _ in range(5):
        buffer.put(opened.span)
    assert time.monotonic() - started < 5
    assert buffer.pending == 3
    assert happenings.counts()["spans_dropped"] == before + 2
    release.set()
    buffer.shutdown(0.2)
    assert happenings.counts()["spans_dropped"] == before + 5


def test_a_span_that_ends_just_as_others_are_sent_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    sink, readable, late = Sink(), Span.readable, ["late"]
    telemetry = open_telemetry(sink)

    def meanwhile(span: Span) -> ReadableSpan:
        while late:
            record(telemetry, late.pop())
        return readable(span)

    monkeypatch.setattr(Span, "readable", meanwhile)
    record(telemetry, "one", "two", "three")
    assert telemetry.flush(5)
    telemetry.stop()
    assert sink.names == ["one", "two", "three", "late"]


def test_one_span_that_is_refused_does_not_hold_up_the_others() -> None:
    before = happenings.counts()["spans_dropped"]

    def mood(spans: Sequence[ReadableSpan]) -> SpanExportResult:
        if any(span.name == "poison" for span in spans):
            raise BatchRefused("bad span")
        return SpanExportResult.SUCCESS

    sink = Sink(mood)
    telemetry = open_telemetry(sink)
    wanted = [f"n{i}" for i in range(100)]
    record(telemetry, *wanted[:37], "poison", *wanted[37:])
    assert telemetry.flush(5)
    telemetry.stop()
    assert sink.names == wanted
    assert happenings.counts()["spans_dropped"] == before + 1


def test_what_ends_while_others_are_sent_waits_for_the_next_round() -> None:
    sizes: list[int] = []
    opened = Telemetry(None, service="x", clock=ManualClock()).open("x", SpanKind.INTERNAL, {})
    opened.close()

    def busy(spans: Sequence[ReadableSpan]) -> SpanExportResult:
        sizes.append(len(spans))
        if len(sizes) == 1:
            for _ in range(3):
                buffer.put(opened.span)
        return SpanExportResult.SUCCESS

    buffer = SpanBuffer(Sink(busy), interval=3600)
    buffer.put(opened.span)
    assert buffer.flush(10)
    assert (sizes, buffer.pending) == ([1], 3)
    assert buffer.flush(10)
    buffer.shutdown()
    assert sizes == [1, 3]


def test_flushing_waits_for_what_has_ended_and_not_for_what_others_go_on_to_do() -> None:
    enough = threading.Event()

    def go_on(_: Sequence[ReadableSpan]) -> SpanExportResult:
        if not enough.is_set():
            record(telemetry, "more")  # there is never nothing left
        return SpanExportResult.SUCCESS

    sink = Sink(go_on)
    telemetry = open_telemetry(sink)
    for number in range(3):
        record(telemetry, f"mine {number}")
        assert telemetry.flush(10)
        assert f"mine {number}" in sink.names
    assert telemetry.pending > 0
    enough.set()
    telemetry.stop()


def test_stopping_ends_the_thread_and_closes_the_exporter() -> None:
    sink = Sink()
    telemetry = open_telemetry(sink)
    record(telemetry, "last")
    telemetry.stop()
    assert sink.names == ["last"]
    assert sink.closed.wait(1)
    record(telemetry, "too late")
    assert telemetry.pending == 0


class Collector(ThreadingHTTPServer):
    """An OTLP receiver that answers each request with the next status of ``script`` (then 200)."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Receive)
        self.script: list[int] = []
        self.tokens: list[str | None] = []
        self.spans: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Receive(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.tokens.append(self.headers.get("authorization"))
        status = self.server.script.pop(0) if self.server.script else 200
        if status == 200:
            request = ExportTraceServiceRequest.FromString(body)
            self.server.spans += [s.name for r in request.resource_spans for c in r.scope_spans for s in c.spans]
        self.send_response(status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_the_stock_exporter_delivers_with_its_token_and_past_a_proxy(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    telemetry = open_telemetry(OtlpExporter(collector.url + "/", "tok"))
    record(telemetry, "a")
    assert telemetry.flush(5)
    telemetry.stop()
    assert (collector.spans, collector.tokens) == (["a"], ["Bearer tok"])


@pytest.mark.parametrize("token", ["tok", None])
def test_a_netrc_puts_no_password_in_the_token_s_place(
    collector: Collector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, token: str | None
) -> None:
    (tmp_path / "netrc").write_text("machine collector.test login ops password hunter2\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("HTTP_PROXY", collector.url)  # which is asked for every host that is not this machine
    for name in ("http_proxy", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    telemetry = open_telemetry(OtlpExporter("http://collector.test", token))
    record(telemetry, "a")
    assert telemetry.flush(5)
    telemetry.stop()
    assert (collector.spans, collector.tokens) == (["a"], [f"Bearer {token}" if token else None])


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Authority:
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    return Authority(tmp_path, "authority")


def test_the_stock_exporter_believes_whom_our_other_connections_believe(
    collector: Collector, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    with Secured(collector.url, authority.issue("server")) as secured:
        telemetry = open_telemetry(OtlpExporter(secured.url, "tok"))
        record(telemetry, "a")
        assert telemetry.flush(5)
        telemetry.stop()
    assert (collector.spans, collector.tokens) == (["a"], ["Bearer tok"])


@pytest.mark.parametrize("variable", ["", "OTEL_EXPORTER_OTLP_CERTIFICATE", "REQUESTS_CA_BUNDLE"])
def test_an_unknown_collector_gets_nothing_and_the_log_says_why(
    collector: Collector, authority: Authority, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    if variable:  # which names the only ones to believe
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
        monkeypatch.setenv(variable, str(Authority(tmp_path, "another").file))
    caplog.set_level("INFO", "fusebox")
    with Secured(collector.url, authority.issue("server")) as secured:
        telemetry = open_telemetry(OtlpExporter(secured.url, "tok"))
        record(telemetry, "a")
        eventually(lambda: "CERTIFICATE_VERIFY_FAILED" in caplog.text, what="the reason is told")
        assert "SSL_CERT_FILE" in caplog.text
        telemetry.stop(1)
    assert (collector.spans, collector.tokens) == ([], [])


@pytest.mark.parametrize("variable", ["OTEL_EXPORTER_OTLP_CERTIFICATE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_the_authorities_of_the_libraries_variables_are_believed(
    collector: Collector, authority: Authority, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, str(authority.file))
    with Secured(collector.url, authority.issue("server")) as secured:
        telemetry = open_telemetry(OtlpExporter(secured.url, "tok"))
        record(telemetry, "a")
        assert telemetry.flush(5)
        telemetry.stop()
    assert (collector.spans, collector.tokens) == (["a"], ["Bearer tok"])


def test_the_stock_exporter_is_given_bytes_and_one_that_takes_none_encodes_for_itself(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = OtlpExporter(collector.url, None)
    other._client = None
    telemetry = open_telemetry(other)
    record(telemetry, "by itself")
    assert telemetry.flush(5)
    telemetry.stop()
    monkeypatch.delattr(OTLPSpanExporter, "export")
    telemetry = open_telemetry(OtlpExporter(collector.url, None))
    record(telemetry, "as bytes")
    assert telemetry.flush(5)
    telemetry.stop()
    assert collector.spans == ["by itself", "as bytes"]


@pytest.mark.parametrize("status", [500, 503, 429, 401, 404])
def test_not_now_is_tried_again(collector: Collector, status: int) -> None:
    collector.script = [status]
    telemetry = open_telemetry(OtlpExporter(collector.url, None))
    record(telemetry, "a")
    assert telemetry.flush(10)
    telemetry.stop()
    assert collector.spans == ["a"]


@pytest.mark.parametrize("status", [400, 413])
def test_never_is_cut_down_and_given_up(collector: Collector, status: int) -> None:
    before = happenings.counts()["spans_dropped"]
    collector.script = [status, status]
    telemetry = open_telemetry(OtlpExporter(collector.url, None))
    record(telemetry, "bad", "good")
    assert telemetry.flush(10)
    telemetry.stop()
    assert collector.spans == ["good"]
    assert happenings.counts()["spans_dropped"] == before + 1


def test_a_process_ends_in_time_though_nobody_collects() -> None:
    script = """
from opentelemetry.trace import SpanKind
from fusebox.clock import SystemClock
from fusebox.otlp import OtlpExporter
from fusebox.span import Span
from fusebox.telemetry import Telemetry
print("ready", flush=True)
telemetry = Telemetry(OtlpExporter("http://127.0.0.1:1", None), service="s", clock=SystemClock())
for _ in range(2000):
    with telemetry.span("x", SpanKind.CLIENT, {}):
        pass
telemetry.stop(1.0)
print("spans left:", telemetry.pending)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    before = time.monotonic()
    out, err = process.communicate(timeout=PATIENCE_S)
    assert time.monotonic() - before < 6
    assert (process.returncode, out) == (0, "spans left: 2000\n")
    assert "Traceback" not in err


def test_spans_are_numbered_as_they_end_and_a_dropped_one_leaves_its_number_missing() -> None:
    seen: list[ReadableSpan] = []
    open_gate = threading.Event()

    def keep(spans: Sequence[ReadableSpan]) -> SpanExportResult:
        open_gate.wait(10)
        seen.extend(spans)
        return SpanExportResult.SUCCESS

    telemetry = open_telemetry(Sink(keep))
    assert telemetry._buffer
    telemetry._buffer._capacity = 3
    record(telemetry, *"abcde")  # d and e find the buffer full
    open_gate.set()
    assert telemetry.flush(5)
    record(telemetry, "f")
    assert telemetry.flush(5)
    telemetry.stop()
    assert [(span.name, span.attributes["fusebox.seq"]) for span in seen if span.attributes] == [
        ("a", 1), ("b", 2), ("c", 3), ("f", 6),
    ]  # fmt: skip
    assert [(span.attributes or {}).get("fusebox.dropped") for span in seen] == [None, None, None, 2]
    assert len({span.resource.attributes["service.instance.id"] for span in seen}) == 1


def test_each_pipeline_and_each_fork_counts_as_an_emitter_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[ReadableSpan] = []
    telemetry = open_telemetry(Sink(lambda spans: seen.extend(spans) or SpanExportResult.SUCCESS))  # type: ignore[func-returns-value]
    record(telemetry, "a", "b")
    monkeypatch.setattr("fusebox.forks._generation", 7)  # what the child of a fork sees
    record(telemetry, "c")
    assert telemetry.flush(5)
    telemetry.stop()
    assert [span.attributes["fusebox.seq"] for span in seen if span.attributes] == [1, 2, 1]
    assert len({span.resource.attributes["service.instance.id"] for span in seen}) == 2


def test_spans_that_go_nowhere_are_not_numbered() -> None:
    seen: list[ReadableSpan] = []
    telemetry = open_telemetry(None)
    telemetry.add_span_processor(
        SimpleSpanProcessor(Sink(lambda spans: seen.extend(spans) or SpanExportResult.SUCCESS))
    )  # type: ignore[func-returns-value]
    record(telemetry, "a")
    assert "fusebox.seq" not in (seen[0].attributes or {})
