"""Agents that are AMQP users of their own, and a watch beside the same RabbitMQ: no HTTP, no Redis between them."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pika
import pytest
from pika.exceptions import ConnectionClosedByBroker
from pydantic import SecretStr

from fusebox import happenings, names
from fusebox.clock import SystemClock
from fusebox.config import Config
from fusebox.errors import BrokerUnavailable
from rabbitmq import Agent, Context, Runtime
from rabbitmq.amqp import AmqpBroker
from rabbitmq.broker import Message
from rabbitmq.identity import agent_of, agent_user
from rabbitmq.management import Management
from rabbitmq.provision import Role
from tests.fixtures.agents import Inbox, eventually
from tests.fixtures.broker import Unique
from tests.fixtures.managed import Login, Managed
from tests.fixtures.watch import Harness

Start = Callable[[Harness, str, AmqpBroker], Agent]


@pytest.fixture
def config(watch_config: Config, managed: Managed) -> Config:
    """Of a watch on that RabbitMQ."""
    return watch_config.model_copy(update={"amqp_url": SecretStr(managed.node.url)})


@pytest.fixture
def harness(config: Config) -> Iterator[Harness]:
    """That watch, running."""
    running = Harness(config, SystemClock())
    running.start()
    yield running
    running.close()


@pytest.fixture
def administrator(managed: Managed) -> Iterator[Management]:
    """RabbitMQ's management; at the end nobody is barred."""
    management = Management(managed.management)
    yield management
    for user in management.barred():
        management.free(user)


@pytest.fixture
def start(tmp_path: Path, inbox: Inbox) -> Iterator[Start]:
    """Agent processes that have keys, a token and their broker, and put what they handle into the inbox."""
    agents: list[Agent] = []

    def run(harness: Harness, name: str, broker: AmqpBroker) -> Agent:
        folder, known = tmp_path / name, harness.config.data_dir
        config = Config(  # type: ignore[call-arg]
            data_dir=folder, agents_file=folder / "agents.toml", command_keys=known / "command_keys.json",
            agent_token=(known / "agent.token").read_text().strip(),
        )  # fmt: skip
        agent = Agent(name, Runtime.from_config(config, broker=broker, name=name))

        @agent.on(f"{name}.#")
        def work(payload: str, ctx: Context) -> None:
            ctx.tool("note", inbox.put, payload)

        agents.append(agent)
        agent.start()
        return agent

    yield run
    for agent in agents:
        agent.stop(5)
        agent.runtime.stop(5)


def killed(agent: Agent) -> bool:
    return agent.runtime.latch.killed(agent.name) is not None


def test_an_agent_user_is_verified_killed_and_resumed_over_amqp_alone(
    harness: Harness, login: Login, start: Start, admin: AmqpBroker, unique: Unique, inbox: Inbox
) -> None:
    name = unique("helper")
    agent = start(harness, name, login(Role(name, (f"{name}.#",))))
    eventually(lambda: agent.runtime.link.verified(name), what="it is verified")
    admin.publish(names.EXCHANGE_EVENTS, f"{name}.a", Message(b"before"))
    assert inbox.wait(1) == ["before"]

    order = harness.operator().kill(f"agent:{name}", "now")
    eventually(lambda: killed(agent), what="it is killed")
    eventually(lambda: harness.operator().receipts(order["command"])["complete"], what="the Receipt came back")
    admin.publish(names.EXCHANGE_EVENTS, f"{name}.b", Message(b"while killed"))
    eventually(lambda: agent.held == 1, what="the message waits")

    harness.operator().resume(f"agent:{name}", "fixed")
    assert inbox.wait(2) == ["before", "while killed"]


# --- with an administrator --------------------------------------------------------------------------------------------
@pytest.fixture
def strict(config: Config, administrator: Management, managed: Managed) -> Iterator[Harness]:
    """A watch that may also close connections."""
    running = Harness(config.model_copy(update={"management_url": SecretStr(managed.management)}), SystemClock())
    running.start()
    yield running
    running.close()


def connected(managed: Managed, user: str) -> bool:
    return user in managed.node.ctl("list_connections", "user").split()


def refused(url: str) -> bool:
    """True when RabbitMQ lets nobody in with this URL."""
    broker = AmqpBroker(url)
    try:
        broker.start()
    except BrokerUnavailable as error:
        return "fusebox resume" in str(error)
    finally:
        broker.stop()
    return False


