"""The share of the fleet that live findings may have open: beyond it people are paged, and only they open and kill."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fusebox import happenings
from fusebox.clock import SystemClock
from fusebox.config import Config
from tests.fixtures.collector import until
from tests.fixtures.watch import FakeProcess, Harness

RULES = "[fleet]\nmax_share = 0.5\nmin_fleet = 4\n"
KILLING = "[repetition]\nkill = true\n"


@pytest.fixture
def harness(watch_config: Config, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Harness]:
    rules = tmp_path / "rules.toml"
    rules.write_text(RULES + getattr(request, "param", ""))
    running = Harness(watch_config.model_copy(update={"rules_file": rules}), SystemClock())
    running.start()
    yield running
    running.close()


def opened(harness: Harness, agent: str) -> None:
    harness.spans(agent, 8, step=0.001)
    until(lambda: harness.state(agent) == "open", f"{agent} is open")


def withheld(harness: Harness, agent: str) -> dict[str, Any]:
    before = happenings.counts()["opening_withheld"]
    harness.spans(agent, 8, step=0.001)
    until(lambda: happenings.counts()["opening_withheld"] > before, f"the finding on {agent} is withheld")
    (entry,) = until(lambda: [e for e in harness.journal("withheld") if e["subject"] == agent], "it is journaled")
    return entry


def pages(harness: Harness) -> list[dict[str, Any]]:
    log = harness.config.data_dir / "alerts.log"
    alerts = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    return [alert for alert in alerts if alert["type"] == "circuit.withheld"]


def test_half_of_a_fleet_opens_and_then_people_are_paged(harness: Harness, process: Callable[..., FakeProcess]) -> None:
    process("p1", "bot-1", "bot-2", "bot-3")
    harness.spans("bot-4", 1)  # has no lease; it spoke
    opened(harness, "bot-1")
    opened(harness, "bot-2")
    entry = withheld(harness, "bot-3")
    assert entry["reason"] == "2 of 4 agents are open already; one more would exceed max_share = 0.5"
    assert harness.state("bot-3") != "open"
    (page,) = until(lambda: pages(harness), "people are paged")
    assert (page["data"]["severity"], page["data"]["agent"]) == ("critical", "bot-3")
    withheld(harness, "bot-3")
    assert len(pages(harness)) == 1, "said once"

    harness.restart()
    withheld(harness, "bot-3")
    assert len(harness.journal("withheld")) == 1, "and not again after a restart"
    harness.operator().trip("bot-3", "I looked")
    harness.operator().kill("agent:bot-4", "and I as well")
    assert (harness.state("bot-3"), harness.state("bot-4")) == ("open", "forced_open")


def test_room_is_made_by_a_reset_and_what_persons_opened_does_not_count(
    harness: Harness, process: Callable[..., FakeProcess]
) -> None:
    process("p1", "bot-1", "bot-2", "bot-3", "bot-4")
    harness.operator().trip("bot-1", "by hand")
    opened(harness, "bot-2")
    opened(harness, "bot-3")
    withheld(harness, "bot-4")
    harness.operator().reset("bot-2", "fixed")
    opened(harness, "bot-4")


def test_a_small_fleet_has_no_share(harness: Harness, process: Callable[..., FakeProcess]) -> None:
    process("p1", "bot-1", "bot-2", "bot-3")
    for agent in ("bot-1", "bot-2", "bot-3"):
        opened(harness, agent)
    assert harness.journal("withheld") == []


@pytest.mark.parametrize("harness", [KILLING], indirect=True)
def test_a_rule_with_kill_cuts_its_agent_once_and_only_a_person_brings_it_back(
    harness: Harness, process: Callable[..., FakeProcess]
) -> None:
    bot = process("p1", "bot-1")
    harness.spans("bot-1", 8, step=0.001)
    until(lambda: bot.latch.killed("bot-1"), "the kill arrives")
    (entry,) = harness.journal("kill")
    assert (entry["actor"], entry["subject"]) == ("detector:repetition", "agent:bot-1")
    assert entry["reason"]
    assert harness.journal("trip"), "people are told by the opening"
    harness.spans("bot-1", 8, step=0.001)
    written = harness.written
    until(lambda: harness.watch._live.position >= written, "judged")
    assert len(harness.journal("kill")) == 1
    harness.restart()
    assert harness.state("bot-1") == "forced_open"
    assert harness.operator().resume("agent:bot-1", "looked into it")["lifted"] == [entry["payload"]["command"]["id"]]
