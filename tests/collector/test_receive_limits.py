"""What one sender may cost the others: slow heads, silent sockets, too much at once, and what is answered then."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from collector.receive import grpc as grpc_door
from collector.receive import http
from collector.receive.inflate import MAX_BODY
from collector.spool import Writer
from collector.tokens import Tokens
from fusebox import connections, happenings
from fusebox.supervisor import ServiceFailed
from tests.collector.otlp_samples import request, span
from tests.fixtures.collector import StartRoles, until
from tests.fixtures.receiving import METHODS, PROTOBUF, Receiving, receiving


@pytest.fixture
def receive(tmp_path: Path) -> Iterator[Receiving]:
    with receiving(tmp_path / "data") as running:
        yield running


def connect(receive: Receiving) -> socket.socket:
    host, port = receive.url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=20)


def head(receive: Receiving, token: str, length: int, extra: str = "") -> bytes:
    return (
        f"POST /v1/traces HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\ncontent-type: {PROTOBUF}\r\n"
        f"content-length: {length}\r\n{extra}\r\n"
    ).encode()


def closed(sock: socket.socket) -> bool:
    """True once the other side has closed."""
    try:
        return sock.recv(1000) == b""
    except ConnectionResetError:
        return True


@pytest.mark.parametrize(
    "sent", [b"", b"POST /v1/traces HTTP/1.1\r\nhost: x\r\nx-slow: "], ids=["nothing", "half a head"]
)
def test_a_head_that_does_not_come_ends_its_connection(
    receive: Receiving, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr(connections, "HEAD_DEADLINE_S", 0.3)
    with connect(receive) as sock:
        sock.sendall(sent)
        stop = threading.Event()
        drip = threading.Thread(target=_drip, args=(sock, stop)) if sent else None
        if drip:
            drip.start()
        assert closed(sock), "a byte now and then buys no time"
        stop.set()
        if drip:
            drip.join()


def _drip(sock: socket.socket, stop: threading.Event) -> None:
    while not stop.wait(0.05):
        try:
            sock.sendall(b"x")
        except OSError:
            return


def test_a_second_head_has_its_own_deadline(receive: Receiving, monkeypatch: pytest.MonkeyPatch) -> None:
    token, body = receive.token("t"), request(span()).SerializeToString()
    with connect(receive) as sock:
        sock.sendall(head(receive, token, len(body)) + body)
        assert sock.recv(1000).startswith(b"HTTP/1.1 200")
        monkeypatch.setattr(connections, "HEAD_DEADLINE_S", 0.3)
        sock.sendall(b"POST /v1")
        assert closed(sock)


def test_a_head_without_end_ends_its_connection(receive: Receiving) -> None:
    with connect(receive) as sock:
        sock.sendall(b"POST /v1/traces HTTP/1.1\r\nhost: " + b"x" * (connections.MAX_HEAD + 1))
        assert closed(sock)


def test_silent_connections_lock_nobody_out(receive: Receiving, monkeypatch: pytest.MonkeyPatch) -> None:
    """Idle ones, and ones that never finish a body, make room; the oldest first."""
    monkeypatch.setattr(connections.Connection, "most", 8)
    token, body = receive.token("t"), request(span()).SerializeToString()
    before = happenings.counts()["connections_cut"]
    silent = [connect(receive) for _ in range(20)]
    for sock in silent[-3:]:
        sock.sendall(head(receive, token, 100) + b"x")
    assert receive.post("traces", body, token)[0] == 200
    until(lambda: happenings.counts()["connections_cut"] - before >= 13, "the oldest were cut")
    assert closed(silent[0])
    for sock in silent:
        sock.close()


def test_more_requests_than_can_be_answered_are_429_and_told_when_to_come_again(
    receive: Receiving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "_MAX_REQUESTS", 3)
    token, body = receive.token("t"), request(span()).SerializeToString()
    slow = [connect(receive) for _ in range(3)]
    for sock in slow:
        sock.sendall(head(receive, token, len(body)) + body[:1])
    status, answer, headers = until(lambda: _busy(receive, body, token), "the fourth is refused")
    assert (status, headers["retry-after"]) == (429, "1")
    assert "try again" in Status.FromString(answer).message
    for sock in slow:
        sock.sendall(body[1:])
        assert sock.recv(1000).startswith(b"HTTP/1.1 200")
        sock.close()
    assert receive.post("traces", body, token)[0] == 200


def _busy(receive: Receiving, body: bytes, token: str):  # type: ignore[no-untyped-def]
    found = receive.post("traces", body, token)
    return found if found[0] == 429 else None


def test_too_many_bytes_at_once_are_429(receive: Receiving, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "_MAX_BUFFERED", 1000)
    token = receive.token("t")
    body = request(span({"text": "x" * 2000})).SerializeToString()
    status, _, headers = receive.post("traces", body, token)
    assert (status, headers["retry-after"]) == (429, "1")
    assert receive.post("traces", request(span()).SerializeToString(), token)[0] == 200, "what was refused is let go of"


def test_too_many_bytes_of_calls_at_once_are_resource_exhausted_with_retry_info(
    receive: Receiving, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As they are once inflated: sixty calls of 60 kB would be a gigabyte otherwise."""
    monkeypatch.setattr(grpc_door, "_MAX_BYTES", 1500)
    token, body = receive.token("t"), request(span({"text": "x" * 2000})).SerializeToString()
    with receive.caller() as call:
        with pytest.raises(grpc.RpcError) as refused:
            call("traces", body, token, compression=grpc.Compression.Gzip)
        assert call("traces", request(span()).SerializeToString(), token) == b"", "what was refused is let go of"
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert b"RetryInfo" in dict(refused.value.trailing_metadata())["grpc-status-details-bin"]


