"""Agents as users of their own on a real RabbitMQ: what they may do, and what they may not."""

import os
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pika
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pika.exceptions import ChannelClosedByBroker

from collector.verbs.checks import Result, all_checks
from fusebox import names
from fusebox.cli import main
from fusebox.config import Config
from fusebox.errors import BadMessage, BrokerUnavailable, ConfigError, Permanent
from fusebox.records import Hop
from rabbitmq import Agent, Context, Retry, Runtime
from rabbitmq.amqp import AmqpBroker
from rabbitmq.broker import Broker, Message
from rabbitmq.identity import agent_user, check_sender
from rabbitmq.management import Management
from rabbitmq.node_programs import find
from rabbitmq.provision import TOPIC_EXCHANGES, Role, grant_of, key_regex, unguarded
from rabbitmq.retry import DELAYS_S, retry_exchange
from rabbitmq.shelf import Shelf
from rabbitmq.topology import control_queue, topic_matches
from tests.fixtures.agents import Inbox, eventually
from tests.fixtures.broker import Unique
from tests.fixtures.managed import Login, Managed

MINE, OTHER = "ticket.suggested", "invoice.paid"


@contextmanager
def foreign(url: str) -> Iterator[Any]:
    """A channel of plain pika, which has none of our manners."""
    connection = pika.BlockingConnection(pika.URLParameters(url))
    try:
        channel = connection.channel()
        channel.confirm_delivery()
        yield channel
    finally:
        connection.close()


@pytest.fixture
def run_agent(tmp_path: Path) -> Iterator[Callable[..., Agent]]:
    """Agents, each in a runtime of its own; stopped at the end."""
    agents: list[Agent] = []

    def make(name: str, broker: Broker, **settings: object) -> Agent:
        config = Config(data_dir=tmp_path / name, agents_file=tmp_path / "agents.toml", **settings)  # type: ignore[arg-type]
        agents.append(Agent(name, Runtime.from_config(config, broker=broker, name=name)))
        return agents[-1]

    yield make
    for agent in agents:
        agent.stop(5)
        agent.runtime.stop(5)


# --- what an agent needs ----------------------------------------------------------------------------------------------
def test_a_restricted_agent_handles_publishes_retries_buries_and_holds(
    login: Login, run_agent: Callable[..., Agent], admin: AmqpBroker, unique: Unique, inbox: Inbox
) -> None:
    name, reader = unique("helper"), unique("reader")
    login(Role(reader, (MINE,)))
    agent = run_agent(name, login(Role(name, (f"{name}.#",), (MINE,))))

    @agent.on(f"{name}.#", retry=Retry(attempts=2))
    def work(payload: str, ctx: Context) -> None:
        inbox.put(payload)
        if payload != "good":
            raise ValueError(payload)
        ctx.publish(MINE, "done")

    agent.start()
    admin.publish(names.EXCHANGE_EVENTS, f"{name}.a", Message(b"good"))
    admin.publish(names.EXCHANGE_EVENTS, f"{name}.b", Message(b"bad"))
    assert sorted(map(str, inbox.wait(3))) == ["bad", "bad", "good"]
    eventually(lambda: admin.depth(names.dead_queue(name)) == 1, what="the bad message is dead")
    delivery = admin.get(reader)
    assert delivery is not None
    assert delivery.message.user_id == agent_user(name)
    delivery.ack()

    agent.runtime.circuits.trip(name, reason="test", actor="operator:test")
    admin.publish(names.EXCHANGE_EVENTS, f"{name}.c", Message(b"good"))
    eventually(lambda: agent.held == 1, what="the message waits")
    agent.runtime.circuits.reset(name, reason="test", actor="operator:test")
    inbox.wait(4)


def test_an_agent_whose_queues_nobody_declared_is_told_so(
    login: Login, run_agent: Callable[..., Agent], unique: Unique
) -> None:
    agent = run_agent(unique("stranger"), login(Role(unique("helper"))))
    with pytest.raises(ConfigError, match="does not exist"):
        agent.start()


