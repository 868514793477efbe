"""What is in the journal beside orders: rulings, who came, what was configured, what became of it; never too much."""

from __future__ import annotations

import json
import os
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pika
import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from collector.audit.entry import Note
from collector.audit.files import entries
from collector.audit.journal import Journal, JournalBroken
from collector.configured import declare
from collector.readers import Reader, Readers
from collector.watch.changes import MAX_DIFF
from collector.watch.counted import MAX_KINDS, Counted
from collector.watch.rulings import IN_FULL
from fusebox.cli import main
from fusebox.clock import ManualClock
from fusebox.config import Config
from fusebox.control import ControlClient, ControlRefused
from fusebox.errors import ControlUnavailable
from fusebox.names import dead_queue
from fusebox.records import Action, ActionKind, Decision, Verdict
from governance.audit import MAX_REASONS, AuditClient
from rabbitmq import Agent, Runtime
from rabbitmq.amqp import AmqpBroker
from rabbitmq.broker import Message
from rabbitmq.context import Context
from rabbitmq.inprocess import InProcessBroker
from rabbitmq.topology import agent_topology
from tests.fixtures.agents import eventually
from tests.fixtures.collector import until
from tests.fixtures.watch import Harness

MANY = 100_000
WORDS = ("alpha", "beta", "gamma", "delta", "omega")


