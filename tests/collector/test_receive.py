"""*receive* as its senders meet it: the real role in a process of its own, over real HTTP and gRPC."""

from __future__ import annotations

import gzip
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc.status_pb2 import Status
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter

from collector.spool import Reader
from collector.tokens import Tokens
from fusebox.eventmap import SpanFacts
from fusebox.supervisor import ServiceFailed
from tests.collector.otlp_samples import as_json, request, span, whole
from tests.fixtures.collector import Roles, StartRoles, starting, until
from tests.need import need

PROTOBUF, JSON = "application/x-protobuf", "application/json"
EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Roles]:
    with starting(tmp_path_factory.mktemp("receive")) as start:
        yield start("receive")


@pytest.fixture
def receive(running: Roles) -> Roles:
    """One for all tests of this file; each finds in the spool what it has sent itself."""
    reader = Reader(running.config.data_dir / "spool", "keep")
    for record in reader.read(100_000, 1 << 30):
        reader.commit(record.number)
    return running


@pytest.fixture
def own(roles: StartRoles) -> Roles:
    """For tests that end it, or count what it did."""
    return roles("receive")


def stored(roles: Roles, reader: str = "keep") -> list[SpanFacts]:
    """Every span in the spool that was not read before."""
    records = Reader(roles.config.data_dir / "spool", reader).read(100_000, 1 << 30)
    return [facts for record in records for facts in whole(record.payload)]


