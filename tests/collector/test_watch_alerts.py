"""Watch tells people: every kind of alert, silences and acknowledgements over restarts, the heartbeat, the verb."""

import itertools
import json
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from collector.alerts import register
from collector.alerts.writer import Writer
from collector.watch import vigil
from collector.watch.dead import DeadLetters
from collector.watch.leases import Receipts
from collector.watch.vigil import Vigil
from fusebox import cli
from fusebox.clock import ManualClock, SystemClock
from fusebox.command import Command, Order
from fusebox.config import Config
from fusebox.control import ControlRefused
from fusebox.names import dead_queue
from fusebox.rundir import announce
from rabbitmq.amqp import AmqpBroker
from rabbitmq.broker import Message, Queue, Topology
from tests.collector.receiver import SECRET, Receiver
from tests.collector.spans import Span, request
from tests.fixtures.broker import Unique
from tests.fixtures.collector import until
from tests.fixtures.watch import FakeProcess, Harness

Json = dict[str, Any]
BUSY = (503, {"retry-after": "3600"}, b"")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    server = Receiver()
    yield server
    server.close()


@pytest.fixture
def ruled(watch_config: Config, receiver: Receiver, tmp_path: Path) -> Iterator[Callable[[str], Harness]]:
    """``ruled(more)`` is a watch with a pager, and more in its alerts.toml."""
    started: list[Harness] = []

    def start(more: str = "") -> Harness:
        file = tmp_path / "alerts.toml"
        file.write_text(
            f'[sinks.pager]\ntype = "webhook"\nurl = "{receiver.url}"\nkeys = ["{SECRET}"]\n'
            f'allow_networks = ["127.0.0.0/8"]\ngroup_s = 0\n{more}'
        )
        config = watch_config.model_copy(update={"alerts_file": file})
        started.append(Harness(config, SystemClock()))
        return started[-1].start()

    yield start
    for running in started:
        running.close()


def told(harness: Harness, type: str) -> list[Json]:
    return [alert for alert in harness.operator().alerts()["alerts"] if alert["type"] == type]


def judged(harness: Harness) -> bool:
    figures = {sample.name: sample.value for sample in harness.watch.samples()}
    return figures["watch_judged_record"] >= harness.written


def paged(receiver: Receiver) -> list[str]:
    return [json.loads(body)["type"] for _, body in list(receiver.got)]