def test_a_kill_closes_the_agents_connections_and_a_resume_lets_it_work_on(
    strict: Harness, managed: Managed, login: Login, start: Start, admin: AmqpBroker, unique: Unique, inbox: Inbox
) -> None:
    name, bystander = unique("helper"), unique("bystander")
    login(Role(bystander))
    agent = start(strict, name, login(Role(name, (f"{name}.#",))))
    eventually(lambda: agent.runtime.link.verified(name), what="it is verified")
    order = strict.operator().kill(f"agent:{name}", "now")
    eventually(lambda: not connected(managed, agent_user(name)), what="it is thrown out")
    assert killed(agent)
    assert strict.operator().receipts(order["command"])["complete"]
    assert refused(managed.url(agent_user(name), "pass-word"))
    assert connected(managed, agent_user(bystander))
    admin.publish(names.EXCHANGE_EVENTS, f"{name}.a", Message(b"meanwhile"))

    strict.operator().resume(f"agent:{name}", "fixed")
    assert inbox.wait(1, timeout=60) == ["meanwhile"]


def test_a_message_under_way_goes_back_to_its_queue_and_is_handled_after_the_resume(
    strict: Harness, managed: Managed, login: Login, start: Start, admin: AmqpBroker, unique: Unique, inbox: Inbox
) -> None:
    name, begun, go_on = unique("helper"), threading.Event(), threading.Event()
    agent = start(strict, name, login(Role(name, (f"{name}.#", f"slow-{name}"))))

    @agent.on(f"slow-{name}")
    def slow(payload: str, ctx: Context) -> None:
        begun.set()
        assert go_on.wait(30)
        ctx.tool("note", inbox.put, payload)

    admin.publish(names.EXCHANGE_EVENTS, f"slow-{name}", Message(b"precious"))
    assert begun.wait(15)
    strict.operator().kill(f"agent:{name}", "now")
    eventually(lambda: not connected(managed, agent_user(name)), what="it is thrown out")
    go_on.set()
    strict.operator().resume(f"agent:{name}", "fixed")
    assert inbox.wait(1, timeout=60) == ["precious"]
    eventually(lambda: admin.depth(name) == admin.depth(names.held_queue(name)) == 0, what="nothing is left")
    assert inbox.items == ["precious"]


def test_a_client_that_does_not_listen_is_thrown_out_all_the_same(
    strict: Harness, managed: Managed, login: Login, unique: Unique
) -> None:
    name = unique("hostile")
    login(Role(name)).stop()
    url = managed.url(agent_user(name), "pass-word")
    connection = pika.BlockingConnection(pika.URLParameters(url))
    strict.operator().kill(f"agent:{name}", "now")
    with pytest.raises(ConnectionClosedByBroker, match="killed"):
        connection.process_data_events(time_limit=20)
    assert refused(url)


def test_a_kill_of_everybody_spares_users_that_are_no_agents(
    strict: Harness, managed: Managed, login: Login, admin: AmqpBroker, unique: Unique
) -> None:
    users = [agent_user(unique(name)) for name in ("one", "two")]
    for user in users:
        login(Role(agent_of(user)))
    strict.operator().kill("all", "now")
    eventually(lambda: not any(connected(managed, user) for user in users), what="they are thrown out")
    assert admin.depth("nothing") == 0
    strict.operator().resume("all", "fixed")
    eventually(lambda: all(connected(managed, user) for user in users), timeout=60, what="they are back")


def test_a_restarted_watch_makes_rabbitmq_agree_with_its_latch(
    strict: Harness, administrator: Management, login: Login, unique: Unique
) -> None:
    kept, released = unique("kept"), unique("released")
    for name in (kept, released):
        login(Role(name)).stop()
    strict.operator().kill(f"agent:{kept}", "now")
    eventually(lambda: agent_user(kept) in administrator.barred(), what="it is barred")
    strict.stop()
    administrator.free(agent_user(kept))
    administrator.bar(agent_user(released))
    strict.start()
    eventually(lambda: administrator.barred() == {agent_user(kept)}, what="the latch is followed")


def test_management_that_is_away_fails_no_kill_and_is_counted(config: Config) -> None:
    url = SecretStr("http://admin:word@127.0.0.1:1")
    harness, before = Harness(config.model_copy(update={"management_url": url}), SystemClock()), happenings.counts()
    harness.start()
    try:
        harness.operator().kill("agent:bot", "now")
        assert [latch["scope"] for latch in harness.operator().board()["latches"]] == ["agent:bot"]
        eventually(lambda: happenings.counts()["disconnect_failed"] >= before["disconnect_failed"] + 2)
    finally:
        harness.close()