def post(
    roles: Roles,
    body: bytes,
    content_type: str = PROTOBUF,
    *,
    path: str = "/v1/traces",
    token: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> tuple[int, bytes, Mapping[str, str]]:
    """Send a request; an error status is an answer, too."""
    sent = {"content-type": content_type, "authorization": f"Bearer {token or roles.token()}", **(headers or {})}
    ask = urllib.request.Request(roles.info("receive")["url"] + path, body, sent)
    try:
        with urllib.request.urlopen(ask, timeout=20) as answer:
            return answer.status, answer.read(), answer.headers
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read(), error.headers


def get(roles: Roles, path: str) -> str:
    with urllib.request.urlopen(roles.info("receive")["url"] + path, timeout=20) as answer:
        return str(answer.read().decode())


def call(roles: Roles, body: bytes, token: str | None, **options: Any) -> bytes:
    """Export over gRPC."""
    with grpc.insecure_channel(
        roles.info("receive")["grpc"], options=[("grpc.max_send_message_length", -1)]
    ) as channel:
        metadata = [("authorization", f"Bearer {token}")] if token else []
        return bytes(channel.unary_unary(EXPORT)(body, metadata=metadata, timeout=20, **options))


def trace(exporter: SpanExporter, names: list[str]) -> None:
    """What a user of the OpenTelemetry SDK does."""
    provider = TracerProvider(resource=Resource({"service.name": "shop"}), shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    for name in names:
        provider.get_tracer("test").start_span(name, attributes={"gen_ai.agent.id": name, "list": ["a", "b"]}).end()
    provider.shutdown()


@pytest.mark.parametrize("compression", list(Compression))
def test_the_stock_http_exporter_delivers(receive: Roles, compression: Compression) -> None:
    headers = {"authorization": f"Bearer {receive.token()}"}
    url = receive.info("receive")["url"] + "/v1/traces"
    trace(HttpExporter(url, headers=headers, compression=compression), ["a1", "a2"])
    facts = stored(receive)
    assert [f.attributes["gen_ai.agent.id"] for f in facts] == ["a1", "a2"]
    assert {f.service for f in facts} == {"shop"}


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
def test_the_stock_grpc_exporter_delivers(receive: Roles, compression: grpc.Compression) -> None:
    headers = {"authorization": f"Bearer {receive.token()}"}
    endpoint = receive.info("receive")["grpc"]
    trace(GrpcExporter(endpoint, insecure=True, headers=headers, compression=compression), ["a1", "a2"])
    assert [f.attributes["gen_ai.agent.id"] for f in stored(receive)] == ["a1", "a2"]


def test_every_way_in_stores_equal_spans(receive: Roles) -> None:
    """The same request four ways; different tokens, so that they do not count as one request sent again."""
    tokens = Tokens(receive.config.data_dir / "principals.json")
    message = request(
        span({"n": 7, "big": 2**62, "f": 0.5, "t": True, "list": [1, "x", {"k": ["v"]}], "raw": b"\x00\xff"})
    )
    plain = message.SerializeToString()
    assert post(receive, plain, token=tokens.add("p1"))[0] == 200
    assert post(receive, as_json(message), JSON, token=tokens.add("p2"))[0] == 200
    zipped = gzip.compress(plain[:50]) + gzip.compress(plain[50:])
    assert post(receive, zipped, token=tokens.add("p3"), headers={"content-encoding": "gzip"})[0] == 200
    call(receive, plain, tokens.add("p4"))
    first, *others = stored(receive)
    assert first.attributes["list"] == '[1,"x",{"k":["v"]}]'
    assert first.attributes["big"] == 2**62
    assert first.end - first.start == 1.0
    assert others == [first] * 3


def test_a_span_belongs_to_whom_the_token_may_speak_for(receive: Roles) -> None:
    token = Tokens(receive.config.data_dir / "principals.json").add("billing", ["invoice-bot"])
    now = time.time_ns()
    spans = [
        span({"gen_ai.agent.id": agent, "fusebox.tenant": "x"}, start_time_unix_nano=now, end_time_unix_nano=now)
        for agent in ("invoice-bot", "ticket-helper")
    ]
    post(receive, request(*spans).SerializeToString(), token=token)
    own, forged = stored(receive)
    assert own.attributes == {"gen_ai.agent.id": "invoice-bot", "fusebox.tenant": "default"}
    assert forged.attributes["gen_ai.agent.id"] == "billing"
    assert forged.attributes["fusebox.claimed_agent"] == "ticket-helper"


@pytest.mark.parametrize("token", ["nonsense", " "])
def test_without_a_token_nothing_is_stored_and_the_answer_names_the_fix(receive: Roles, token: str) -> None:
    body = request(span()).SerializeToString()
    status, answer, headers = post(receive, body, token=token)
    assert status == 401
    assert "fusebox tokens add" in Status.FromString(answer).message
    assert headers["www-authenticate"] == "Bearer"
    with pytest.raises(grpc.RpcError, match=r"agent\.token") as refused:
        call(receive, body, token)
    assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
    assert stored(receive) == []


@pytest.mark.parametrize(
    ("signal", "old"),
    [
        ("traces", {"resourceSpans": [{"instrumentationLibrarySpans": [{"spans": [{"name": "x"}]}]}]}),
        ("traces", {"resource_spans": [{"instrumentation_library_spans": [{"spans": [{"name": "x"}]}]}]}),
        ("logs", {"resourceLogs": [{"instrumentationLibraryLogs": [{"logRecords": [{"body": {}}]}]}]}),
    ],
)
def test_json_from_before_2022_is_refused_and_told_so(receive: Roles, signal: str, old: dict[str, Any]) -> None:
    status, answer, _ = post(receive, json.dumps(old).encode(), JSON, path=f"/v1/{signal}")
    assert status == 400
    assert "before 2022" in json.loads(answer)["message"]


BAD_BODIES = {
    "random bytes": (b"\xff\x00garbage" * 9, PROTOBUF),
    "truncated": (request(span()).SerializeToString()[:-5], PROTOBUF),
    "invalid utf-8": (b"\n\x0c\x12\n\x12\x08*\x06\xff\xfe\xfd\xfc\xfb\xfa", PROTOBUF),
    "deep nesting": (b"\x0a\x02" * 10_000, PROTOBUF),
    "not json": (b"{", JSON),
    "json of another shape": (b'{"resourceSpans": 7}', JSON),
    "json list": (b"[]", JSON),
    "json with a wrong type": (b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"name": 3}]}]}]}', JSON),
    "deep json": (b'{"a":' * 50_000, JSON),
    "lone surrogate": (b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"name": "\\ud800"}]}]}]}', JSON),
    "lone surrogate in a name": (b'{"resourceSpans": [{"s\\ud800copeSpans": []}]}', JSON),
    "number out of range": (b'{"resourceSpans":[{"scopeSpans":[{"spans":[{"startTimeUnixNano":"1e99"}]}]}]}', JSON),
}


