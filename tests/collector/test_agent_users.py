"""Agents that are AMQP users of their own, and a watch beside the same RabbitMQ: no HTTP, no Redis between them."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from fusebox import names
from fusebox.clock import SystemClock
from fusebox.config import Config
from rabbitmq import Agent, Context, Runtime
from rabbitmq.amqp import AmqpBroker
from rabbitmq.broker import Message
from rabbitmq.provision import Role
from tests.fixtures.agents import Inbox, eventually
from tests.fixtures.broker import Unique
from tests.fixtures.managed import Login, Managed
from tests.fixtures.watch import Harness

Start = Callable[[str, AmqpBroker], Agent]


@pytest.fixture
def harness(watch_config: Config, managed: Managed) -> Iterator[Harness]:
    """A watch on that RabbitMQ."""
    running = Harness(watch_config.model_copy(update={"amqp_url": SecretStr(managed.node.url)}), SystemClock())
    running.start()
    yield running
    running.close()


@pytest.fixture
def start(harness: Harness, tmp_path: Path, inbox: Inbox) -> Iterator[Start]:
    """Agent processes that have keys, a token and their broker, and put what they handle into the inbox."""
    agents: list[Agent] = []

    def run(name: str, broker: AmqpBroker) -> Agent:
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
    agent = start(name, login(Role(name, (f"{name}.#",))))
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
