"""How long a word holds with Redis, watch or both away; and what is not a genuine, timely Command. No part is faked."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from pydantic import SecretStr

from collector.setup import load_signer
from fusebox.clock import ManualClock, SystemClock
from fusebox.command import Command, Order, Signer, agent_scope
from fusebox.config import Config
from fusebox.errors import AgentKilled, AgentTripped, AgentUnverified
from fusebox.records import Action, ActionKind
from fusebox.stream import CommandStream
from rabbitmq import Agent, Runtime
from rabbitmq.inprocess import InProcessBroker
from tests.breakers.test_hot_path import input_and_output
from tests.fixtures.agents import eventually
from tests.fixtures.store import RedisServer
from tests.fixtures.watch import Harness

KEEP_S = 120.0
AGENTS = '[agents.careful]\nowner = "jo"\nrisk = "high"\n[agents.plain]\nowner = "jo"\n[agents.open]\nowner = "jo"\n'


@dataclass
class Site:
    """A watch, a Redis, and one process with three agents, whose clock is ours."""

    harness: Harness
    redis: RedisServer
    runtime: Runtime
    clock: ManualClock
    agents: dict[str, Agent]

    def act(self, agent: str) -> None:
        self.agents[agent].context().tool("work", lambda: 1)

    def acts(self, agent: str) -> bool:
        try:
            self.act(agent)
        except AgentUnverified:
            return False
        return True

    def lose_both(self) -> None:
        """Stop the two that could tell a newer word."""
        self.harness.stop()
        self.redis.stop()

    def is_old(self) -> bool:
        """Let twice the time pass for which a word holds; an answer that was on its way may have made it new again."""
        self.clock.advance(KEEP_S * 2)
        return not self.acts("careful")


@pytest.fixture
def site(watch_config: Config, redis_server: RedisServer) -> Iterator[Site]:
    watch_config.agents_file.write_text(AGENTS)
    config = watch_config.model_copy(update={"redis_url": SecretStr(redis_server.url)})
    harness = Harness(config, SystemClock()).start()
    clock = ManualClock(time.time())
    runtime = Runtime.from_config(config, broker=InProcessBroker(), name="test", clock=clock)
    agents = {name: Agent(name, runtime) for name in ("careful", "plain", "open")}
    for agent in agents.values():
        agent.start()
    yield Site(harness, redis_server, runtime, clock, agents)
    runtime.stop(2)
    harness.close()


def test_with_redis_or_watch_alone_the_word_stays_fresh(site: Site) -> None:
    site.harness.stop()
    site.clock.advance(KEEP_S * 2)
    eventually(lambda: site.acts("careful"), what="the board has told again")
    site.harness.start()
    site.redis.stop()
    eventually(lambda: site.harness.operator().board()["processes"], what="the process is back at watch")
    site.clock.advance(KEEP_S * 2)
    site.harness.operator().trip("nobody", "ends every long poll")
    eventually(lambda: site.acts("careful"), what="watch has told again")


def test_with_both_away_high_risk_waits_after_a_while_and_the_rest_as_it_was(site: Site) -> None:
    site.runtime.circuits.trip("open", reason="loops", actor="detector:x")
    site.lose_both()
    assert site.acts("careful"), "the last word holds for a time"
    eventually(site.is_old, what="the last word is too old")
    with pytest.raises(AgentUnverified, match="no word from watch or the board for 120 s"):
        site.act("careful")
    site.act("plain")
    site.clock.advance(3600)
    with pytest.raises(AgentTripped):
        site.act("open")
    site.redis.start()
    eventually(lambda: site.acts("careful"), what="the board has told again")


def test_killed_stays_killed_with_both_away(site: Site) -> None:
    site.harness.operator().kill("agent:plain", "enough")
    eventually(lambda: site.runtime.latch.killed("plain"), what="the kill arrives")
    site.lose_both()
    site.clock.advance(1e6)
    with pytest.raises(AgentKilled):
        site.act("plain")


def stream(site: Site) -> CommandStream:
    return CommandStream(site.redis.url, "default")


def denials(site: Site) -> list[tuple[str, str, int]]:
    entries = [e for e in site.harness.journal("denial") if e["actor"] == "command"]
    return [(e["subject"], e["reason"], e["payload"]["count"]) for e in entries]


@pytest.mark.parametrize("number", [200])
def test_forged_and_stale_commands_change_nothing_and_are_audited_once_a_minute(site: Site, number: int) -> None:
    kill = site.harness.operator().kill("agent:plain", "enough")["kill"]
    eventually(lambda: site.runtime.latch.killed("plain"), what="the kill arrives")
    resume = Command(Order.RESUME, agent_scope("plain"), "mallory", "please", time.time() - 3600, lifts=(kill,))
    genuine = load_signer(site.harness.config).sign(resume)
    head, _, signature = genuine.decode().rpartition(".")
    strangers: list[Callable[[int], bytes]] = [
        lambda n: Signer.generate().sign(Command(Order.RESUME, "all", "m", str(n), time.time(), lifts=(kill,))),
        lambda n: f"{head}.{'A' * len(signature)}".encode(),
        lambda n: genuine.replace(b"fusebox1", b"fusebox0"),
        lambda n: b"\xff" * (n + 1),
    ]
    carrier = stream(site)
    for n in range(number):
        carrier.append(strangers[n % len(strangers)](n), resume.__class__(Order.KILL, "all", "m", "", 0.0))
    carrier.append(genuine, Command(Order.KILL, "all", "m", "", 0.0))
    carrier.close()
    eventually(lambda: len(denials(site)) == 2, what="both are in the journal")
    with pytest.raises(AgentKilled):
        site.act("plain")
    assert [(reason, count) for _, reason, count in denials(site)] == [
        ("a Command was forged, damaged or meant for others", 1), ("a genuine Command came outside its window", 1),
    ]  # fmt: skip
    site.clock.advance(60)
    eventually(lambda: sum(count for *_, count in denials(site)) == number + 1, what="the rest, counted")
    assert len(denials(site)) <= 4


def test_all_guards_of_a_running_agent_do_no_input_or_output(site: Site) -> None:
    actions = [Action(kind, agent, "op", workflow="w") for kind in ActionKind for agent in site.agents]
    with input_and_output() as seen:
        assert all(site.runtime.guards.check(action).allowed for action in actions)
    assert seen == []