@pytest.mark.parametrize("name", BAD_BODIES)
def test_a_malformed_body_is_400_with_a_status(receive: Roles, name: str) -> None:
    body, content_type = BAD_BODIES[name]
    status, answer, _ = post(receive, body, content_type)
    message = Status.FromString(answer).message if content_type == PROTOBUF else json.loads(answer)["message"]
    assert status == 400, message
    assert "Traceback" not in message
    assert len(message) < 400
    assert stored(receive) == []
    assert post(receive, request(span()).SerializeToString())[0] == 200


def test_encodings_and_paths_that_are_not_served(receive: Roles) -> None:
    body = request(span()).SerializeToString()
    assert post(receive, body, "text/plain")[0] == 415
    assert post(receive, body, headers={"content-encoding": "br"})[0] == 415
    assert post(receive, body, headers={"content-encoding": "gzip, gzip"})[0] == 415
    assert post(receive, body, path="/nowhere")[0] == 404
    with pytest.raises(urllib.error.HTTPError, match="405"):
        get(receive, "/v1/traces")


BOMB = bytes(64 << 20)


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", gzip.compress(BOMB)),
        ("gzip", gzip.compress(bytes(9 << 20)) * 2),
        ("deflate", zlib.compress(BOMB)),
        ("", bytes(17 << 20)),
    ],
    ids=["gzip", "two gzip members", "deflate", "plain"],
)
def test_a_bomb_is_413_and_costs_little_memory(receive: Roles, encoding: str, body: bytes) -> None:
    before = _resident(receive.info("receive")["pid"])
    assert post(receive, body, headers={"content-encoding": encoding})[0] == 413
    assert _resident(receive.info("receive")["pid"]) - before < 80 << 20


