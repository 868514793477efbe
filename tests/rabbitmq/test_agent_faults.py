"""What agents survive: handlers that misbehave, strangers' messages, forks, workers that never return."""

import asyncio
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import pytest
from pydantic import BaseModel

from collector.spool import Reader
from fusebox import happenings, names
from fusebox.clock import ManualClock
from fusebox.command import Keyring, Signer, allow_list
from fusebox.errors import AgentTripped, AgentUnverified
from fusebox.records import State
from rabbitmq import Agent, Context, Runtime
from rabbitmq.broker import Broker, Delivery, Message
from rabbitmq.claims import LEASE_S, Claims
from rabbitmq.held import RELEASE_INTERVAL_S
from rabbitmq.shelf import Shelf, Shelved
from rabbitmq.topology import DELIVERY_LIMIT
from tests.fixtures.agents import Inbox, RuntimeFactory, eventually, looked_after, once_stop_waits
from tests.fixtures.collector import StartRoles

Keep = Callable[[Agent], Agent]


@pytest.fixture
def runtime(runtimes: RuntimeFactory) -> Runtime:
    return runtimes()


@pytest.fixture
def name() -> str:
    return f"helper-{uuid4().hex[:8]}"


@pytest.fixture
def key(name: str) -> str:
    return f"{name}.work"


def dead_one(broker: Broker, name: str) -> Delivery:
    eventually(lambda: broker.depth(names.dead_queue(name)), what="a dead message")
    delivery = broker.get(names.dead_queue(name))
    assert delivery is not None
    delivery.ack()
    return delivery


@pytest.mark.parametrize("error", [ValueError("\ud800"), SystemExit(3), asyncio.CancelledError(), KeyboardInterrupt()])
def test_whatever_a_handler_raises_buries_its_message_and_the_agent_goes_on(
    runtime: Runtime, name: str, key: str, inbox: Inbox, stopping: Keep, error: BaseException
) -> None:
    agent = stopping(Agent(name, runtime))

    @agent.on(key)
    def handle(n: int, ctx: Context) -> None:
        if n == 0:
            raise error
        inbox.put(n)

    agent.start()
    agent.publish(key, 0)
    agent.publish(key, 1)
    assert inbox.wait(1) == [1]
    reason = dead_one(runtime.broker, name).message.headers[names.H_DEAD_REASON]
    assert str(reason).startswith(type(error).__name__)


@pytest.mark.parametrize("error", [SystemExit(3), asyncio.CancelledError()])
def test_whatever_a_coroutine_raises_ends_only_itself(
    runtime: Runtime, name: str, key: str, inbox: Inbox, stopping: Keep, error: BaseException
) -> None:
    agent = stopping(Agent(name, runtime))

    @agent.on(key)
    async def handle(n: int, ctx: Context) -> None:
        await asyncio.sleep(0)
        if n == 0:
            raise error
        inbox.put(n)

    agent.start()
    agent.publish(key, 0)
    agent.publish(key, 1)
    assert inbox.wait(1) == [1]
    dead_one(runtime.broker, name)
    assert runtime.broker.depth(names.held_queue(name)) == 0


def test_a_dead_message_without_room_for_our_reasons_is_dead_all_the_same(
    runtime: Runtime, name: str, key: str, inbox: Inbox, stopping: Keep
) -> None:
    agent = stopping(Agent(name, runtime))

    @agent.on(key)
    def handle(n: int, ctx: Context) -> None:
        inbox.put(n)
        raise ValueError("no")

    agent.start()
    runtime.broker.publish(names.EXCHANGE_EVENTS, key, Message(b"7", {"filler": "x" * 64_000}))
    assert dead_one(runtime.broker, name).message.body == b"7"
    assert inbox.items == [7], "its handler ran once"


def test_a_message_over_which_process_after_process_died_is_dead_and_the_agent_lives(
    runtime: Runtime, name: str, key: str, inbox: Inbox, stopping: Keep
) -> None:
    agent, clock = stopping(Agent(name, runtime)), ManualClock(time.time() - 3600)
    for number in range(DELIVERY_LIMIT + 1):
        Claims(runtime.claims._store, clock, f"dies-{number}", "default").take(name, "poison", repeated=True)
        clock.advance(LEASE_S + 1)

    @agent.on(key)
    def handle(n: int, ctx: Context) -> None:
        inbox.put(n)

    agent.start()
    runtime.broker.publish(names.EXCHANGE_EVENTS, key, Message(b"0", message_id="poison"))
    runtime.broker.publish(names.EXCHANGE_EVENTS, key, Message(b"1"))
    assert inbox.wait(1) == [1]
    assert "processes died" in str(dead_one(runtime.broker, name).message.headers[names.H_DEAD_REASON])


