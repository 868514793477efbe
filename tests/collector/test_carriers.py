"""A kill by whichever carrier is left: from an operator's call to the latch of an agent process."""

import base64
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from collector.setup import prepare
from fusebox import happenings
from fusebox.clock import SystemClock
from fusebox.command import Command, Order, Signer
from fusebox.config import Config
from fusebox.errors import AgentUnverified
from fusebox.records import State
from fusebox.store import RedisStore
from fusebox.stream import CommandStream
from rabbitmq import Agent, Runtime
from rabbitmq.amqp import AmqpBroker
from rabbitmq.broker import Broker
from rabbitmq.inprocess import InProcessBroker
from rabbitmq.node import PrivateNode
from tests.fixtures.agents import eventually
from tests.fixtures.proxy import Proxy
from tests.fixtures.store import RedisServer
from tests.fixtures.watch import Harness

BOT, NOBODY, STREAM = "bot", "http://127.0.0.1:1", "fusebox:commands:default"
Start = Callable[..., Runtime]


@pytest.fixture
def redis_watch(watch_config: Config, redis_server: RedisServer) -> Iterator[Harness]:
    """A watch with a Redis, and no broker."""
    running = Harness(watch_config.model_copy(update={"redis_url": SecretStr(redis_server.url)}), SystemClock())
    running.start()
    yield running
    running.close()


@pytest.fixture
def start(tmp_path: Path, watch_config: Config) -> Iterator[Start]:
    """Agent processes (each a runtime with a latch of its own) that know the Command keys, and what they are told."""
    made: list[Runtime] = []

    def run(broker: Broker | None = None, *, risk: str = "low", **settings: object) -> Runtime:
        folder = tmp_path / f"process-{len(made)}"
        folder.mkdir()
        (folder / "agents.toml").write_text(f'[agents.{BOT}]\nowner = "jo"\nrisk = "{risk}"\n')
        known = {"data_dir": folder, "agents_file": folder / "agents.toml"}
        keys = watch_config.data_dir / "command_keys.json"
        config = Config(command_keys=keys, **known, **settings)  # type: ignore[arg-type]
        runtime = Runtime.from_config(config, broker=broker or InProcessBroker(), name=BOT)
        made.append(runtime)
        runtime.start()
        Agent(BOT, runtime).start()
        return runtime

    yield run
    for runtime in made:
        runtime.stop(5)


def killed(runtime: Runtime) -> bool:
    return runtime.latch.killed(BOT) is not None


def test_kill_and_resume_arrive_by_redis_alone(redis_watch: Harness, redis_server: RedisServer, start: Start) -> None:
    runtime = start(redis_url=redis_server.url, control_url=NOBODY)
    redis_watch.operator().kill(f"agent:{BOT}", "now")
    eventually(lambda: killed(runtime), what="it is killed")
    redis_watch.operator().resume(f"agent:{BOT}", "fixed")
    eventually(lambda: not killed(runtime), what="it runs again")


def test_a_resume_of_thousands_of_kills_arrives_by_redis_alone(
    redis_watch: Harness, redis_server: RedisServer, start: Start
) -> None:
    runtime, listener = (
        start(redis_url=redis_server.url, control_url=NOBODY),
        CommandStream(redis_server.url, "default"),
    )
    kills = [(f"cmd_{n:016x}", f"workflow:run-{n}") for n in range(2_200)] + [("cmd_the_agent", f"agent:{BOT}")]
    for latch in (runtime.latch, redis_watch.watch._latch):
        for kill in kills:
            latch.kill(*kill)
    lifted = redis_watch.operator().resume("all", "they are over")["lifted"]
    assert sorted(lifted) == sorted(kill for kill, _ in kills)
    eventually(lambda: not runtime.latch.kills(), what="all of them are lifted")
    *earlier, last = (redis_watch.keyring.verify(signed, time.time()) for signed in listener.read())
    assert all("cmd_the_agent" not in each.lifts for each in earlier)
    assert last.lifts[-1] == "cmd_the_agent"  # an agent that is killed stays so until all is said


