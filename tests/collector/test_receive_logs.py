"""Logs and metrics as their senders meet them: the stock exporters, who a record belongs to, what is not stored."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import clickhouse_connect
import grpc
import pytest
import requests
from google.rpc.status_pb2 import Status
from opentelemetry._logs import LogRecord as ApiLogRecord
from opentelemetry._logs import SeverityNumber
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter as GrpcLogs
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter as GrpcMetrics
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter as HttpLogs
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter as HttpMetrics
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource

from collector.otlp import logs_of
from collector.receive.repeats import hash_of
from fusebox import happenings
from tests.collector.otlp_samples import as_json, log, logs_request, request, scalars, span
from tests.fixtures.collector import Roles, StartRoles, until
from tests.fixtures.receiving import JSON, Receiving, receiving
from tests.need import PATIENCE_S


@pytest.fixture
def receive(tmp_path: Path) -> Iterator[Receiving]:
    with receiving(tmp_path / "data") as running:
        yield running


def stored(receive: Receiving) -> list[LogRecord]:
    """Every log record that came into the spool since the last look."""
    resources = [rl for payload in receive.records() for rl in logs_of(payload)]
    return [record for rl in resources for scope in rl.scope_logs for record in scope.log_records]


def rows(running: Roles, statement: str) -> list[tuple[Any, ...]]:
    host, port = running.info("keep")["url"].removeprefix("http://").split(":")
    with clickhouse_connect.get_client(host=host, port=int(port)) as client:
        return [tuple(row) for row in client.query(statement).result_rows]


def test_an_event_of_the_stock_exporters_is_a_row(roles: StartRoles) -> None:
    """The GenAI conventions send evaluations and prompts as events, which are log records with a name."""
    running = roles("receive", "keep")
    info, headers = running.info("receive"), {"authorization": f"Bearer {running.token()}"}
    for exporter in (
        HttpLogs(info["url"] + "/v1/logs", headers=headers),
        GrpcLogs(info["grpc"], insecure=True, headers=headers),
    ):
        provider = LoggerProvider(Resource({"service.name": "shop"}), shutdown_on_exit=False)
        provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
        provider.get_logger("judge", "1").emit(
            ApiLogRecord(
                timestamp=1_790_000_000_000_000_007,
                severity_number=SeverityNumber.INFO,
                body={"role": "assistant"},
                event_name="gen_ai.evaluation.result",
                attributes={"gen_ai.agent.id": "helper", "gen_ai.evaluation.score.value": 0.5},
            )
        )
        provider.shutdown()
    until(lambda: rows(running, "SELECT count() FROM otel_logs") == [(2,)], "two rows")
    found = rows(
        running,
        """SELECT EventName, ServiceName, Body, toUnixTimestamp64Nano(Timestamp) % 100,
        SeverityNumber, ScopeName, LogAttributes['gen_ai.agent.id'], LogAttributes['gen_ai.evaluation.score.value'],
        _principal FROM otel_logs""",
    )
    assert set(found) == {
        ("gen_ai.evaluation.result", "shop", '{"role":"assistant"}', 7, 9, "judge", "helper", "0.5", "local")
    }
    for role, line in (
        ("receive", 'otelcol_receiver_accepted_log_records_total{receiver="otlp"} 2'),
        ("keep", 'otelcol_exporter_sent_log_records_total{exporter="clickhouse"} 2'),
    ):
        page = running.info(role)["url"] + "/metrics"
        until(lambda page=page, line=line: line in requests.get(page, timeout=PATIENCE_S).text, line)


def test_a_log_record_belongs_to_whom_the_token_may_speak_for(receive: Receiving) -> None:
    token = receive.token("billing", ("invoice-bot",))
    theirs = {"fusebox.tenant": "theirs", "fusebox.log.id": "mine"}
    records = [log("x", {"gen_ai.agent.id": agent, **theirs}) for agent in ("invoice-bot", "ticket-helper")]
    assert receive.post("logs", logs_request(*records).SerializeToString(), token)[:2] == (200, b"")
    own, forged = (scalars(record.attributes) for record in stored(receive))
    assert (own["gen_ai.agent.id"], own["fusebox.tenant"]) == ("invoice-bot", "default")
    assert (forged["gen_ai.agent.id"], forged["fusebox.claimed_agent"]) == ("billing", "ticket-helper")
    assert len({own["fusebox.log.id"], forged["fusebox.log.id"], "mine"}) == 3


def test_a_log_without_ids_or_with_wrong_ones_is_kept(receive: Receiving) -> None:
    token = receive.token("t")
    message = logs_request(log("a"), log("b", trace_id=b"short", span_id=bytes(8)), log({"k": [1]}))
    assert receive.post("logs", as_json(message), token, JSON)[:2] == (200, b"{}")
    found = stored(receive)
    assert [record.body.string_value for record in found] == ["a", "b", '{"k":[1]}']
    assert [record.trace_id + record.span_id for record in found] == [b""] * 3


def test_a_long_body_is_cut_with_its_length_and_hash(receive: Receiving) -> None:
    receive.post("logs", logs_request(log("x" * 100_000)).SerializeToString(), receive.token("t"))
    (record,) = stored(receive)
    assert len(record.body.string_value.encode()) <= 65_536
    assert "cut: 100000 bytes, sha256 " in record.body.string_value


def test_a_request_sent_again_is_stored_once(receive: Receiving) -> None:
    token, body = receive.token("t"), logs_request(log("once")).SerializeToString()
    with receive.caller() as call:
        for _ in range(2):
            assert receive.post("logs", body, token)[0] == 200
            assert call("logs", body, token) == b""
    assert len(stored(receive)) == 1
    assert hash_of("t", body) != hash_of("t", body, 1), "the same bytes as traces would be another request"


def test_malformed_logs_are_refused(receive: Receiving) -> None:
    token = receive.token("t")
    assert receive.post("logs", b"\xff", token)[0] == 400
    assert receive.post("logs", b'{"resourceLogs": [{"scopeLogs": 1}]}', token, JSON)[0] == 400
    with receive.caller() as call, pytest.raises(grpc.RpcError, match="OTLP logs request") as refused:
        call("logs", b"\xff", token)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert stored(receive) == []


@pytest.mark.parametrize(
    ("transport", "answer"),
    [
        ("http", "Failed to export metrics batch code: 404"),  # it does not show the sentence in the body
        ("grpc", "Failed to export metrics to 127.0.0.1:{port}, error code: StatusCode.UNIMPLEMENTED, error details: "
         "Fusebox stores traces and logs, not metrics; none of this was kept. Send metrics elsewhere or turn their "
         "exporter off (OTEL_METRICS_EXPORTER=none)"),
    ],
)  # fmt: skip
def test_a_stock_metrics_exporter_is_told_at_once_and_does_not_retry(
    receive: Receiving, transport: str, answer: str, caplog: pytest.LogCaptureFixture
) -> None:
    answer = answer.format(port=receive.grpc.partition(":")[2])
    headers = {"authorization": f"Bearer {receive.token('t')}"}
    exporter = (
        HttpMetrics(receive.url + "/v1/metrics", headers=headers)
        if transport == "http"
        else GrpcMetrics(receive.grpc, insecure=True, headers=headers)
    )
    refused = happenings.counts()["requests_refused"]
    provider = MeterProvider([PeriodicExportingMetricReader(exporter)], shutdown_on_exit=False)
    provider.get_meter("test").create_counter("n").add(1)
    with caplog.at_level(logging.WARNING, "opentelemetry"):
        provider.force_flush()
    said = [record.getMessage() for record in caplog.records if "Failed to export metrics" in record.getMessage()]
    assert len(said) == happenings.counts()["requests_refused"] - refused == 1, "it is not tried again"
    assert said[0].startswith(answer)
    provider.shutdown()
    assert receive.records() == []


def test_metrics_and_profiles_are_refused_with_a_word(receive: Receiving) -> None:
    status, answer, _ = receive.post("metrics", b"", "")
    assert (status, "traces and logs, not metrics; none of this was kept" in Status.FromString(answer).message) == (
        404,
        True,
    )


def test_traces_still_come_beside_logs(receive: Receiving) -> None:
    token = receive.token("t")
    receive.post("logs", logs_request(log()).SerializeToString(), token)
    receive.post("traces", request(span()).SerializeToString(), token)
    assert json.dumps([bool(logs_of(payload)) for payload in receive.records()]) == "[true, false]"