def test_a_grpc_bomb_is_refused(receive: Roles) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        call(receive, BOMB, receive.token(), compression=grpc.Compression.Gzip)
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def _resident(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_spans_with_wrong_ids_are_named_and_the_good_ones_kept(receive: Roles) -> None:
    good = span(name="good")
    bad = [span(trace_id=b"short"), span(span_id=bytes(8)), span(trace_id=bytes(16))]
    status, answer, _ = post(receive, request(bad[0], good, *bad[1:]).SerializeToString())
    partial = ExportTraceServiceResponse.FromString(answer).partial_success
    assert (status, partial.rejected_spans) == (200, 3)
    assert "trace id" in partial.error_message
    assert [f.span_id for f in stored(receive)] == [good.span_id.hex()]
    wrong = as_json(request(good)).replace(good.trace_id.hex().encode(), b"not hex at all")
    _, answer, _ = post(receive, wrong, JSON)
    assert json.loads(answer)["partialSuccess"]["rejectedSpans"] == "1"
    assert len(stored(receive)) == 1


def test_a_request_sent_again_is_stored_once_even_after_a_restart(own: Roles) -> None:
    body = request(span()).SerializeToString()
    assert post(own, body)[:2] == post(own, body)[:2] == (200, b"")
    call(own, body, own.token())
    own.kill("receive")
    assert post(own, body)[0] == 200
    assert len(stored(own)) == 1


def test_a_full_spool_is_503_and_told_when_to_retry(roles: StartRoles) -> None:
    receive = roles("receive", env={"FUSEBOX_SPOOL_MAX_BYTES": "20000"})
    filler = {"filler": "x" * 8000}
    assert [post(receive, request(span(filler)).SerializeToString())[0] for _ in range(3)] == [200, 200, 503]
    with pytest.raises(urllib.error.HTTPError, match="503") as ill:
        get(receive, "/healthz")
    assert b"spool_max_bytes" in ill.value.read()
    status, _, headers = post(receive, request(span(filler)).SerializeToString())
    assert (status, headers["retry-after"]) == (503, "5")
    with pytest.raises(grpc.RpcError, match="spool_max_bytes") as refused:
        call(receive, request(span(filler)).SerializeToString(), receive.token())
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert b"RetryInfo" in dict(refused.value.trailing_metadata())["grpc-status-details-bin"]
    assert len(stored(receive)) == 2


def test_health_and_metrics_need_no_token(own: Roles) -> None:
    post(own, request(span(), span()).SerializeToString())
    post(own, b"\xff")
    assert get(own, "/healthz") == "ok\n"
    text = get(own, "/metrics")
    assert "fusebox_spans_stored_total 2\n" in text
    assert "fusebox_requests_refused_total 1\n" in text
    assert 'fusebox_spool_cursor{reader="watch"} 0\n' in text
    for line in text.splitlines():
        assert re.fullmatch(r'# (HELP|TYPE) \w+ .+|\w+(\{\w+="[^"]*"\})? \S+', line)


@pytest.mark.parametrize("setting", ["http_port", "grpc_port"])
def test_a_taken_port_is_named_with_its_setting(roles: StartRoles, setting: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        with pytest.raises(ServiceFailed, match=f"port {port} on 127.0.0.1 is taken.*FUSEBOX_{setting.upper()}"):
            roles("receive", env={f"FUSEBOX_{setting.upper()}": port})


def test_a_second_receive_on_the_same_folder_is_refused(receive: Roles, roles: StartRoles) -> None:
    with pytest.raises(ServiceFailed, match=str(receive.info("receive")["pid"])):
        roles("receive", data_dir=receive.config.data_dir)


def test_an_orderly_stop_takes_the_announcement_back(own: Roles) -> None:
    post(own, request(span()).SerializeToString())
    own.supervisor.stop()
    assert not (own.config.data_dir / "run" / "receive.json").exists()
    assert len(stored(own)) == 1
    assert "Traceback" not in own.log("receive")


def test_the_disk_has_it_before_the_sender_hears_200(own: Roles, tmp_path: Path) -> None:
    """strace, not trust: fdatasync of the segment returns before the answer is sent."""
    out = tmp_path / "strace"
    pid = own.info("receive")["pid"]
    tracer = subprocess.Popen(
        [need("strace", "apt-get install strace"), "-f", "-y", "-e", "trace=fdatasync,sendto,write,writev,sendmsg",
         "-o", str(out), "-p", str(pid)],
        stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert tracer.stderr is not None
        assert b"attached" in tracer.stderr.readline()
        assert post(own, request(span()).SerializeToString())[0] == 200
        until(lambda: "HTTP/1.1 200" in out.read_text(), "strace saw the answer")
    finally:
        tracer.send_signal(signal.SIGINT)
        tracer.wait(10)
        assert tracer.stderr is not None
        tracer.stderr.close()
    lines = out.read_text().splitlines()
    synced = next(i for i, line in enumerate(lines) if "fdatasync" in line and "= 0" in line)
    answered = next(i for i, line in enumerate(lines) if "HTTP/1.1 200" in line)
    assert synced < answered
    assert any(".seg>" in line for line in lines[: synced + 1])


@pytest.mark.faults
def test_kills_lose_nothing_that_was_acknowledged(own: Roles) -> None:
    """SIGKILL under load, again and again; the oracle knows what was acknowledged."""
    sender = subprocess.Popen(
        [sys.executable, "-m", "tests.collector.oracle", str(own.config.data_dir)],
        stdout=subprocess.PIPE,
        text=True,
    )
    acknowledged: set[str] = set()
    try:
        for _ in range(5):
            acknowledged.update(_lines(sender, 25))
            own.kill("receive")
        acknowledged.update(_lines(sender, 25))
    finally:
        sender.terminate()
        rest, _ = sender.communicate(timeout=20)
    acknowledged.update(rest.split())
    found = [f.span_id for f in stored(own)]
    assert acknowledged <= set(found)
    assert len(found) == len(set(found)), "a retried request is stored once"


def _lines(process: subprocess.Popen[str], count: int) -> list[str]:
    assert process.stdout is not None
    return [process.stdout.readline().strip() for _ in range(count)]


def test_a_slow_sender_does_not_hold_up_others(receive: Roles) -> None:
    url = receive.info("receive")["url"]
    host, port = url.removeprefix("http://").split(":")
    head = f"POST /v1/traces HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {receive.token()}\r\n"
    slow = [socket.create_connection((host, int(port))) for _ in range(40)]
    try:
        for sock in slow:
            sock.sendall((head + f"content-type: {PROTOBUF}\r\ncontent-length: 100\r\n\r\n").encode() + b"\n")
        started = time.monotonic()
        assert post(receive, request(span()).SerializeToString())[0] == 200
        assert time.monotonic() - started < 5
    finally:
        for sock in slow:
            sock.close()