def test_a_process_of_thousands_of_agents_learns_of_all_of_them_at_once(harness: Harness, start: Start) -> None:
    operator, scopes = harness.operator(), [f"workflow:a-run-of-something-or-other-{n:04}" for n in range(400)]
    kills = [operator.kill(scope, "over")["kill"] for scope in scopes]
    for scope in scopes[::2]:
        operator.resume(scope, "again")
    agents = [f"an-agent-of-one-customer-{n:04}" for n in range(4096)]
    runtime = start(control_url=NOBODY)
    link, nonce = runtime.link, "n" * 16
    client = harness.agent()
    signed = client.send("snapshot", {"nonce": nonce, "process": "gateway", "agents": agents})["signed"]
    link.snapshot(signed.encode(), nonce)
    assert all(map(link.verified, agents))
    assert runtime.latch.kills().keys() == set(kills[1::2])


def test_a_process_that_starts_later_does_not_open_again_what_has_closed_since(
    redis_watch: Harness, redis_server: RedisServer, start: Start
) -> None:
    operator, board = redis_watch.operator(), RedisStore(redis_server.url)
    first = start(redis_url=redis_server.url, control_url=NOBODY)
    operator.trip(BOT, "loops")
    eventually(lambda: first.circuits.circuit(BOT).state is State.OPEN, what="it is open")
    operator.resume(f"agent:{BOT}", "fixed")
    eventually(lambda: first.circuits.circuit(BOT).state is State.HALF_OPEN, what="a probe may go")
    with first.circuits.calling(BOT):
        pass
    closed = board.read(f"fusebox:default:circuit:{BOT}")
    assert closed["state"] == "closed"
    later = start(redis_url=redis_server.url, control_url=NOBODY)
    operator.kill("agent:other", "the last word on the stream")
    eventually(lambda: later.latch.killed("other") is not None, what="it has read everything")
    assert board.read(f"fusebox:default:circuit:{BOT}") == closed
    board.close()


def test_a_process_obeys_a_command_key_that_was_changed_while_it_runs_and_the_old_one_no_longer(
    redis_watch: Harness, redis_server: RedisServer, start: Start
) -> None:
    runtime, folder = start(redis_url=redis_server.url, control_url=NOBODY), redis_watch.config.data_dir
    old = Signer.load((folder / "command.key").read_text())
    (folder / "command.key").unlink()
    prepare(redis_watch.config)
    redis_watch.restart()
    redis_watch.operator().kill(f"agent:{BOT}", "by the new key")
    eventually(lambda: killed(runtime), what="the new key is obeyed")
    forged = Command(Order.KILL, "agent:other", "jo", "by the old key", time.time())
    CommandStream(redis_server.url, "default").append(old.sign(forged), forged)
    redis_watch.operator().kill("agent:third", "the last word on the stream")
    eventually(lambda: runtime.latch.killed("third") is not None, what="it has read everything")
    assert runtime.latch.killed("other") is None


@pytest.mark.parametrize("lost", ["the key", "the stream"])
def test_a_process_that_starts_later_meets_kills_from_before_a_change_of_the_key_or_a_flush_of_redis(
    redis_watch: Harness, redis_server: RedisServer, start: Start, lost: str
) -> None:
    folder, client = redis_watch.config.data_dir, redis_server.client()
    redis_watch.operator().kill(f"agent:{BOT}", "before")
    eventually(lambda: client.xlen(STREAM) == 1, what="it is in the stream")
    redis_watch.stop()
    if lost == "the key":
        (folder / "command.key").unlink()
        prepare(redis_watch.config)
    else:
        client.flushall()
    rejected = happenings.counts()["command_rejected"]
    redis_watch.start()
    runtime = start(redis_url=redis_server.url, control_url=NOBODY)
    eventually(lambda: killed(runtime), what="it is killed")
    assert happenings.counts()["command_rejected"] == rejected, "what the old key signed is replaced"
    assert [kill.reason for kill in runtime.latch.kills().values()] == ["before"]
    redis_watch.operator().resume(f"agent:{BOT}", "over")
    eventually(lambda: not killed(runtime), what="it runs again")


def test_a_restart_of_watch_puts_no_kill_twice_into_the_stream(redis_watch: Harness, redis_server: RedisServer) -> None:
    client = redis_server.client()
    redis_watch.operator().kill(f"agent:{BOT}", "before")
    eventually(lambda: client.xlen(STREAM) == 1, what="it is in the stream")
    redis_watch.restart()
    redis_watch.operator().kill("agent:other", "the last word")
    eventually(lambda: b"agent:other" in newest(redis_server), what="the stream is at work")
    assert client.xlen(STREAM) == 2