# --- what it must not -------------------------------------------------------------------------------------------------
def test_an_agent_publishes_its_own_keys_only(login: Login, admin: AmqpBroker, unique: Unique) -> None:
    name, victim = unique("helper"), unique("victim")
    broker = login(Role(name, (), (MINE,)))
    login(Role(victim, (MINE, OTHER)))
    broker.publish(names.EXCHANGE_EVENTS, MINE, Message(b"fine"))
    for exchange, key in (
        (names.EXCHANGE_EVENTS, OTHER),
        (names.EXCHANGE_OWN, names.held_queue(victim)),
        (names.EXCHANGE_OWN, names.approvals_queue(victim)),
        (retry_exchange(DELAYS_S[0]), victim),
        (names.EXCHANGE_CONTROL, ""),
        (names.EXCHANGE_DEAD, victim),
        ("", victim),
    ):
        with pytest.raises(Permanent):
            broker.publish(exchange, key, Message(b"not yours"))
    assert admin.depth(victim) == 1
    assert admin.depth(names.held_queue(victim)) == 0


def test_a_forbidden_key_is_not_blamed_on_the_messages_beside_it(login: Login, unique: Unique) -> None:
    name = unique("helper")
    broker = login(Role(name, (MINE,), (MINE,)))
    for _ in range(20):
        confirms = [broker.publish_soon(names.EXCHANGE_EVENTS, key, Message(b"")) for key in (MINE, OTHER, MINE)]
        with pytest.raises(ConfigError, match=OTHER):
            confirms[1]()
        for confirm in (confirms[0], confirms[2]):
            with suppress(BrokerUnavailable):  # the channel went down with it: worth another attempt
                confirm()


def test_an_agent_reads_its_own_queues_only(login: Login, unique: Unique) -> None:
    name, victim = unique("helper"), unique("victim")
    broker = login(Role(name))
    login(Role(victim))
    assert broker.get(name) is None
    assert broker.get(names.held_queue(name)) is None
    assert broker.get(names.approvals_queue(name)) is None
    assert broker.get(control_queue(agent_user(name))) is None
    theirs = control_queue(agent_user(victim))
    others = (victim, names.held_queue(victim), names.approvals_queue(victim), theirs)
    for queue in (*others, names.dead_queue(name), names.EXCHANGE_UPLINK):
        with pytest.raises(ConfigError):
            broker.get(queue)
    with pytest.raises(ConfigError, match="permission"):
        broker.purge(victim)
    with pytest.raises(ConfigError, match="permission"):
        broker.consume(victim, lambda _: None, prefetch=1)


def test_the_control_queue_of_a_dead_process_neither_grows_nor_refuses(
    login: Login, admin: AmqpBroker, unique: Unique
) -> None:
    name = unique("dead")
    login(Role(name)).stop()
    for confirm in [admin.publish_soon(names.EXCHANGE_CONTROL, "", Message(b"")) for _ in range(1_100)]:
        confirm()
    eventually(lambda: admin.depth(control_queue(agent_user(name))) == 1_000)


def test_an_agent_cannot_say_it_is_another(login: Login, unique: Unique) -> None:
    broker = login(Role(unique("helper"), (), (MINE,)))
    with pytest.raises(BadMessage, match="user_id"):
        broker.publish(names.EXCHANGE_EVENTS, MINE, Message(b"", user_id=agent_user("boss")))


def test_a_consumer_that_requires_senders_buries_what_a_liar_sent(
    login: Login, run_agent: Callable[..., Agent], admin: AmqpBroker, unique: Unique, inbox: Inbox
) -> None:
    name, liar, key = unique("helper"), unique("liar"), unique("key")
    agent = run_agent(name, login(Role(name, (key,))), require_sender=True)
    agent.on(key)(lambda payload, ctx: inbox.put(payload))
    agent.start()
    lying = login(Role(liar, (), (key,)))
    lying.publish(names.EXCHANGE_EVENTS, key, Message(b'"a lie"', {names.H_AGENT: "boss"}))
    admin.publish(names.EXCHANGE_EVENTS, key, Message(b'"nobody"'))
    eventually(lambda: admin.depth(names.dead_queue(name)) == 2, what="both are dead")
    lying.publish(names.EXCHANGE_EVENTS, key, Message(b'"true"', {names.H_AGENT: liar}))
    assert inbox.wait(1) == ["true"]
    assert (
        Shelf(admin, name, names.dead_queue(name), admin.user).put_back(lambda dead: dead.message.body != b'"a lie"')
        == 1
    )
    assert inbox.wait(2) == ["true", "nobody"]