class Comment(BaseModel):
    ticket: str


def test_a_strangers_bad_messages_do_not_open_the_circuit(
    runtime: Runtime, name: str, key: str, inbox: Inbox, stopping: Keep
) -> None:
    agent = stopping(Agent(name, runtime))

    @agent.on(key)
    def handle(comment: Comment, ctx: Context) -> None:
        inbox.put(comment.ticket)

    agent.start()
    for _ in range(12):
        runtime.broker.publish(names.EXCHANGE_EVENTS, key, Message(b"not json"))
    runtime.broker.publish(names.EXCHANGE_EVENTS, key, Message(b'{"ticket": "T-1"}'))
    assert inbox.wait(1) == ["T-1"]
    assert runtime.circuits.circuit(name).state is State.CLOSED


def test_held_messages_keep_their_places_while_a_slow_probe_runs(
    runtime: Runtime, name: str, key: str, inbox: Inbox, stopping: Keep, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent, probing, go_on = stopping(Agent(name, runtime, concurrency=3)), threading.Event(), threading.Event()

    @agent.on(key)
    def handle(n: int, ctx: Context) -> None:
        inbox.put(n)
        if n == 0:
            probing.set()
            go_on.wait(10)

    agent.start()
    runtime.circuits.trip(name, reason="test", actor="operator:jo", open_s=3600)
    for n in range(4):
        runtime.broker.publish("", names.held_queue(name), Message(str(n).encode(), {names.H_ORIGIN_KEY: key}))
    runtime.circuits.half_open(name, reason="resume", actor="operator:jo")
    assert probing.wait(10)
    before = happenings.counts()["message_held"]
    looked_after(agent, monkeypatch)
    assert runtime.broker.depth(names.held_queue(name)) == 3
    assert happenings.counts()["message_held"] == before, "none was taken out and held again"
    go_on.set()
    assert inbox.wait(4) == [0, 1, 2, 3]


def test_nothing_overtakes_held_messages_at_which_somebody_looks(
    runtime: Runtime, name: str, key: str, inbox: Inbox, stopping: Keep, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent, looking, seen = stopping(Agent(name, runtime)), threading.Event(), threading.Event()

    @agent.on(key)
    def handle(n: int, ctx: Context) -> None:
        inbox.put(n)

    def look(_: Shelved) -> bool:
        looking.set()
        seen.wait(10)
        return False

    agent.start()
    runtime.circuits.trip(name, reason="test", actor="operator:jo", open_s=3600)
    for n in range(3):
        runtime.broker.publish("", names.held_queue(name), Message(str(n).encode(), {names.H_ORIGIN_KEY: key}))
    runtime.broker.publish(names.EXCHANGE_EVENTS, key, Message(b"3"))
    eventually(lambda: agent.held == 4, what="all four wait")
    shelf = Shelf(runtime.broker, name, names.held_queue(name))
    with ThreadPoolExecutor() as pool:
        looked = pool.submit(shelf.discard, look)
        assert looking.wait(10)
        runtime.circuits.half_open(name, reason="resume", actor="operator:jo")
        looked_after(agent, monkeypatch)
        assert inbox.items == []
        seen.set()
        assert looked.result(10) == 0
    assert inbox.wait(4) == [0, 1, 2, 3]


def test_after_a_minute_without_a_stop_the_rest_no_longer_comes_one_by_one(
    runtimes: RuntimeFactory, name: str, key: str, inbox: Inbox, stopping: Keep, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rabbitmq.held.PACED", 3)
    clock = ManualClock()
    runtime = runtimes(clock)
    agent = stopping(Agent(name, runtime))

    @agent.on(key)
    def handle(n: int, ctx: Context) -> None:
        inbox.put(n)

    agent.start()
    runtime.circuits.trip(name, reason="test", actor="operator:jo", open_s=3600)
    for n in range(6):
        runtime.broker.publish("", names.held_queue(name), Message(str(n).encode(), {names.H_ORIGIN_KEY: key}))
    for n in range(6, 12):
        runtime.broker.publish(names.EXCHANGE_EVENTS, key, Message(str(n).encode()))
    runtime.circuits.half_open(name, reason="resume", actor="operator:jo")
    for paced in range(1, 4):
        inbox.wait(paced)
        looked_after(agent, monkeypatch, interval=RELEASE_INTERVAL_S)
        assert len(inbox.items) == paced
        clock.advance(RELEASE_INTERVAL_S)
    assert inbox.wait(12) == list(range(12)), "the clock stands still, and they come all the same"


def test_a_probe_may_use_threads_of_its_own(
    runtime: Runtime, name: str, key: str, inbox: Inbox, stopping: Keep
) -> None:
    agent = stopping(Agent(name, runtime))

    @agent.on(key)
    def handle(tickets: list[str], ctx: Context) -> None:
        with ThreadPoolExecutor() as pool:
            inbox.put(
                list(pool.map(lambda ticket: ctx.tool("tickets.close", str.lower, ticket, target=ticket), tickets))
            )

    agent.start()
    runtime.circuits.trip(name, reason="test", actor="operator:jo", open_s=3600)
    held = Message(b'["T-1", "T-2", "T-3"]', {names.H_ORIGIN_KEY: key})
    runtime.broker.publish("", names.held_queue(name), held)
    runtime.circuits.half_open(name, reason="resume", actor="operator:jo")
    assert inbox.wait(1) == [["t-1", "t-2", "t-3"]]
    eventually(lambda: runtime.circuits.circuit(name).state is State.CLOSED, what="closed")


class RefusedByGateway(Exception):
    """As a client library raises the gateway's 403."""

    body = {"code": "agent_tripped", "guard": "circuit", "message": "its circuit is open there"}  # noqa: RUF012


def test_a_message_that_somebody_else_refuses_is_begun_again_ever_more_rarely(
    runtimes: RuntimeFactory, name: str, key: str, inbox: Inbox, stopping: Keep, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = ManualClock()
    runtime = runtimes(clock)
    agent = stopping(Agent(name, runtime))

    @agent.on(key)
    def handle(n: int, ctx: Context) -> None:
        inbox.put(n)
        if len(inbox.items) < 4:
            with ctx.model_call("gpt-5-mini", provider="openai"):
                raise RefusedByGateway

    agent.start()
    runtime.broker.publish(names.EXCHANGE_EVENTS, key, Message(b"7"))
    held = names.held_queue(name)
    for runs, pause in ((1, 1.0), (2, 2.0), (3, 4.0)):
        inbox.wait(runs)
        eventually(lambda: agent.idle() and runtime.broker.depth(held) == 1, what="held again")
        clock.advance(pause * 0.9)
        looked_after(agent, monkeypatch)
        assert len(inbox.items) == runs
        clock.advance(pause * 0.2)
    assert inbox.wait(4) == [7, 7, 7, 7]
    eventually(lambda: runtime.broker.depth(held) == 0, what="nothing is held")


def test_messages_that_are_refused_together_wait_no_longer_than_one(
    runtimes: RuntimeFactory, name: str, key: str, inbox: Inbox, stopping: Keep
) -> None:
    clock, together = ManualClock(), threading.Barrier(4)
    runtime = runtimes(clock)
    agent = stopping(Agent(name, runtime, concurrency=4))

    @agent.on(key)
    def handle(n: int, ctx: Context) -> None:
        inbox.put(n)
        if len(inbox.items) <= 4:
            together.wait(10)
            with ctx.model_call("gpt-5-mini", provider="openai"):
                raise RefusedByGateway

    agent.start()
    for n in range(4):
        runtime.broker.publish(names.EXCHANGE_EVENTS, key, Message(str(n).encode()))
    inbox.wait(4)
    eventually(lambda: agent.idle() and runtime.broker.depth(names.held_queue(name)) == 4, what="all are held")
    began = clock.monotonic()
    eventually(lambda: clock.advance(0.05) or len(inbox.items) > 4, what="one is let go again")
    assert clock.monotonic() - began < 30, "the pause of one: four in a row are a minute"


def test_an_unverified_agent_leaves_its_messages_where_they_are(
    runtime: Runtime, name: str, key: str, inbox: Inbox, stopping: Keep, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime.link._keyring = Keyring.load(allow_list(Signer.generate()))
    agent = stopping(Agent(name, runtime))

    @agent.on(key)
    def handle(n: int, ctx: Context) -> None:
        inbox.put(n)

    agent.start()
    for n in range(6):
        runtime.broker.publish(names.EXCHANGE_EVENTS, key, Message(str(n).encode()))
    looked_after(agent, monkeypatch)
    assert (runtime.broker.depth(name), runtime.broker.depth(names.held_queue(name))) == (6, 0)
    runtime.link._verified.add(name)
    assert inbox.wait(6) == list(range(6))


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_process_may_not_act(runtimes: RuntimeFactory, broker: Broker, name: str, stopping: Keep) -> None:
    runtime = runtimes()
    agent = stopping(Agent(name, runtime))
    agent.start()
    context, (seen, tell) = agent.context(), os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            context.tool("act", os.write, tell, b"acted")
        except AgentUnverified:
            os.write(tell, b"refused")
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    assert os.read(seen, 100) == b"refused"
    os.close(seen)
    os.close(tell)


def test_an_agent_that_was_not_started_is_judged_like_any_other(runtime: Runtime, name: str, stopping: Keep) -> None:
    stopping(Agent(f"{name}-other", runtime)).start()
    context = Agent(name, runtime).context()
    calls: list[str] = []

    def loop() -> None:
        for _ in range(100):
            context.tool("tickets.comment", calls.append, "all fine", target="T-1")

    with pytest.raises(AgentTripped):
        loop()
    assert len(calls) <= 6


def test_a_stopped_agent_starts_again_where_it_was(
    runtime: Runtime, name: str, key: str, inbox: Inbox, stopping: Keep, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent, working, go_on = stopping(Agent(name, runtime)), threading.Event(), threading.Event()

    @agent.on(key)
    def handle(n: int, ctx: Context) -> None:
        if n == 0:
            working.set()
            go_on.wait(10)
        inbox.put(n)

    agent.start()
    agent.publish(key, 0)
    agent.publish(key, 1)
    assert working.wait(10)
    once_stop_waits(agent, monkeypatch, go_on.set)
    agent.stop()
    assert inbox.items == [0], "what was begun is finished, the rest waits"
    agent.start()
    assert inbox.wait(2) == [0, 1]


STUCK = """
import threading
from rabbitmq import Agent, Runtime
from fusebox.config import Config

runtime = Runtime.from_config(Config(data_dir="data"))
agent, stuck = Agent("stuck", runtime), threading.Event()

@agent.on("go")
def handle(n: int, ctx):
    stuck.set()
    threading.Event().wait()

agent.start()
agent.publish("go", 1)
stuck.wait()
agent.stop(0.2)
runtime.stop(1)
print("done")
"""


def test_a_handler_that_never_returns_does_not_keep_the_process_alive(tmp_path: Path) -> None:
    script = tmp_path / "stuck.py"
    script.write_text(STUCK)
    command = [sys.executable, str(script)]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=30, check=False)
    assert (ran.returncode, ran.stdout) == (0, "done\n"), ran.stderr


@pytest.mark.parametrize("hidden", ["fusebox", "breakers", "governance"])
def test_a_file_of_ours_beside_the_script_is_named(tmp_path: Path, hidden: str) -> None:
    (tmp_path / f"{hidden}.py").write_text("")
    script = tmp_path / "script.py"
    script.write_text("from rabbitmq import Agent")
    ran = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=30, check=False)
    assert f"{hidden}.py hides Fusebox's package '{hidden}'; rename it" in ran.stderr


def test_a_program_that_cannot_start_says_why_in_one_line(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from rabbitmq import Agent; Agent('helper').run()"],
        cwd=tmp_path, env={**os.environ, "FUSEBOX_AMQP_URL": "amqp://guest:guest@127.0.0.1:9/"},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("helper: no RabbitMQ answers at 127.0.0.1:9")


SCRIPT = """
from rabbitmq import Agent
agent = Agent("webhook")
agent.on("ticket.commented")(lambda payload, ctx: None)
agent.start()
agent.publish("ticket.commented", {"ticket": "T-1"})
"""


def test_a_script_that_just_ends_loses_no_span(roles: StartRoles, tmp_path: Path) -> None:
    data = roles("watch", "receive").config.data_dir
    subprocess.run(
        [sys.executable, "-W", "error", "-c", SCRIPT],
        cwd=tmp_path, env={**os.environ, "FUSEBOX_DATA_DIR": str(data)}, timeout=60, check=True,
    )  # fmt: skip
    records = Reader(data / "spool", "test").read(100, 1 << 20)
    assert any(b"publish" in record.payload for record in records)