def test_a_process_that_starts_later_meets_kills_in_force_and_none_that_is_lifted(
    redis_watch: Harness, redis_server: RedisServer, start: Start
) -> None:
    operator = redis_watch.operator()
    operator.kill("agent:other", "in force")
    operator.kill(f"agent:{BOT}", "by mistake")
    operator.resume(f"agent:{BOT}", "sorry")
    eventually(lambda: b"resume" in newest(redis_server), what="the resume is in the stream")
    runtime = start(redis_url=redis_server.url)
    eventually(lambda: runtime.latch.killed("other"), what="the kill in force is obeyed")
    assert [kill.reason for kill in runtime.latch.kills().values()] == ["in force"]
    assert not killed(runtime)


def newest(server: RedisServer) -> bytes:
    """The payload of the newest entry, decoded."""
    entries = server.client().xrevrange(STREAM, count=1)
    payload = entries[0][1][b"signed"].split(b".")[2] if entries else b""
    return base64.urlsafe_b64decode(payload + b"=" * (-len(payload) % 4))


def test_redis_alone_verifies_nobody(redis_watch: Harness, redis_server: RedisServer, start: Start) -> None:
    runtime = start(risk="normal", redis_url=redis_server.url)
    agent = Agent(BOT, runtime)
    agent.start()
    with pytest.raises(AgentUnverified):
        agent.context().tool("jira.comment", lambda: None)


@pytest.mark.parametrize("violence", ["flush", "restart"])
def test_a_redis_that_lost_everything_carries_the_next_kill(
    redis_watch: Harness, redis_server: RedisServer, start: Start, violence: str
) -> None:
    runtime = start(redis_url=redis_server.url)
    redis_watch.operator().kill("agent:other", "first")
    eventually(lambda: runtime.latch.killed("other"), what="the carrier works")
    if violence == "flush":
        redis_server.client().flushall()
    else:
        redis_server.stop()
        redis_server.start()
    redis_watch.operator().kill(f"agent:{BOT}", "now")
    eventually(lambda: killed(runtime), what="it is killed")


def test_what_nobody_signed_is_refused_and_counted_and_what_is_stale_is_not_obeyed(
    redis_watch: Harness, redis_server: RedisServer, start: Start
) -> None:
    before = happenings.counts()
    runtime = start(redis_url=redis_server.url)
    stream = CommandStream(redis_server.url, "default")
    forged = Command(Order.KILL, "all", "mallory", "ha", time.time())
    stream.append(Signer.generate().sign(forged), forged)
    stream.append(b"\xff nonsense", forged)
    old = Command(Order.TRIP, f"agent:{BOT}", "jo", "x", time.time() - 3600)
    signer = Signer.load((redis_watch.config.data_dir / "command.key").read_text())
    stream.append(signer.sign(old), old)
    redis_watch.operator().kill("agent:other", "goes on")
    eventually(lambda: runtime.latch.killed("other"), what="the next is obeyed")
    after = happenings.counts()
    assert after["command_rejected"] == before["command_rejected"] + 2
    assert after["command_stale"] == before["command_stale"] + 1
    assert not killed(runtime)
    assert runtime.circuits.circuit(BOT).state == "closed"


def test_a_broken_redis_delays_no_other_carrier(redis_watch: Harness, redis_server: RedisServer, start: Start) -> None:
    runtime = start(control_url=redis_watch.watch.url, agent_token=token(redis_watch))
    redis_server.stop()
    redis_watch.operator().kill(f"agent:{BOT}", "now")
    eventually(lambda: killed(runtime), what="it is killed over HTTP")
    late = start(redis_url=redis_server.url)
    redis_server.start()
    eventually(lambda: killed(late), what="the kill waited for Redis")


def test_a_rabbitmq_that_hangs_shows_in_health_while_nothing_is_to_be_sent(watch_config: Config, proxy: Proxy) -> None:
    harness = Harness(watch_config.model_copy(update={"amqp_url": SecretStr(proxy.url)}), SystemClock()).start()
    try:
        eventually(lambda: proxy.accepted >= 2 and not harness.watch.failing(), what="watch is connected and well")
        proxy.freeze()
        eventually(lambda: "amqp" in "".join(harness.watch.failing()), 40, what="nothing would leave that way")
        proxy.thaw()
        eventually(lambda: not harness.watch.failing(), 60, what="watch is well again")
    finally:
        proxy.thaw()
        harness.close()


