"""Traffic for the pages: an agent at work, one that loops until it trips, and one whose every word is hostile."""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Iterator

from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from collector import queries
from fusebox.control import ControlClient
from tests.collector.otlp_samples import request, span
from tests.dashboards.hostile import HOSTILE
from tests.fixtures.collector import Roles, until

TRACE = bytes(range(16))
LOOPER, WORKER = "ticket-helper", "label-bot"
LAPS, TASKS = 8, 4
SPANS = LAPS + 3 * TASKS + len(HOSTILE)


def send(running: Roles) -> None:
    """Send it all, and wait until it is stored and the loop has tripped."""
    _post(running, *_loop(), *_work(), *_hostile())
    client = ControlClient(running.info("watch")["url"], running.token("operator"))
    until(lambda: client.board()["trips"], "the loop trips")
    until(lambda: _stored(running) >= SPANS, "everything is stored")
    until(lambda: _about(running), "the trip is in the audit log's copy")


def call_once(running: Roles) -> None:
    """One more model call, now."""
    now = time.time_ns()
    attributes = {"gen_ai.agent.id": "late-caller", "gen_ai.operation.name": "chat", "gen_ai.usage.input_tokens": 5}
    _post(running, span(attributes, start_time_unix_nano=now - 1_000_000, end_time_unix_nano=now))


def _post(running: Roles, *spans: Span) -> None:
    headers = {"content-type": "application/x-protobuf", "authorization": f"Bearer {running.token()}"}
    address, body = running.info("receive")["url"] + "/v1/traces", request(*spans).SerializeToString()
    with urllib.request.urlopen(urllib.request.Request(address, body, headers), timeout=10) as answer:
        assert answer.status == 200


def _stored(running: Roles) -> int:
    with queries.connect(running.config) as client:
        rows = queries.run(client, "counts_by_agent")
        return sum(int(row["actions"]) for row in rows)


def _about(running: Roles) -> bool:
    with queries.connect(running.config) as client:
        return bool(queries.run(client, "audit_about", since=0.0, agent=LOOPER))


def _loop() -> Iterator[Span]:
    same = {
        "gen_ai.agent.id": LOOPER, "fusebox.action": "model_call", "gen_ai.operation.name": "chat",
        "fusebox.operation": "tickets.comment", "fusebox.target": "TICK-12", "gen_ai.request.model": "gpt-5-mini",
        "fusebox.request.hash": "00000000000000aa", "fusebox.request.simhash": "00000000000000aa",
        "fusebox.result.hash": "00000000000000bb", "gen_ai.usage.input_tokens": 900,
    }  # fmt: skip
    now = time.time_ns()
    for lap in range(LAPS):
        start = now - (LAPS - lap) * 100_000_000
        yield span(same, start_time_unix_nano=start, end_time_unix_nano=start + 10_000_000)


def _work() -> Iterator[Span]:
    """In one trace: each task is consumed, asked of a model, and a tool is called, the last time in vain."""
    base = time.time_ns() - 30_000_000_000
    for task in range(TASKS):
        shared = {
            "gen_ai.agent.id": WORKER,
            "fusebox.workflow": "labelling",
            "fusebox.request.hash": f"{task + 1:016x}",
        }
        start, parent = base + task * 1_000_000_000, (task + 1).to_bytes(8, "big")
        yield _span(start, parent, b"", "consume", {
            **shared, "fusebox.action": "consume", "fusebox.operation": "ticket.opened",
            "fusebox.lineage": "listener/00000000000000cc",
        })  # fmt: skip
        yield _span(start + 10, b"m" + parent[1:], parent, "chat", {
            **shared, "fusebox.action": "model_call", "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-5-mini", "gen_ai.usage.input_tokens": 1200,
            "gen_ai.usage.output_tokens": 80,
        })  # fmt: skip
        failed = {"error.type": "Timeout"} if task == TASKS - 1 else {}
        status = Status(code=Status.STATUS_CODE_ERROR, message="took too long") if failed else Status()
        yield _span(start + 20, b"t" + parent[1:], parent, "execute_tool labels.add", {
            **shared, "fusebox.action": "tool_call", "gen_ai.operation.name": "execute_tool",
            "fusebox.operation": "labels.add", "fusebox.target": f"TICK-{task}", **failed,
        }, status)  # fmt: skip


def _span(
    start: int, span_id: bytes, parent: bytes, name: str, attributes: dict[str, object], status: Status | None = None
) -> Span:
    return span(
        attributes, trace_id=TRACE, span_id=span_id, parent_span_id=parent, name=name, start_time_unix_nano=start,
        end_time_unix_nano=start + 250_000_000, status=status or Status(),
    )  # fmt: skip


def _hostile() -> Iterator[Span]:
    start = time.time_ns() - 20_000_000_000
    for place, text in enumerate(HOSTILE):
        said = text.replace("\x00", "")
        attributes = {
            "gen_ai.agent.id": f"hostile-{place}", "fusebox.action": "model_call", "gen_ai.operation.name": "chat",
            "fusebox.operation": said, "fusebox.target": said, "fusebox.workflow": said, "error.type": said,
            "gen_ai.request.model": said, "gen_ai.provider.name": said, "gen_ai.usage.input_tokens": 10,
            "fusebox.request.hash": f"{place + 1:016x}",
        }  # fmt: skip
        yield _span(
            start + place, b"h" + place.to_bytes(7, "big"), b"", said, attributes,
            Status(code=Status.STATUS_CODE_ERROR, message=said),
        )  # fmt: skip