def words(number: int) -> str:
    """A sentence of its own for every number, which no normalising makes the same."""
    return " ".join(WORDS[number // 5**place % 5] for place in range(8))


def deny(client: AuditClient, reason: str) -> None:
    action = Action(ActionKind.TOOL_CALL, "bot", "tickets.comment", trace_id="ab" * 16)
    client.ruled(action, Verdict(Decision.DENY, "circuit", reason))


class TestAFlood:
    @pytest.mark.parametrize("reason", [lambda _: "it is open", words], ids=["one reason", "a new reason each time"])
    def test_of_denials_is_a_few_entries_and_their_sum_is_exact(
        self, harness: Harness, reason: Callable[[int], str]
    ) -> None:
        clock = ManualClock(time.time() // 60 * 60)
        client = AuditClient(harness.agent().send, clock, process="p1")
        client.start()
        for number in range(MANY):
            deny(client, reason(number))
            if number == MANY // 2:
                clock.advance(60)
        client.stop(20)
        harness.stop()
        rows = harness.journal("denial")
        assert sum(row["payload"]["count"] for row in rows) == MANY
        assert len(rows) <= 2 * (MAX_REASONS + 1) + MAX_REASONS

    def test_by_a_process_that_counts_nothing_is_bounded_by_its_token(self, harness: Harness) -> None:
        row = {"agent": "bot", "guard": "g", "decision": "deny", "action": "publish", "minute": 0, "count": 3}
        for batch in range(4):
            rows = [{**row, "reason": words(batch * 100 + number), "trace_id": ""} for number in range(100)]
            harness.agent().send("denials", {"process": "p1", "rows": rows})
        harness.stop()
        entries = harness.journal("denial")
        assert sum(entry["payload"]["count"] for entry in entries) == 4 * 100 * 3
        assert len(entries) <= 2 * (IN_FULL + 1), "of two minutes at most"

    def test_of_kinds_and_causes_is_bounded_and_no_minute_is_lost_to_a_broken_disk(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        clock, journal = ManualClock(), Journal(tmp_path, ManualClock())
        counted = Counted(journal, clock, full=1)
        for number in range(MAX_KINDS + 50):
            counted.add("somebody", Note("x", "a", str(number)))
        clock.advance(60)
        with monkeypatch.context() as patched:
            patched.setattr(os, "fdatasync", _fail)
            assert not counted.settle()
        assert counted.settle()
        written = list(entries(tmp_path))
        assert sum(entry["payload"]["count"] for entry in written) == MAX_KINDS + 50
        assert len(written) == 1 + MAX_KINDS + 1


def test_a_denial_and_the_message_held_for_it_are_on_record_with_their_trace(harness: Harness) -> None:
    runtime = Runtime.from_config(harness.config, broker=InProcessBroker(), name="test")
    agent, started, go_on = Agent("bot", runtime), threading.Event(), threading.Event()

    @agent.on("ticket.commented")
    def handle(_payload: dict[str, Any], ctx: Context) -> None:
        started.set()
        go_on.wait(10)
        ctx.tool("work", lambda: 1)

    agent.start()
    try:
        agent.context().publish("ticket.commented", {"n": 1})
        assert started.wait(10)
        harness.operator().trip("bot", "loops")
        eventually(lambda: runtime.circuits.circuit("bot").stops, what="the circuit is open")
        go_on.set()
        (denial,) = until(lambda: harness.journal("denial"), "the tool call was denied")
        assert (denial["actor"], denial["subject"], denial["payload"]["action"]) == ("circuit", "bot", "tool_call")
        (hold,) = until(lambda: harness.journal("hold"), "its message is held")
        assert (hold["actor"], hold["subject"], hold["payload"]["action"]) == ("circuit", "bot", "consume")
        assert hold["trace_id"] == denial["trace_id"] != ""
    finally:
        agent.stop(5)
        runtime.stop(5)


class TestWhoCame:
    def test_a_token_used_from_somewhere_is_one_entry_and_the_board_is_no_news(self, harness: Harness) -> None:
        for _ in range(3):
            harness.operator().board()
        (login,) = harness.journal("login")
        assert (login["actor"], login["subject"]) == ("operator:local", "127.0.0.1")

    def test_tokens_that_open_nothing_are_one_entry_and_a_count(self, watch_config: Config) -> None:
        harness = Harness(watch_config, ManualClock())
        with closing(harness.start()):
            for number in range(30):
                with pytest.raises(ControlRefused, match="operators add"):
                    ControlClient(harness.watch.url, f"guess{number}").board()
            assert [entry["payload"]["count"] for entry in harness.journal("login_failed")] == [1]
            harness.stop()
            assert [entry["payload"]["count"] for entry in harness.journal("login_failed")] == [1, 29]
            assert not harness.journal("login")

    def test_a_guess_on_a_confirmation_page_counts_too(self, harness: Harness) -> None:
        form = {"order": "kill", "scope": "agent:bot", "token": "guess"}
        requests.post(f"{harness.watch.url}/login", data=form, timeout=5)
        (failed,) = harness.journal("login_failed")
        assert (failed["actor"], failed["subject"]) == ("address:127.0.0.1", "/login")
        local = form | {"token": (harness.config.data_dir / "operator.token").read_text()}
        requests.post(f"{harness.watch.url}/login", data=local, timeout=5)
        assert [entry["actor"] for entry in harness.journal("login")] == ["operator:local"]

    def test_readers_come_and_go_on_record(self, harness: Harness) -> None:
        Readers(harness.config.data_dir).add(Reader("auditor-jo"))
        found = until(lambda: [e for e in harness.journal("operator") if e["subject"] == "auditor-jo"], "seen")
        assert found[0]["payload"] == {"list": "reader", "added": True}


class TestWhatBecameOfIt:
    def test_every_order_has_an_outcome(self, harness: Harness) -> None:
        kill = harness.operator().kill("agent:bot", "loops")["command"]
        resume = harness.operator().resume("agent:bot", "fixed")["command"]
        trip = harness.operator().trip("bot", "again")["command"]
        outcomes = {entry["subject"]: entry for entry in harness.journal("outcome")}
        assert {id: outcomes[id]["payload"]["order"] for id in (kill, resume, trip)} == {
            kill: "kill", resume: "resume", trip: "trip"
        }  # fmt: skip
        assert {entry["reason"] for entry in outcomes.values()} == {"done"}

    def test_an_order_that_broke_off_says_so(self, harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
        harness.operator().kill("agent:bot", "loops")
        with monkeypatch.context() as patched:
            patched.setattr("breakers.latch.Latch.lift", _fail)
            with pytest.raises(ControlUnavailable, match="nothing was resumed"):
                harness.operator().resume("agent:bot", "fixed")
        intent, outcome = harness.journal("resume")[-1], harness.journal("outcome")[-1]
        assert outcome["subject"] == intent["payload"]["command"]["id"]
        assert outcome["reason"].startswith("failed: ")
        assert outcome["seq"] > intent["seq"]


def test_a_resume_that_one_person_alone_wanted_is_on_record(harness: Harness) -> None:
    harness.config.agents_file.write_text('[agents.bot]\nowner = "jo"\nrisk = "high"\n')
    harness.restart()
    harness.operator().kill("agent:bot", "loops")
    with pytest.raises(ControlRefused, match="second operator"):
        harness.operator().resume("agent:bot", "just me")
    (refused,) = harness.journal("refused")
    assert (refused["actor"], refused["subject"]) == ("operator:local", "agent:bot")
    assert harness.journal("resume") == []


class TestConfiguration:
    def config_entries(self, harness: Harness, role: str = "watch") -> list[dict[str, Any]]:
        return [entry for entry in harness.journal("config") if entry["subject"] == role]

    def test_what_changed_between_two_starts_is_journaled_once_and_without_secrets(self, harness: Harness) -> None:
        (first,) = self.config_entries(harness)
        assert first["reason"] == "first start"
        harness.config.agents_file.write_text('[agents.bot]\nowner = "jo"\nrisk = "high"\n')
        rules = harness.config.data_dir / "rules.toml"
        rules.write_text('[repetition]\nmode = "warn"\n')
        alerts = harness.config.data_dir / "alerts.toml"
        alerts.write_text(
            '[sinks.chat]\ntype = "slack"\nurl = "https://chat.example/T/hunter5"\n'
            '[sinks.pager]\ntype = "pagerduty"\nkey = "hunter6"\nsecret = "env:PAGER"\n'
            '[sinks.phone]\ntype = "apprise"\nurl = "tgram://hunter8/hunter9"\n'
            '[sinks.hook]\ntype = "webhook"\nkeys = ["whsec_hunter10"]\n'
            '[[routes]]\nto = ["chat"]\n[[routes]]\nurl = "https://x.example/hunter7"\n'
        )
        secrets = {
            "amqp_url": SecretStr("amqp://ann:hunter2@mq.example:5672/prod"), "lineage_key": SecretStr("hunter3"),
            "rules_file": rules, "alerts_file": alerts, "management_url": SecretStr("https://mq.example/hunter4"),
            "alert_webhook_url": SecretStr("https://pager.example/hunter11"),
        }  # fmt: skip
        declare(harness.config.model_copy(update=secrets), "receive")
        until(lambda: self.config_entries(harness, "receive"), "another role's start is seen")
        harness.restart()
        second = self.config_entries(harness)[1]
        diff = {each["name"]: (each["before"], each["after"]) for each in second["payload"]["diff"]}
        assert diff == {"agents.agents.bot.owner": (None, "jo"), "agents.agents.bot.risk": (None, "high")}
        assert second["payload"]["known"]
        receive = {
            each["name"]: each["after"] for each in self.config_entries(harness, "receive")[0]["payload"]["diff"]
        }
        assert receive["settings.amqp_url"] == "amqp://ann:***@mq.example:5672/prod"
        assert receive["settings.management_url"] == "https://mq.example"
        assert receive["settings.alert_webhook_url"] == "https://pager.example"
        assert receive["settings.lineage_key"] == "set"
        assert receive["rules.repetition.mode"] == "warn"
        assert receive["alerts.sinks.chat.url"] == "https://chat.example"
        assert receive["alerts.sinks.pager.key"] == "set"
        assert receive["alerts.sinks.pager.secret"] == "env:PAGER"
        assert receive["alerts.sinks.phone.url"] == "tgram://***"
        assert receive["alerts.sinks.hook.keys"] == "set"
        assert receive["alerts.routes.0.to"] == '["chat"]'
        assert "hunter" not in json.dumps(harness.journal())
        harness.restart()
        assert len(self.config_entries(harness)) == 2, "an unchanged configuration is no news"

    def test_a_former_configuration_that_somebody_edited_is_not_believed(self, harness: Harness) -> None:
        path = harness.config.data_dir / "configured" / "watch.journaled.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"version": "0"}))
        harness.config.agents_file.write_text('[agents.bot]\nowner = "jo"\n')
        harness.restart()
        last = self.config_entries(harness)[-1]["payload"]
        assert not last["known"]
        assert {"name": "agents.agents.bot.owner", "before": None, "after": "jo"} in last["diff"]

    def test_a_large_registry_does_not_make_a_large_entry(self, harness: Harness) -> None:
        harness.config.agents_file.write_text("".join(f'[agents.a{n}]\nowner = "jo"\n' for n in range(MAX_DIFF + 7)))
        harness.restart()
        payload = self.config_entries(harness)[-1]["payload"]
        assert (len(payload["diff"]), payload["more"]) == (MAX_DIFF, 7)


class TestMessages:
    def test_a_purge_is_recorded_before_and_after_and_refused_without_watch(
        self, harness: Harness, amqp: AmqpBroker, rabbitmq_url: str, unique: Callable[[str], str],
        monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    ) -> None:  # fmt: skip
        agent = unique("bot").replace(".", "-")
        amqp.declare(agent_topology(agent, []))
        for number in range(3):
            amqp.publish("", dead_queue(agent), Message(b"{}", message_id=f"m-{number}"))
        for name, value in {"DATA_DIR": str(harness.config.data_dir), "AMQP_URL": rabbitmq_url}.items():
            monkeypatch.setenv(f"FUSEBOX_{name}", value)
        assert main(["dlq", "replay", agent, "--message", "m-0"]) == 0
        assert main(["dlq", "purge", agent, "--all"]) == 0
        assert "2 thrown away" in capsys.readouterr().out
        replay, discard = harness.journal("replay", "discard")
        assert (discard["actor"], discard["subject"], discard["reason"]) == ("operator:local", agent, "all")
        assert replay["reason"] == "message m-0"
        counts = {entry["subject"]: entry["payload"]["count"] for entry in harness.journal("outcome")}
        assert counts == {replay["payload"]["order"]: 1, discard["payload"]["order"]: 2}
        harness.stop()
        amqp.publish("", dead_queue(agent), Message(b"{}", message_id="m-9"))
        assert main(["dlq", "purge", agent, "--all"]) == 2
        assert "watch is not running" in capsys.readouterr().err
        assert amqp.depth(dead_queue(agent)) == 1

    def test_a_replay_that_leaves_some_behind_is_recorded_with_what_it_had_put_back(
        self, harness: Harness, amqp: AmqpBroker, rabbitmq_url: str, unique: Callable[[str], str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:  # fmt: skip
        agent = unique("bot").replace(".", "-")
        amqp.declare(agent_topology(agent, []))
        with closing(pika.BlockingConnection(pika.URLParameters(rabbitmq_url))) as stranger:
            channel = stranger.channel()
            channel.confirm_delivery()
            for headers in ({}, {}, {"more than we carry": "x" * 100_000}, {}):
                channel.basic_publish("", dead_queue(agent), b"{}", pika.BasicProperties(headers=headers))
        eventually(lambda: amqp.depth(dead_queue(agent)) == 4, what="four dead messages")
        for name, value in {"DATA_DIR": str(harness.config.data_dir), "AMQP_URL": rabbitmq_url}.items():
            monkeypatch.setenv(f"FUSEBOX_{name}", value)
        assert main(["dlq", "replay", agent, "--all"]) == 2
        (outcome,) = harness.journal("outcome")
        assert outcome["payload"]["count"] == 3
        assert "broke off" in json.dumps(outcome)
        eventually(lambda: amqp.depth(dead_queue(agent)) == 1, what="the one is where it was")


def _fail(*_: object) -> None:
    raise OSError(5, "input/output error")


Step = tuple[str, str, int]


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("add"), st.sampled_from("ab"), st.integers(1, 9)),
            st.tuples(st.just("later"), st.just(""), st.integers(1, 90)),
            st.tuples(st.sampled_from(("break", "mend", "settle")), st.just(""), st.just(0)),
        ),
        max_size=60,
    )
)
def test_counted_entries_against_a_model(steps: list[Step]) -> None:
    """What was taken is written or owed in the end, to the last one; no minute has more entries than it may."""
    clock, disk = ManualClock(), Disk()
    counted = Counted(disk, clock, full=2)  # type: ignore[arg-type]
    taken: Counter[str] = Counter()
    for step, cause, number in steps:
        if step == "add":
            with suppress(JournalBroken):
                counted.add(cause, Note("x", cause, "s"), number)
                taken[cause] += number
        elif step == "later":
            clock.advance(number)
        elif step == "settle":
            counted.settle()
        else:
            disk.broken = step == "break"
    assert counted.settle(now=True)
    written: Counter[str] = Counter()
    for note in (*disk.notes, *disk.owed):
        written[note.actor] += note.payload["count"]
    assert written == taken
    minutes = 1 + sum(number for step, _, number in steps if step == "later") // 60 + 1
    assert len(disk.notes) + len(disk.owed) <= minutes * 2 * (2 + 1)


class Disk:
    """A journal that breaks and mends as told."""

    def __init__(self) -> None:
        self.notes: list[Note] = []
        self.owed: list[Note] = []
        self.broken = False

    def append(self, note: Note) -> int:
        if self.broken:
            raise JournalBroken("broken")
        self.notes.append(note)
        return len(self.notes) - 1

    def record(self, note: Note) -> None:
        (self.owed if self.broken else self.notes).append(note)