def token(harness: Harness) -> str:
    return (harness.config.data_dir / "agent.token").read_text().strip()


@pytest.mark.faults
@pytest.mark.parametrize("carrier", ["redis", "http"])
def test_a_memory_alarm_of_rabbitmq_delays_no_kill(
    watch_config: Config, redis_server: RedisServer, rabbitmq_node: PrivateNode, start: Start, carrier: str
) -> None:
    settings = {"amqp_url": SecretStr(rabbitmq_node.url), "redis_url": SecretStr(redis_server.url)}
    harness = Harness(watch_config.model_copy(update=settings), SystemClock()).start()
    left = {"redis_url": redis_server.url} if carrier == "redis" else {"control_url": harness.watch.url}
    runtime = start(AmqpBroker(rabbitmq_node.url), agent_token=token(harness), **left)
    eventually(lambda: runtime.link.verified(BOT), what="its carriers work")
    rabbitmq_node.ctl("set_vm_memory_high_watermark", "absolute", "1MB")
    try:
        harness.operator().kill(f"agent:{BOT}", "now")
        eventually(lambda: killed(runtime), what="it is killed")
    finally:
        rabbitmq_node.ctl("set_vm_memory_high_watermark", "0.4")
        harness.close()


@pytest.mark.faults
def test_a_memory_alarm_of_rabbitmq_shows_in_health_before_there_is_a_kill_to_send(
    watch_config: Config, rabbitmq_node: PrivateNode
) -> None:
    url = SecretStr(rabbitmq_node.url)
    harness = Harness(watch_config.model_copy(update={"amqp_url": url}), SystemClock()).start()
    try:
        rabbitmq_node.ctl("set_vm_memory_high_watermark", "absolute", "1MB")
        eventually(lambda: "blocks publishers" in "".join(harness.watch.failing()), 40, what="nothing would leave")
        rabbitmq_node.ctl("set_vm_memory_high_watermark", "0.4")
        eventually(lambda: not harness.watch.failing(), 60, what="watch is well again")
    finally:
        rabbitmq_node.ctl("set_vm_memory_high_watermark", "0.4")
        harness.close()


def test_people_are_told_of_a_redis_that_hangs_while_rabbitmq_has_been_away_for_days(
    watch_config: Config, redis_server: RedisServer
) -> None:
    settings = {"amqp_url": SecretStr("amqp://guest:guest@127.0.0.1:1/"), "redis_url": SecretStr(redis_server.url)}
    harness = Harness(watch_config.model_copy(update=settings), SystemClock()).start()
    log = harness.config.data_dir / "alerts.log"

    def told() -> list[str]:
        lines = log.read_text().splitlines() if log.exists() else ()
        return [line for line in lines if '"watch.apart"' in line]

    try:
        eventually(lambda: "amqp" in "".join(told()), 40, what="people are told of the one")
        redis_server.pause()
        eventually(lambda: "Redis" in "".join(told()), 40, what="and of the other")
        assert len(told()) == 2
    finally:
        redis_server.resume()
        harness.close()


def test_a_kill_that_met_no_queue_is_learned_once_the_connection_is_back(
    watch_config: Config, rabbitmq_node: PrivateNode, proxy: Proxy, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rabbitmq.carriers.POLL_WAIT_S", 0.5)
    monkeypatch.setattr("rabbitmq.carriers.SNAPSHOT_S", 0.5)
    harness = Harness(watch_config.model_copy(update={"amqp_url": SecretStr(rabbitmq_node.url)}), SystemClock()).start()
    try:
        runtime = start(AmqpBroker(proxy.url), agent_token=token(harness))
        eventually(lambda: runtime.link.verified(BOT), what="it is verified over AMQP alone")
        proxy.refuse(True)
        proxy.cut()
        harness.operator().kill(f"agent:{BOT}", "while it cannot hear")
        proxy.refuse(False)
        eventually(lambda: killed(runtime), what="it is killed")
    finally:
        harness.close()