@pytest.mark.parametrize("header", ["CC", "BCC"])
def test_a_copy_to_a_key_that_is_not_permitted_reaches_no_handler(
    managed: Managed, login: Login, run_agent: Callable[..., Agent], admin: AmqpBroker, unique: Unique, header: str
) -> None:
    name, liar, key, inbox = unique("helper"), unique("liar"), unique("key"), Inbox()
    agent = run_agent(name, login(Role(name, (key,))), require_sender=True)
    agent.on(key)(lambda payload, ctx: inbox.put(payload))
    agent.start()
    login(Role(liar, (), (MINE,)))
    with foreign(managed.url(agent_user(liar), "pass-word")) as channel:
        for origin in ({}, {names.H_ORIGIN_KEY: key}):
            headers = {header: [key], **origin}
            properties = pika.BasicProperties(headers=headers, user_id=agent_user(liar), message_id=unique("m"))
            channel.basic_publish(names.EXCHANGE_EVENTS, MINE, b'"not yours"', properties)
    eventually(lambda: admin.depth(names.dead_queue(name)) == 2, what="both are dead")
    assert inbox.items == []


def test_rabbitmq_itself_refuses_a_borrowed_user_id(managed: Managed, login: Login, unique: Unique) -> None:
    name = unique("helper")
    login(Role(name, (), (MINE,)))
    with foreign(managed.url(agent_user(name), "pass-word")) as channel, pytest.raises(ChannelClosedByBroker) as closed:
        channel.basic_publish(names.EXCHANGE_EVENTS, MINE, b"", pika.BasicProperties(user_id=agent_user("boss")))
    assert "user_id" in closed.value.reply_text


def test_whom_a_consumer_believes() -> None:
    hop, message = (Hop("a", 1),), Message(b"", {names.H_AGENT: "a"})
    for user in (agent_user("a"), agent_user("me"), "deployer"):
        check_sender(replace(message, user_id=user), hop, "me")
    check_sender(Message(b"", user_id=agent_user("a")), (), "me")
    for user in ("", agent_user("b")):
        with pytest.raises(BadMessage):
            check_sender(replace(message, user_id=user), hop, "me")
    with pytest.raises(BadMessage):
        check_sender(Message(b"", user_id=agent_user("b")), hop, "me")
    for moved in (names.H_ORIGIN_KEY, names.H_PARKED):
        with pytest.raises(BadMessage, match="only its own agent moves a message"):
            check_sender(Message(b"", {moved: "k"}, user_id=agent_user("b")), (), "me")


# --- the plan ---------------------------------------------------------------------------------------------------------
words = st.lists(st.sampled_from(["a", "b.c", "order", "x-1"]), min_size=1, max_size=4).map(".".join)
patterns = st.lists(st.sampled_from(["a", "b", "order", "x-1", "*", "#"]), min_size=1, max_size=4).map(".".join)


@given(patterns, words)
def test_a_permitted_pattern_is_the_pattern_a_binding_would_have(pattern: str, key: str) -> None:
    assert (re.fullmatch(key_regex(pattern), key) is not None) == topic_matches(pattern, key)


@pytest.mark.parametrize("agent", ["", "a b", "a.held", "b.dead", "c.approvals", "fusebox.events", "amq.default"])
def test_ids_that_would_share_a_queue_are_refused(agent: str) -> None:
    with pytest.raises(ConfigError):
        Role(agent)


@pytest.mark.parametrize(
    ("user", "write", "limited", "found"),
    [
        ("agent-a", ".*", False, True),
        ("agent-a", ".*", True, False),
        ("agent-a", "", False, False),
        ("agent-a", "^$", False, False),
        ("agent-a", "(?|a|b)", False, True),  # Perl's, not Python's
        ("deployer", ".*", False, False),
    ],
)
def test_which_users_may_publish_any_key(user: str, write: str, limited: bool, found: bool) -> None:
    exchanges = TOPIC_EXCHANGES if limited else TOPIC_EXCHANGES[1:]
    topics = [{"user": user, "vhost": "/", "exchange": exchange} for exchange in exchanges]
    assert list(unguarded([{"user": user, "vhost": "/", "write": write}], topics)) == ([user] if found else [])