def test_more_calls_than_can_be_answered_are_resource_exhausted_with_retry_info(
    receive: Receiving, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without ``RetryInfo`` an exporter would drop its data; gRPC's own limit of calls sends none."""
    monkeypatch.setattr(grpc_door, "_MAX_CALLS", 2)
    entered, go_on = threading.Semaphore(0), threading.Event()

    def slow_append(self: Writer, payload: bytes, append=Writer.append) -> int:  # type: ignore[no-untyped-def]
        entered.release()
        go_on.wait(20)
        return append(self, payload)

    monkeypatch.setattr(Writer, "append", slow_append)
    token = receive.token("t")
    with receive.caller() as call, ThreadPoolExecutor(2) as senders:
        first = [senders.submit(call, "traces", request(span()).SerializeToString(), token) for _ in range(2)]
        for _ in first:
            assert entered.acquire(timeout=20)
        with pytest.raises(grpc.RpcError) as refused:
            call("traces", request(span()).SerializeToString(), token)
        go_on.set()
        assert [sent.result(20) for sent in first] == [b"", b""]
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    details = Status.FromString(dict(refused.value.trailing_metadata())["grpc-status-details-bin"]).details
    info = RetryInfo()
    assert details[0].Unpack(info)
    assert info.retry_delay.seconds == 1


@pytest.mark.parametrize("transport", ["http", "grpc"])
def test_the_stock_exporters_come_again_when_told_to(
    receive: Receiving, monkeypatch: pytest.MonkeyPatch, transport: str
) -> None:
    """The point of ``Retry-After`` and ``RetryInfo``: what was refused for the moment is sent again, not dropped."""
    headers = {"authorization": f"Bearer {receive.token('t')}"}
    exporter: SpanExporter = (
        HttpExporter(f"{receive.url}/v1/traces", headers=headers)
        if transport == "http"
        else GrpcExporter(receive.grpc, insecure=True, headers=headers)
    )
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("test")
    work = tracer.start_span("work")
    work.end()
    refused = happenings.counts()["requests_refused"]
    with monkeypatch.context() as full, ThreadPoolExecutor(1) as sender:
        full.setattr(http, "_MAX_REQUESTS", 0)
        full.setattr(grpc_door, "_MAX_CALLS", 0)
        sent = sender.submit(exporter.export, [work])
        until(lambda: happenings.counts()["requests_refused"] > refused, "it is refused")
        full.undo()
        assert sent.result(20) is SpanExportResult.SUCCESS
    exporter.shutdown()
    assert len(receive.records()) == 1


def test_slow_grpc_senders_hold_up_nobody_and_end(receive: Receiving, monkeypatch: pytest.MonkeyPatch) -> None:
    """More calls without a message than there are workers."""
    monkeypatch.setattr(grpc_door, "_MESSAGE_DEADLINE_S", 1.0)
    token, never = receive.token("t"), threading.Event()
    refused = happenings.counts()["requests_refused"]

    def nothing() -> Iterator[bytes]:
        never.wait(20)
        yield from ()

    with grpc.insecure_channel(receive.grpc) as channel, receive.caller() as call:
        slow = [
            channel.stream_unary(METHODS["traces"]).future(nothing(), metadata=[("authorization", f"Bearer {token}")])
            for _ in range(20)
        ]
        started = time.monotonic()
        assert call("traces", request(span()).SerializeToString(), token) == b""
        assert time.monotonic() - started < 5
        assert [one.exception(20).code() for one in slow] == [grpc.StatusCode.CANCELLED] * 20
        never.set()
    assert happenings.counts()["requests_refused"] == refused + 20, "each is counted once"


def test_grpc_calls_that_break_off_are_counted(receive: Receiving, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sender that goes away in the middle of its call, and a message beyond gRPC's limit, which we never see."""
    token, never, begun = receive.token("t"), threading.Event(), threading.Event()
    refused = happenings.counts()["requests_refused"]
    wait = grpc_door._Calls.message

    def message(self: Any, *call: Any) -> bytes:
        begun.set()
        return wait(self, *call)

    monkeypatch.setattr(grpc_door._Calls, "message", message)

    def nothing() -> Iterator[bytes]:
        never.wait(20)
        yield from ()

    with grpc.insecure_channel(receive.grpc) as channel, receive.caller() as call:
        gone = channel.stream_unary(METHODS["traces"]).future(
            nothing(), metadata=[("authorization", f"Bearer {token}")]
        )
        assert begun.wait(20)
        gone.cancel()
        until(lambda: happenings.counts()["requests_refused"] == refused + 1, "the cancelled call is counted")
        with pytest.raises(grpc.RpcError) as too_large:
            call("traces", bytes(MAX_BODY + 1), token)
        until(lambda: happenings.counts()["requests_refused"] == refused + 2, "and the one that was too large")
        never.set()
    assert too_large.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_a_revoked_token_opens_nothing_over_a_channel_that_stands(receive: Receiving) -> None:
    token = receive.token("t")
    with receive.caller() as call:
        assert call("traces", request(span()).SerializeToString(), token) == b""
        assert Tokens(receive.config.data_dir / "principals.json").remove("t")
        with pytest.raises(grpc.RpcError) as refused:
            call("traces", request(span()).SerializeToString(), token)
    assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED


def test_a_grpc_call_without_a_token_is_refused_before_its_message(receive: Receiving) -> None:
    never = threading.Event()

    def nothing() -> Iterator[bytes]:
        never.wait(20)
        yield from ()

    with grpc.insecure_channel(receive.grpc) as channel:
        call = channel.stream_unary(METHODS["logs"]).future(nothing())
        assert call.exception(20).code() is grpc.StatusCode.UNAUTHENTICATED
        never.set()


def test_a_body_announced_too_long_is_refused_and_the_sender_hears_it(receive: Receiving) -> None:
    token = receive.token("t")
    with connect(receive) as sock:
        sock.sendall(head(receive, token, 1 << 40, "expect: 100-continue\r\n"))
        assert sock.recv(1000).startswith(b"HTTP/1.1 413")
    assert receive.post("traces", bytes(40 << 20), token)[0] == 413
    assert receive.post("traces", bytes(40 << 20), "nobody")[0] == 401


def test_to_listen_on_the_network_is_refused_at_start(roles: StartRoles) -> None:
    with pytest.raises(ServiceFailed, match="would open the collector's ports to the network"):
        roles("receive", env={"FUSEBOX_HOST": "0.0.0.0"})


def test_who_pings_every_few_seconds_is_welcome_and_who_floods_is_not(receive: Receiving) -> None:
    """Exporters in Go and Java ping to keep a channel alive. gRPC says GOAWAY at the third ping that comes too soon."""
    with socket.create_connection(("127.0.0.1", int(receive.grpc.rpartition(":")[2])), timeout=20) as sock:
        sock.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _frame(_SETTINGS))
        answers = _answers(sock)
        assert next(answers) == _SETTINGS
        assert [_is_welcome(sock, answers) for _ in range(3)] == [True] * 3
        time.sleep(5.2)  # two of three came too soon
        assert _is_welcome(sock, answers)
        assert not _is_welcome(sock, answers)


_SETTINGS, _PING, _GOAWAY = 4, 6, 7


def _is_welcome(sock: socket.socket, answers: Iterator[int]) -> bool:
    """True when a ping and what follows it are answered and nothing else is said."""
    found = []
    for frame in (_frame(_PING, bytes(8)), _frame(_SETTINGS)):
        sock.sendall(frame)
        found.append(next(answers, _GOAWAY))
    return found == [_PING, _SETTINGS]


def _frame(kind: int, content: bytes = b"") -> bytes:
    return len(content).to_bytes(3, "big") + bytes((kind, 0, 0, 0, 0, 0)) + content


def _answers(sock: socket.socket) -> Iterator[int]:
    """The kinds of the frames that acknowledge something, or part."""
    with sock.makefile("rb") as file:
        while head := file.read(9):
            file.read(int.from_bytes(head[:3], "big"))
            kind, acknowledges = head[3], head[4]
            if kind == _GOAWAY or acknowledges:
                yield kind
