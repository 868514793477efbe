"""The incident, end to end with real parts: from a looping agent to an open circuit, an alert, SQL, kill and resume."""

from __future__ import annotations

import base64
import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import clickhouse_connect
import pytest

from fusebox import names
from fusebox.clock import SystemClock
from fusebox.config import Config
from fusebox.control import ControlClient
from fusebox.errors import AgentKilled, AgentTripped
from fusebox.store import open_store
from rabbitmq import Agent, Context, Runtime
from rabbitmq.broker import Message
from rabbitmq.inprocess import InProcessBroker
from tests.fixtures.agents import Inbox, eventually, looked_after
from tests.fixtures.collector import Roles, StartRoles

HELPER = "ticket-helper"
KEY = "ticket.labelled"


class Webhook:
    """Counts the alerts it is sent."""

    def __init__(self) -> None:
        self.alerts: list[dict[str, object]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                outer.alerts.append(json.loads(body))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *args: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/alerts"


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    hook = Webhook()
    yield hook
    hook.server.shutdown()
    hook.server.server_close()


@pytest.fixture
def up(roles: StartRoles, webhook: Webhook) -> Roles:
    return roles(
        "receive", "keep", "watch",
        env={
            "FUSEBOX_ALERT_WEBHOOK_URL": webhook.url, "FUSEBOX_ALERT_WEBHOOK_PRIVATE": "true",
            "FUSEBOX_ALERT_WEBHOOK_SECRET": "whsec_" + base64.b64encode(bytes(32)).decode(),
        },
    )  # fmt: skip


@pytest.fixture
def runtimes(up: Roles) -> Iterator[Callable[[], Runtime]]:
    made: list[Runtime] = []

    def make(data_dir: Path | None = None) -> Runtime:
        config = Config(data_dir=data_dir or up.config.data_dir, agents_file=Path("none.toml"))
        runtime = Runtime.from_config(config, broker=InProcessBroker(), name="test", clock=SystemClock())
        made.append(runtime)
        return runtime

    yield make
    for runtime in made:
        runtime.stop(5)


def control(up: Roles) -> ControlClient:
    return ControlClient(up.info("watch")["url"], up.token("operator"))


def tile(up: Roles, agent: str = HELPER) -> dict[str, object]:
    return next((t for t in control(up).board()["circuits"] if t["agent"] == agent), {})


def runs(up: Roles, agent: str) -> bool:
    return any(agent in process["agents"] for process in control(up).board()["processes"])


def rows(up: Roles, sql: str) -> list[tuple[object, ...]]:
    host, _, port = up.info("keep")["url"].removeprefix("http://").partition(":")
    client = clickhouse_connect.get_client(host=host, port=int(port))
    try:
        return [tuple(row) for row in client.query(sql).result_rows]
    finally:
        client.close()


def looping(runtime: Runtime, comments: Inbox) -> Agent:
    """An agent that comments on a ticket whenever its label changes, and whose comment changes the label."""
    agent = Agent(HELPER, runtime)

    @agent.on(KEY)
    def suggest(ticket: dict[str, str], ctx: Context) -> None:
        text = f"I looked into {ticket['id']} again and order 4711-{len(comments.items)} is on its way"
        ctx.tool("tickets.comment", lambda t: {"comment_id": 900 + len(comments.items)}, text, target=ticket["id"])
        comments.put(text)
        again(runtime, ticket["id"])

    return agent


def again(runtime: Runtime, ticket: str = "TICK-12") -> None:
    """The other automation: outside the bus, no trace context, no lineage."""
    runtime.broker.publish(names.EXCHANGE_EVENTS, KEY, Message(json.dumps({"id": ticket}).encode()))


def tripped(up: Roles, runtimes: Callable[[], Runtime], comments: Inbox) -> tuple[Runtime, Agent]:
    runtime = runtimes()
    agent = looping(runtime, comments)
    agent.start()
    again(runtime)
    eventually(lambda: tile(up).get("state") == "open", what="the board shows the trip")
    return runtime, agent


def test_a_loop_trips_alerts_once_and_is_visible_in_sql(
    up: Roles, runtimes: Callable[[], Runtime], webhook: Webhook, inbox: Inbox
) -> None:
    _, agent = tripped(up, runtimes, inbox)
    assert len(inbox.items) <= 6
    eventually(lambda: agent.held == 1, what="the next message waits")
    eventually(lambda: len(webhook.alerts) >= 1, what="an alert arrives")
    eventually(lambda: tile(up).get("held") == 1, what="the board counts it")
    count = f"SELECT count() FROM agent_events WHERE agent = '{HELPER}' AND action = 'tool_call'"
    eventually(lambda: rows(up, count) == [(len(inbox.items),)], what="every comment is one row")
    trips = f"SELECT count() FROM audit_log WHERE subject = '{HELPER}' AND kind = 'trip'"
    eventually(lambda: rows(up, trips) == [(1,)], what="the trip is in the audit log, once")
    assert [a["type"] for a in webhook.alerts if HELPER in json.dumps(a)].count("circuit.opened") == 1
    agent.stop()


def test_a_killed_agent_stays_killed_until_resumed_and_its_messages_come_back(
    up: Roles, runtimes: Callable[[], Runtime], inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime, begun = runtimes(), Inbox()
    agent = Agent(HELPER, runtime)

    @agent.on(KEY)
    def handle(ticket: dict[str, str], ctx: Context) -> None:
        begun.put(ticket["id"])
        inbox.put(ctx.tool("tickets.read", lambda: ticket["id"], target=ticket["id"]))

    agent.start()
    eventually(lambda: runs(up, HELPER), what="watch knows the process")
    answer = control(up).kill(f"agent:{HELPER}", "looks odd")
    eventually(lambda: control(up).receipts(answer["command"])["complete"], what="every receipt")
    with pytest.raises(AgentKilled):
        agent.context().tool("x", lambda: 1)

    # It stays killed: in a fresh process, with watch restarted, with its own latch lost.
    agent.stop()
    (up.config.data_dir / "latch" / "agents.jsonl").unlink()
    up.kill("watch")
    up.info("watch")
    second = runtimes()
    reborn = Agent(HELPER, second)
    reborn.on(KEY)(handle)
    reborn.start()
    with pytest.raises(AgentKilled):
        reborn.context().tool("x", lambda: 1)
    assert tile(up)["state"] == "forced_open"

    for n in range(3):
        second.broker.publish(
            "", names.held_queue(HELPER), Message(json.dumps({"id": f"T-{n}"}).encode(), {names.H_ORIGIN_KEY: KEY})
        )
    eventually(lambda: reborn.held == 3, what="it has seen them wait")
    looked_after(reborn, monkeypatch)
    assert begun.items == []
    control(up).resume(f"agent:{HELPER}", "checked")
    assert inbox.wait(3) == ["T-0", "T-1", "T-2"]
    eventually(lambda: tile(up)["state"] == "closed", what="the board shows it closed")
    reborn.stop()


def test_an_agent_that_was_there_first_obeys_a_collector_that_comes_later(roles: StartRoles, tmp_path: Path) -> None:
    config = Config(data_dir=tmp_path / "data", agents_file=Path("none.toml"))
    runtime = Runtime.from_config(config, broker=InProcessBroker(), name="test", clock=SystemClock())
    agent = Agent(HELPER, runtime)
    agent.start()
    assert agent.context().tool("x", lambda: 1) == 1
    up = roles("watch", data_dir=config.data_dir)
    eventually(lambda: control(up).board()["processes"], what="it takes a lease")
    answer = control(up).kill(f"agent:{HELPER}", "looks odd")
    eventually(lambda: control(up).receipts(answer["command"])["complete"], what="every receipt")
    with pytest.raises(AgentKilled):
        agent.context().tool("x", lambda: 1)
    runtime.stop()


def test_a_flushed_store_frees_nobody(roles: StartRoles, inbox: Inbox) -> None:
    up = roles("redis", "watch")
    config = Config(data_dir=up.config.data_dir, agents_file=Path("none.toml"))

    def start() -> tuple[Runtime, Agent]:
        runtime = Runtime.from_config(config, broker=InProcessBroker(), name="test", clock=SystemClock())
        agent = Agent(HELPER, runtime)
        agent.start()
        return runtime, agent

    runtime, agent = start()
    board = open_store(up.info("redis")["url"])
    control(up).kill(f"agent:{HELPER}", "looks odd")
    control(up).trip("label-bot", "looks odd as well")
    eventually(lambda: runtime.latch.killed(HELPER), what="the kill arrives")
    for key in board.keys(""):
        board.delete(key)
    eventually(lambda: board.keys(""), what="the board is put back")
    assert tile(up)["state"] == "forced_open"
    eventually(lambda: tile(up, "label-bot")["state"] == "open", what="an open circuit is open again")
    runtime.stop()
    runtime, agent = start()
    with pytest.raises(AgentKilled):
        agent.context().tool("x", lambda: 1)
    runtime.stop()
    board.close()


def test_a_loop_that_starts_again_after_a_resume_is_held_again(
    up: Roles, runtimes: Callable[[], Runtime], inbox: Inbox
) -> None:
    _, agent = tripped(up, runtimes, inbox)
    first = len(inbox.items)
    eventually(lambda: agent.held == 1)
    control(up).resume(f"agent:{HELPER}", "try again")
    eventually(lambda: len(inbox.items) > first, what="the probe is let through")
    eventually(lambda: len(control(up).board()["trips"]) >= 2, what="it trips again")
    eventually(lambda: agent.held == 1, what="and waits again")
    assert len(inbox.items) - first <= 6
    agent.stop()


def test_without_a_collector_the_inline_guards_stop_it_and_the_collector_learns_later(
    up: Roles, roles: StartRoles, runtimes: Callable[[], Runtime], inbox: Inbox
) -> None:
    first = runtimes()
    Agent(HELPER, first).start()  # it has seen a snapshot once: the latch vouches for it
    first.stop()
    up.supervisor.stop()
    runtime = runtimes()
    agent = looping(runtime, inbox)
    agent.start()
    again(runtime)
    eventually(lambda: agent.held == 1, what="the inline guards stop it")
    assert len(inbox.items) <= 6
    with pytest.raises(AgentTripped):
        agent.context().tool("x", lambda: 1)

    back = roles("receive", "keep", "watch", data_dir=up.config.data_dir)
    eventually(lambda: tile(back).get("state") == "open", what="watch learns of the trip")
    count = f"SELECT count() FROM agent_events WHERE agent = '{HELPER}' AND action = 'tool_call'"
    eventually(lambda: rows(back, count) == [(len(inbox.items),)], what="the buffered spans arrive")
    agent.stop()


def test_killing_keep_delays_no_trip(up: Roles, runtimes: Callable[[], Runtime], inbox: Inbox) -> None:
    os.kill(up.supervisor.pid("keep"), signal.SIGSTOP)
    try:
        tripped(up, runtimes, inbox)[1].stop()
    finally:
        os.kill(up.supervisor.pid("keep"), signal.SIGCONT)
    assert len(inbox.items) <= 6