class TestKinds:
    def test_an_opening_says_whom_why_and_what_to_do(
        self, watch_config: Config, ruled: Any, receiver: Receiver
    ) -> None:
        watch_config.agents_file.write_text('[agents.bot]\nowner = "jo@example.com"\nteam = "support"\n')
        harness = ruled('[links]\ndashboard = "https://fusebox.example.com"\n')
        harness.spans("bot", 30)
        until(lambda: "circuit.opened" in paged(receiver), "people were paged")
        data = json.loads(receiver.got[0][1])["data"]
        assert (data["agent"], data["team"], data["owner"]) == ("bot", "support", "jo@example.com")
        assert data["severity"] == "critical"
        assert data["evidence"]["score"] >= data["evidence"]["threshold"]
        assert data["incident"] == f"https://fusebox.example.com/incident?trip={data['transition']}"
        assert any(command.startswith("fusebox resume bot") for command in data["commands"])

    def test_an_alert_leads_to_where_people_reach_the_dashboard_and_not_to_where_it_listens(
        self, watch_config: Config, ruled: Any, receiver: Receiver
    ) -> None:
        watch_config.agents_file.write_text('[agents.bot]\nowner = "jo@example.com"\n')
        harness = ruled()
        announce(watch_config.data_dir, "dashboard", url="http://127.0.0.1:8501", page="https://fusebox.example.com")
        harness.spans("bot", 30)
        until(lambda: "circuit.opened" in paged(receiver), "people were paged")
        data = json.loads(receiver.got[0][1])["data"]
        assert data["incident"] == f"https://fusebox.example.com/incident?trip={data['transition']}"

    def test_every_alert_names_the_page_that_tells_it(self) -> None:
        writer = Writer(lambda: "https://fusebox.example.com/", lambda: "https://control.example.com")
        pages = {
            "agents?agent=b%2Fot": writer.dead_letters("b/ot", 3, 0.0),
            "audit": writer.audit_failed("entry 7 was changed", "watch:7", 0.0),
            "health": writer.broken_path("no canary", 0.0),
        }
        for page, alert in pages.items():
            assert alert.data["incident"] == f"https://fusebox.example.com/{page}"
        unseen = Writer(lambda: None, lambda: "").dead_letters("bot", 3, 0.0)
        assert "incident" not in unseen.data

    def test_what_a_person_orders_is_news_and_pages_nobody(self, ruled: Any, receiver: Receiver) -> None:
        harness = ruled()
        harness.operator().kill("agent:bot", "smells")
        harness.operator().resume("agent:bot", "fine")
        until(lambda: len(told(harness, "agent.resumed")) == 1, "it is in the list")
        (kill,) = told(harness, "agent.killed")
        assert (kill["severity"], kill["reason"]) == ("info", "local killed agent:bot: smells")
        assert kill["sinks"].keys() == {"log"}
        assert receiver.got == []

    def test_a_process_that_does_not_confirm_a_kill(
        self, ruled: Any, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(vigil, "RECEIPT_DUE_S", 0.2)
        harness = ruled()
        silent = FakeProcess(harness.agent, "p1", ("bot",), harness.keyring, harness.clock)
        silent.acknowledge = False
        silent.step()
        harness.operator().kill("agent:bot", "smells")
        until(lambda: paged(receiver) == ["receipts.missing"], "people were paged")
        data = json.loads(receiver.got[0][1])["data"]
        assert (data["missing"], data["agent"]) == (["p1"], "bot")

    def test_a_process_that_stopped_in_good_order_owes_no_receipt(self, clock: ManualClock) -> None:
        receipts, command = Receipts(clock), Command(Order.KILL, "agent:bot", "jo", "x", clock.wall())
        receipts.expect(command, ("p1", "p2", "p3"))
        receipts.receive(command.id, "p1", clock.now())
        receipts.left("p2")
        assert receipts.overdue(10) == []
        clock.advance(10)
        assert receipts.overdue(10) == [(command, ["p3"])]

    def test_messages_in_dead_letters_once_until_they_are_gone(self, amqp: AmqpBroker, unique: Unique) -> None:
        agent, seen = unique("bot"), []
        watcher = DeadLetters(amqp.depth, lambda: [agent, "nobody"], lambda *what: seen.append(what))
        watcher.look()
        amqp.declare(Topology(queues=(Queue(dead_queue(agent)),)))
        for _ in range(2):
            amqp.publish("", dead_queue(agent), Message(b"{}"))
        until(lambda: amqp.depth(dead_queue(agent)) == 2, "both are there")
        watcher.look()
        watcher.look()
        assert seen == [(agent, 2)]
        amqp.purge(dead_queue(agent))
        watcher.look()
        amqp.publish("", dead_queue(agent), Message(b"{}"))
        until(lambda: amqp.depth(dead_queue(agent)) == 1, "one more")
        watcher.look()
        assert seen == [(agent, 2), (agent, 1)]

    def test_spans_that_never_arrived_once_while_they_are_missing(self, clock: ManualClock) -> None:
        lost, seen = {"bot": 3}, []
        watcher = Vigil(
            Receipts(clock), lambda: dict(lost), clock, unconfirmed=lambda *_: None, gap=lambda *w: seen.append(w)
        )
        for _ in range(3):
            watcher.look()
            clock.advance(1)
        assert seen == [("bot", 3)]
        lost.clear()
        watcher.look()
        clock.advance(1)
        lost["bot"] = 1
        watcher.look()
        assert seen == [("bot", 3), ("bot", 1)]

    def test_a_budget_that_burns(self, watch_config: Config, ruled: Any, receiver: Receiver) -> None:
        watch_config.agents_file.write_text('[agents.bot]\nowner = "jo"\ntokens_per_minute = 1000\n')
        harness = ruled()
        now = harness.clock.now()
        for call in range(92):
            harness.spans(
                "bot", 1, start=now - 10 * (91 - call),
                **{
                    "fusebox.action": "model_call", "fusebox.request.hash": f"{call:016x}",
                    "fusebox.request.simhash": f"{call * 0x9E3779B97F4A7C15 % (1 << 64):016x}",
                    "fusebox.result.hash": f"{call + 999:016x}", "gen_ai.usage.input_tokens": 175,
                },
            )  # fmt: skip
        until(lambda: "budget.burning" in paged(receiver), "people were paged")
        (tile,) = harness.operator().board()["circuits"]
        assert (tile["state"], tile["warning"]["detector"]) == ("closed", "burn")
        assert "budget" in tile["warning"]["reason"]

    def test_a_provider_that_is_down_is_one_alert_and_stops_nobody(
        self, watch_config: Config, ruled: Any, receiver: Receiver
    ) -> None:
        """Twenty agents ask the same every ten seconds; whatever is sent again, their libraries say so."""
        names = [f"bot-{number}" for number in range(20)]
        watch_config.agents_file.write_text("".join(f'[agents.{name}]\nowner = "jo"\n' for name in names))
        harness = ruled()
        now = harness.clock.now()
        for number, (turn, name) in enumerate(itertools.product(range(12), names)):
            asked = {
                "fusebox.action": "model_call", "gen_ai.agent.id": name, "fusebox.operation": "gpt-5",
                "error.type": "upstream_error", "fusebox.request.hash": "aa", "fusebox.result.hash": "bb",
            }  # fmt: skip
            sent = [
                Span(3 * number + n + 1, start=now - 150 + 10 * turn + n, status=2, attributes=asked | told)
                for n, told in enumerate([{}, {"http.request.resend_count": 1}, {"http.request.resend_count": 2}])
            ]
            harness.raw(request(*sent))
        until(lambda: "provider.failing" in paged(receiver), "people were paged")
        until(lambda: judged(harness), "all of it is judged")
        assert paged(receiver) == ["provider.failing"]
        assert {circuit["state"] for circuit in harness.operator().board()["circuits"]} == {"closed"}
        told = json.loads(receiver.got[0][1])["data"]
        assert told["reason"].startswith("the provider of gpt-5 fails or is busy (upstream_error): the last ")
        assert "bot-1, " in told["reason"]

    def test_a_journal_that_was_changed_is_told_at_the_next_start_once(self, ruled: Any, receiver: Receiver) -> None:
        harness = ruled()
        for number in range(3):
            harness.operator().kill("agent:bot", f"reason {number}")
        harness.stop()
        (file,) = (harness.config.data_dir / "journal" / "watch").glob("0*.jsonl")
        file.write_text(file.read_text().replace("reason 1", "reason 9"))
        harness.start()
        until(lambda: paged(receiver) == ["audit.failed"], "people were paged")
        harness.restart()
        assert len(told(harness, "audit.failed")) == 1
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("FUSEBOX_DATA_DIR", str(harness.config.data_dir))
            environment.setenv("FUSEBOX_CONTROL_URL", harness.watch.url)
            assert cli.main(["audit", "verify"]) == 1
        assert "edited" in told(harness, "audit.failed")[0]["reason"]

    def test_an_auditor_who_finds_it_broken_tells_everybody(self, ruled: Any, receiver: Receiver) -> None:
        harness = ruled()
        for _ in range(2):
            harness.operator().audit_failed("checkpoint 7 has another root", "checkpoint 7")
        until(lambda: paged(receiver) == ["audit.failed"], "people were paged")
        assert "checkpoint 7 has another root" in json.loads(receiver.got[0][1])["data"]["reason"]


def trip(harness: Harness, id: str, agent: str = "bot", reason: str = "loop") -> None:
    """An agent process opened its own circuit."""
    transition = {
        "agent": agent, "before": "closed", "after": "open", "time": harness.clock.now(), "reason": reason,
        "actor": "detector:cycle", "finding": None, "tenant": "default", "id": id,
    }  # fmt: skip
    harness.agent().send("reports", {"process": "p1", "transition": transition})


class TestSilences:
    def test_a_silence_holds_through_a_restart_and_ends_when_it_is_ended(self, ruled: Any, receiver: Receiver) -> None:
        harness = ruled()
        made = harness.operator().silence({"agents": ["bot*"]}, 3600, "load test")
        harness.restart()
        trip(harness, "trn_1", "bot-1")
        trip(harness, "trn_2", "other")
        until(lambda: receiver.verified() == ["alert_trn_2"], "only the other one pages")
        (muted,) = [each for each in told(harness, "circuit.opened") if each["agent"] == "bot-1"]
        assert "load test" in muted["muted"]
        assert not muted["undelivered"]
        harness.operator().unsilence(made["silence"], "done")
        harness.restart()
        trip(harness, "trn_3", "bot-3")
        until(lambda: receiver.verified() == ["alert_trn_2", "alert_trn_3"], "no longer silent")
        assert {e["kind"] for e in harness.journal("silence", "unsilence", "muted")} == {
            "silence",
            "unsilence",
            "muted",
        }

    @pytest.mark.parametrize(
        "body",
        [
            {"match": {}, "seconds": 60, "reason": "x"},
            {"match": {"agents": ["a"]}, "seconds": 0, "reason": "x"},
            {"match": {"agents": ["a"]}, "seconds": 1e9, "reason": "x"},
            {"match": {"agents": ["a"]}, "seconds": 60, "reason": " "},
            {"match": {"types": ["no.such"]}, "seconds": 60, "reason": "x"},
        ],
    )
    def test_a_silence_names_something_ends_and_has_a_reason(self, harness: Harness, body: Json) -> None:
        with pytest.raises(ControlRefused) as refused:
            harness.operator().silence(**body)
        assert refused.value.status == 400


class TestAcknowledgements:
    def test_what_somebody_takes_care_of_is_sent_nowhere_any_more(self, ruled: Any, receiver: Receiver) -> None:
        harness = ruled()
        receiver.answers = [BUSY]
        trip(harness, "trn_1")
        until(lambda: receiver.got, "the pager was busy")
        until(lambda: harness.operator().board()["alerts"]["delivered"] == 1, "the log has it")
        assert harness.operator().acknowledge("alert_trn_1", "on it")["withdrawn"] == ["pager"]
        harness.restart()
        (alert,) = told(harness, "circuit.opened")
        assert (alert["acknowledged"]["by"], alert["sinks"]["pager"]) == ("local", "withdrawn")
        with pytest.raises(ControlRefused, match="takes care") as refused:
            harness.operator().acknowledge("alert_trn_1", "me too")
        assert refused.value.status == 409
        with pytest.raises(ControlRefused, match="no alert"):
            harness.operator().acknowledge("alert_x", "what")
        assert len(receiver.got) == 1


class TestSinks:
    def test_a_sink_that_is_new_is_not_told_of_what_is_over(
        self, watch_config: Config, ruled: Any, receiver: Receiver
    ) -> None:
        before = Harness(watch_config, SystemClock()).start()
        trip(before, "trn_1")
        until(lambda: before.operator().board()["alerts"]["delivered"] == 1, "the log has it")
        before.close()
        harness = ruled()
        trip(harness, "trn_2", "other")
        until(lambda: receiver.got, "paged")
        assert receiver.verified() == ["alert_trn_2"]
        assert [each["sinks"].keys() for each in told(harness, "circuit.opened")] == [{"pager", "log"}, {"log"}]

    def test_an_alert_that_reached_nobody_is_shown_everywhere(
        self, ruled: Any, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(register, "LATE_S", 0.0)
        harness = ruled()
        receiver.answers = [BUSY]
        trip(harness, "trn_1")
        until(lambda: harness.operator().alerts()["undelivered"] == ["alert_trn_1"], "it is named")
        board = harness.operator().board()
        assert board["alerts"]["undelivered"] == 1
        assert [alert["id"] for alert in board["unreached"]] == ["alert_trn_1"]
        assert "fusebox_watch_alerts_undelivered 1" in _metrics(harness)
        assert 'fusebox_watch_alert_sink_up{sink="pager"} 0' in _metrics(harness)  # left alone, as it asked

    def test_a_test_says_what_each_sink_answered_and_revives_one_that_was_disabled(
        self, ruled: Any, receiver: Receiver
    ) -> None:
        harness = ruled()
        receiver.answers = [(410, {}, b""), (410, {}, b"")]
        trip(harness, "trn_1")
        until(lambda: harness.operator().alerts()["sinks"]["pager"] == "disabled", "410 disables it")
        assert harness.operator().test_alert("pager")["sinks"]["pager"]["fate"] == "gone"
        answer = harness.operator().test_alert()
        assert {name: each["fate"] for name, each in answer["sinks"].items()} == {
            "log": "delivered", "pager": "delivered",
        }  # fmt: skip
        assert harness.operator().alerts()["sinks"]["pager"] == "closed"
        with pytest.raises(ControlRefused, match="no sink"):
            harness.operator().test_alert("pagr")

    def test_the_heartbeat_beats_while_all_is_well_and_only_then(
        self, ruled: Any, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        harness = ruled('[heartbeat]\nevery_s = 1\nsinks = ["pager"]\n')
        until(lambda: paged(receiver).count("fusebox.heartbeat") >= 2, "two beats")
        monkeypatch.setattr(harness.watch, "failing", lambda: ["something"])
        beats = paged(receiver).count("fusebox.heartbeat")
        missed = harness.operator().board()["counters"]["heartbeat_missed"]
        until(lambda: harness.operator().board()["counters"]["heartbeat_missed"] > missed + 1, "beats are missed")
        assert paged(receiver).count("fusebox.heartbeat") <= beats + 1


class TestVerb:
    @pytest.fixture
    def alerts(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> Callable[..., tuple[int, str]]:
        """``alerts(harness, "list")`` is the exit status and what it said."""

        def run(harness: Harness, *arguments: str) -> tuple[int, str]:
            monkeypatch.setenv("FUSEBOX_DATA_DIR", str(harness.config.data_dir))
            monkeypatch.setenv("FUSEBOX_CONTROL_URL", harness.watch.url)
            status = cli.main(["alerts", *arguments])
            return status, capsys.readouterr().out

        return run

    def test_a_person_lists_tests_silences_and_acknowledges(
        self, ruled: Any, receiver: Receiver, alerts: Callable[..., tuple[int, str]]
    ) -> None:
        harness = ruled()
        trip(harness, "trn_1")
        until(lambda: told(harness, "circuit.opened")[0]["sinks"].get("pager") == "delivered", "paged")
        status, said = alerts(harness, "list")
        assert (status, "circuit.opened" in said, "pager closed" in said) == (0, True, True)
        assert "\n  alert_trn_1  pager delivered, log " in said, "a line to copy the id from"
        status, said = alerts(harness, "test", "--sink", "pager")
        assert (status, "✓ pager" in said) == (0, True)
        status, said = alerts(harness, "silence", "--agent", "bot", "--for", "2h", "--reason", "x", "--json")
        silence = json.loads(said)["silence"]
        assert alerts(harness, "silence", "--end", silence, "--reason", "done")[0] == 0
        assert alerts(harness, "ack", "alert_trn_1", "--reason", "on it")[0] == 0
        listed = json.loads(alerts(harness, "list", "--json")[1])
        assert listed["alerts"][-1]["acknowledged"]["by"] == "local"
        assert alerts(harness, "silence", "--agent", "bot", "--reason", "x")[0] == 2

    def test_what_an_agent_wrote_fakes_no_line(self, ruled: Any, alerts: Callable[..., tuple[int, str]]) -> None:
        harness = ruled()
        trip(harness, "trn_1", reason="loop\n2026-01-01 00:00:00  info  agent.resumed  bot")
        until(lambda: told(harness, "circuit.opened"), "it is listed")
        assert "  loop·2026-01-01 00:00:00  info  agent.resumed  bot\n" in alerts(harness, "list")[1]

    def test_it_fails_while_an_alert_reached_nobody_and_while_a_sink_takes_nothing(
        self, ruled: Any, receiver: Receiver, alerts: Callable[..., tuple[int, str]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(register, "LATE_S", 0.0)
        harness = ruled()
        receiver.answers = [BUSY] * 2
        trip(harness, "trn_1")
        until(lambda: receiver.got, "the pager was busy")
        assert alerts(harness, "test", "--sink", "pager")[0] == 1
        status, said = alerts(harness, "list", "--undelivered")
        assert (status, "nobody" in said) == (1, True)


def _metrics(harness: Harness) -> str:
    with urllib.request.urlopen(f"{harness.watch.url}/metrics", timeout=5) as answer:
        return str(answer.read().decode())
