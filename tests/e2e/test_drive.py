"""``fusebox drive`` over a real RabbitMQ into ClickHouse: each allowed event is one row, each denied one is counted."""

from __future__ import annotations

import gzip
import json
import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import clickhouse_connect
import pytest

from tests.fixtures.agents import eventually
from tests.fixtures.collector import Roles, StartRoles

SPEED = 60
LOOP_DATA = Path(os.environ.get("LOOP_DATA", Path(__file__).parents[3] / "shared" / "data" / "loops"))
WORDS = [
    "order",
    "refund",
    "invoice",
    "policy",
    "vendor",
    "ticket",
    "branch",
    "schema",
    "release",
    "claim",
    "budget",
    "address",
]


def generated(seed: int) -> Iterator[dict[str, Any]]:
    """Four agents at ordinary work and one that gets stuck on the same failing call."""
    rng, ts = random.Random(seed), 1_760_000_000.0
    for seq in range(240):
        ts += rng.uniform(0.5, 4)
        if seq >= 60 and seq % 4 == 0:
            yield event(
                seq,
                ts,
                "stuck",
                "http_post",
                "billing",
                f'{{"id": "{rng.getrandbits(32):08x}"}}',
                "timeout after 5000 ms",
                "error",
                "x-L1",
            )
        else:
            words = " ".join(rng.sample(WORDS, 6))
            yield event(
                seq,
                ts,
                f"busy-{seq % 4}",
                "search",
                f"doc-{rng.randrange(99)}",
                words,
                " ".join(rng.sample(WORDS, 5)),
                "ok",
                None,
            )


def event(
    seq: int, ts: float, agent: str, op: str, target: str, payload: str, result: str, status: str, incident: str | None
) -> dict[str, Any]:
    return {
        "stream": "x", "seq": seq, "ts": ts, "agent": agent, "operation": op, "target": target, "payload": payload,
        "result_head": result, "input_tokens": 50, "output_tokens": 5, "status": status, "label": "loop",
        "incident": incident,
    }  # fmt: skip


def stream_slice(path: Path, stream: str, first: float, seconds: float) -> list[dict[str, Any]]:
    with gzip.open(path, "rt") as lines:
        events = [e for e in map(json.loads, lines) if e["stream"] == stream]
    start = events[0]["ts"] + first
    return [e for e in events if start <= e["ts"] < start + seconds]


def drive(
    roles: StartRoles, rabbitmq_url: str, tmp_path: Path, events: list[dict[str, Any]]
) -> tuple[Roles, dict[str, Any]]:
    """Run the collector and ``fusebox drive`` on the same fast clock; returns the summary."""
    env = {"FUSEBOX_CLOCK_SPEED": str(SPEED), "FUSEBOX_AMQP_URL": rabbitmq_url}
    up = roles("receive", "keep", "watch", env=env)
    for role in ("receive", "keep", "watch"):
        up.info(role)
    file = tmp_path / "events.jsonl"
    file.write_text("\n".join(map(json.dumps, events)))
    done = subprocess.run(
        [sys.executable, "-m", "fusebox", "drive", str(file), "--json"], capture_output=True, text=True, timeout=300,
        env={**os.environ, **env, "FUSEBOX_DATA_DIR": str(up.config.data_dir)}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    summary: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return up, summary


def rows_by_event(up: Roles) -> Counter[str]:
    host, _, port = up.info("keep")["url"].removeprefix("http://").partition(":")
    client = clickhouse_connect.get_client(host=host, port=int(port))
    sql = "SELECT workflow, count() FROM agent_events WHERE action IN ('tool_call', 'model_call') GROUP BY workflow"
    try:
        return Counter(dict(client.query(sql).result_rows))
    finally:
        client.close()


def check(up: Roles, summary: dict[str, Any], sent: int) -> None:
    assert summary["sent"] == sent
    assert summary["allowed"] + summary["denied"] == sent
    assert summary["spans_undelivered"] == 0
    eventually(lambda: sum(rows_by_event(up).values()) >= summary["allowed"], 30, "every allowed event has a row")
    rows = rows_by_event(up)
    assert (len(rows), set(rows.values())) == (summary["allowed"], {1}), "exactly one row each"


@pytest.mark.timeout(300)
def test_every_event_is_one_row_or_counted_as_denied(roles: StartRoles, rabbitmq_url: str, tmp_path: Path) -> None:
    events = list(generated(seed=7))
    up, summary = drive(roles, rabbitmq_url, tmp_path, events)
    check(up, summary, len(events))
    assert "stuck" in summary["trips"]
    assert not [agent for agent in summary["trips"] if agent.startswith("busy")]
    assert summary["denied"] > 0


@pytest.mark.timeout(300)
@pytest.mark.skipif(not (LOOP_DATA / "streams.jsonl.gz").exists(), reason="the recorded streams are not here")
def test_injected_loops_of_a_recorded_stream_show_as_trips(
    roles: StartRoles, rabbitmq_url: str, tmp_path: Path
) -> None:
    events = stream_slice(LOOP_DATA / "streams.jsonl.gz", "s000", 280, 600)
    up, summary = drive(roles, rabbitmq_url, tmp_path, events)
    check(up, summary, len(events))
    assert summary["incidents"]["labelled"] >= 2
    assert summary["incidents"]["tripped"] >= summary["incidents"]["labelled"] - 1
