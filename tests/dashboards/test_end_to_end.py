"""The page and the real roles: what is ordered in Chromium is latched in *watch*, what *keep* stored is shown."""

from __future__ import annotations

import os
import signal
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from playwright.sync_api import Page, expect

from dashboards.service import ROLE
from fusebox.clock import SystemClock
from fusebox.control import ControlClient
from fusebox.errors import AgentKilled
from rabbitmq import Agent, Runtime
from rabbitmq.inprocess import InProcessBroker
from tests.collector.otlp_samples import request as otlp
from tests.collector.otlp_samples import span
from tests.dashboards.page import opened, sign_in, tables, texts, words
from tests.fixtures.collector import Roles, starting, until

SLOW = 20_000
LAPS = 8


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Roles]:
    """All roles, and one registered agent."""
    folder = tmp_path_factory.mktemp("end")
    registry = folder / "agents.toml"
    registry.write_text('[agents.ticket-helper]\nowner = "ann"\nteam = "support"\n')
    settings = {"FUSEBOX_AGENTS_FILE": str(registry), "FUSEBOX_DASHBOARD_PORT": "0"}
    with starting(folder) as start:
        yield start("receive", "keep", "watch", ROLE, env=settings)


def test_a_kill_from_the_page_stops_a_live_agent_and_a_resume_lifts_it(
    running: Roles, window: Page, request: pytest.FixtureRequest
) -> None:
    client = ControlClient(running.info("watch")["url"], running.token("operator"))
    runtime = Runtime.from_config(running.config, broker=InProcessBroker(), name="live", clock=SystemClock())
    agent = Agent("ticket-helper", runtime)
    agent.start()
    request.addfinalizer(lambda: runtime.stop(2))
    assert agent.context().tool("work", lambda: 1) == 1

    window.goto(running.info(ROLE)["url"])
    window.get_by_label("Operator token").fill(running.token("operator"))
    window.get_by_role("button", name="Sign in").click()
    window.get_by_role("button", name="Kill…").click(timeout=SLOW)
    _confirm(window, "Kill this agent", "argues with the label bot")
    latches = until(lambda: client.board()["latches"], "the kill is latched")

    assert [latch["scope"] for latch in latches] == ["agent:ticket-helper"]
    assert latches[0]["reason"] == "argues with the label bot"
    expect(window.get_by_text("killed by local: argues with the label bot")).to_be_visible(timeout=SLOW)
    expect(window.get_by_text("1 of 1 processes have confirmed.")).to_be_visible(timeout=SLOW)
    with pytest.raises(AgentKilled):
        agent.context().tool("work", lambda: 1)

    window.get_by_role("button", name="Resume…").click(timeout=SLOW)
    _confirm(window, "Resume this agent", "the prompt is fixed")
    until(lambda: not client.board()["latches"], "the kill is lifted")
    expect(window.get_by_role("button", name="Kill…")).to_be_visible(timeout=SLOW)


def _confirm(window: Page, label: str, reason: str) -> None:
    dialog = window.get_by_role("dialog")
    dialog.get_by_label("Reason (recorded with your name)").fill(reason)
    dialog.get_by_role("button", name=label).click()


def test_the_evidence_of_a_trip_comes_from_keep_and_the_trip_outlives_it(
    running: Roles, monkeypatch: pytest.MonkeyPatch
) -> None:
    _loop(running, "label-bot")
    client = ControlClient(running.info("watch")["url"], running.token("operator"))
    trips = until(lambda: client.board()["trips"], "the loop trips")

    count = len(trips[0]["finding"]["spans"])
    with _stopped(running, "keep"):
        page = sign_in(opened(monkeypatch, running.config.data_dir, None), running.token("operator"))
        assert "Reading the evidence" in words(page)
        assert "label-bot" in texts(page)

    evidence = until(lambda: _evidence(tables(page.run()), count), "the evidence is shown", 40)
    assert set(evidence["operation"]) == {"tickets.comment"}
    assert set(evidence["tokens in"]) == {"900"}
    assert len(set(evidence["span"])) == len(evidence["span"])

    with _stopped(running, "keep"):
        other = sign_in(opened(monkeypatch, running.config.data_dir, None), running.token("operator"))
        assert _evidence(tables(other), count) == evidence, "what one person has read, everybody sees"


@contextmanager
def _stopped(running: Roles, role: str) -> Iterator[None]:
    """It hangs, for a while."""
    pid = running.supervisor.pid(role)
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def _evidence(shown: list[list[dict[str, str]]], count: int) -> dict[str, list[str]] | None:
    """Values by fact, when every one of ``count`` spans has arrived."""
    table = next((rows for rows in shown if rows and f"Span {count}" in rows[0]), None)
    if table is None:
        return None
    return {row["Fact"]: [row[name] for name in row if name.startswith("Span ")] for row in table}


def _loop(running: Roles, agent: str) -> None:
    """The same model call with the same answer, again and again."""
    same = {
        "gen_ai.agent.id": agent, "fusebox.action": "model_call", "gen_ai.operation.name": "chat",
        "fusebox.operation": "tickets.comment", "fusebox.target": "TICK-12",
        "fusebox.request.hash": "00000000000000aa", "fusebox.request.simhash": "00000000000000aa",
        "fusebox.result.hash": "00000000000000bb", "gen_ai.usage.input_tokens": 900,
    }  # fmt: skip
    now = time.time_ns()
    laps = [_lap(same, now - (LAPS - lap) * 100_000_000) for lap in range(LAPS)]
    headers = {"content-type": "application/x-protobuf", "authorization": f"Bearer {running.token()}"}
    body = otlp(*laps).SerializeToString()
    address = running.info("receive")["url"] + "/v1/traces"
    with urllib.request.urlopen(urllib.request.Request(address, body, headers), timeout=10) as answer:
        assert answer.status == 200


def _lap(attributes: dict[str, object], start: int) -> Span:
    return span(attributes, start_time_unix_nano=start, end_time_unix_nano=start + 10_000_000)