def test_an_agent_that_publishes_nothing_may_publish_nothing() -> None:
    assert grant_of(Role("a")).topics[names.EXCHANGE_EVENTS] == "^$"


# --- the command ------------------------------------------------------------------------------------------------------
@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unique: Unique) -> str:
    """A folder with one registered agent; its name."""
    name = unique("bot")
    monkeypatch.chdir(tmp_path)
    keys = f'handles = ["ticket.*"]\npublishes = ["{MINE}"]\n'
    Path("agents.toml").write_text(f'[agents.{name}]\nowner = "jo"\n{keys}')
    return name


def test_registered_agents_are_provisioned_and_doctor_is_content(
    managed: Managed, project: str, admin: AmqpBroker, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):  # the second time changes nothing
        assert main(["rabbitmq", "provision", "--management-url", managed.management]) == 0
    file = Path(".fusebox/rabbitmq") / f"{agent_user(project)}.password"
    password = file.read_text()
    assert file.stat().st_mode & 0o777 == 0o600
    printed = capsys.readouterr().out
    assert str(file) in printed
    assert password not in printed

    broker = AmqpBroker(managed.url(agent_user(project), password))
    broker.start()
    try:
        broker.publish(names.EXCHANGE_EVENTS, "ticket.suggested", Message(b"x"))
        assert admin.depth(project) == 1
    finally:
        broker.stop()
    config = Config(management_url=managed.management)  # type: ignore[arg-type]
    assert "permissions" not in {each.name for each in all_checks(config) if each.result is Result.FAIL}
    managed.node.ctl("clear_topic_permissions", "-p", "/", agent_user(project))
    (failed,) = [each for each in all_checks(config) if each.name == "permissions"]
    assert failed.result is Result.FAIL
    assert agent_user(project) in failed.detail
    managed.node.ctl("delete_user", agent_user(project))


def test_printed_commands_do_the_same(
    managed: Managed, project: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["rabbitmq", "provision", "--print"]) == 0
    commands = capsys.readouterr().out
    password = (Path(".fusebox/rabbitmq") / f"{agent_user(project)}.password").read_text()
    assert password not in commands
    ctl = tmp_path / "rabbitmqctl"
    ctl.write_text(f'#!/bin/sh\nexec {find("rabbitmqctl")} -n fusebox@localhost "$@"\n')
    ctl.chmod(0o700)
    shell = [line for line in commands.splitlines() if not line.startswith("fusebox ")]
    environment = managed.node._files.environment() | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    subprocess.run(["/bin/sh", "-ec", "\n".join(shell)], env=environment, check=True, capture_output=True, timeout=100)
    monkeypatch.setenv("FUSEBOX_AMQP_URL", managed.node.url)
    (declare,) = [line.split() for line in commands.splitlines() if line.startswith("fusebox ")]
    assert main([word.strip("'") for word in declare[1:]]) == 0

    broker = AmqpBroker(managed.url(agent_user(project), password))
    broker.start()
    try:
        broker.publish(names.EXCHANGE_EVENTS, "ticket.suggested", Message(b"x"))
        with pytest.raises(ConfigError, match="provision"):
            broker.publish(names.EXCHANGE_EVENTS, "ticket.commented", Message(b"x"))
    finally:
        broker.stop()


def test_what_is_missing_for_provisioning_is_named(project: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rabbitmq", "provision"]) == 2
    assert "--management-url" in capsys.readouterr().err
    assert main(["rabbitmq", "declare"]) == 2
    assert "FUSEBOX_AMQP_URL" in capsys.readouterr().err
    assert main(["rabbitmq", "provision", "--management-url", "http://u:hidden@127.0.0.1:1"]) == 2
    said = capsys.readouterr().err
    assert "rabbitmq-plugins enable" in said
    assert "hidden" not in said


def test_a_management_password_is_not_repeated(managed: Managed, project: str) -> None:
    port = urlsplit(managed.management).port
    with pytest.raises(ConfigError, match="administrator") as failure:
        Management(f"http://nobody:{quote('hidden/word', safe='')}@127.0.0.1:{port}").permissions()
    assert "hidden" not in str(failure.value)
