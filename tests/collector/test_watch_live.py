"""From the spool to an open circuit, an alert and a Command."""

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fusebox import happenings
from fusebox.cli import main
from fusebox.clock import ManualClock, SystemClock
from fusebox.config import Config
from fusebox.control import ControlRefused
from fusebox.eventmap import SpanFacts, event_of
from fusebox.records import Event, Transition
from tests.collector.spans import Span, request
from tests.fixtures.collector import until
from tests.fixtures.watch import FakeProcess, Harness

Start = Callable[..., FakeProcess]


@pytest.fixture(autouse=True)
def registered(tmp_path: Path) -> None:
    """``bot`` has an owner."""
    (tmp_path / "agents.toml").write_text('[agents.bot]\nowner = "jo@example.com"\ntokens_per_minute = 20000\n')


def told(harness: Harness) -> list[dict[str, Any]]:
    """What stands in alerts.log."""
    log = harness.config.data_dir / "alerts.log"
    return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


def opened(harness: Harness) -> list[dict[str, Any]]:
    return [alert for alert in told(harness) if alert["type"] == "circuit.opened"]


class TestALoop:
    def test_it_opens_the_circuit_everywhere_and_tells_people_once(self, harness: Harness, process: Start) -> None:
        bot = process("p1", "bot")
        harness.spans("bot", 6)
        until(lambda: harness.state("bot") == "open", "the circuit opened")
        until(lambda: bot.circuits.circuit("bot").state == "open", "the process obeyed")
        alert = until(lambda: opened(harness), "people were told")[0]
        assert alert["data"]["agent"] == "bot"
        assert alert["data"]["detector"] == "repetition"
        assert alert["data"]["commands"][0].startswith("fusebox why ")
        assert alert["timestamp"].endswith("Z")
        harness.spans("bot", 6, start=harness.clock.now() + 0.01)
        until(lambda: harness.journal("finding"), "the second Finding is in the journal")
        harness.spans("bot", 12, start=harness.clock.now() + 1)
        until(lambda: _judged(harness), "all is judged")
        assert len(opened(harness)) == 1
        assert len(harness.journal("trip")) == len(harness.journal("finding")) == 1
        (trip,) = harness.operator().board()["trips"]
        assert trip["finding"]["spans"]

    def test_what_the_gateway_tells_is_judged_once(self, harness: Harness) -> None:
        harness.spans("bot", 6, **{"fusebox.usage.delegated": "true"})
        harness.spans("bot", 6, **{"fusebox.gateway.superseded": "true"})
        harness.spans("other", 1)
        until(lambda: harness.state("other"), "what came last was judged")
        assert harness.tile("bot") is None or harness.state("bot") == "closed"
        harness.spans("bot", 6)
        until(lambda: harness.state("bot") == "open", "the same calls, told as the gateway tells them")

    def test_a_backlog_does_not_trip_a_resumed_agent_but_a_new_loop_does(self, harness: Harness) -> None:
        harness.spans("bot", 6)
        until(lambda: harness.state("bot") == "open", "the circuit opened")
        before = harness.clock.now()
        harness.operator().resume("agent:bot", "fixed")
        harness.spans("bot", 8, start=before - 2)
        until(lambda: _judged(harness), "the backlog is judged")
        assert harness.state("bot") == "half_open"
        harness.spans("bot", 6, start=harness.clock.now() + 0.01)
        until(lambda: harness.state("bot") == "open", "the new loop opened it")
        until(lambda: len(opened(harness)) == 2, "people were told of both")

    def test_half_a_loop_before_a_restart_and_half_after_is_a_loop(self, harness: Harness) -> None:
        harness.spans("bot", 2)
        until(lambda: _judged(harness), "judged")
        assert harness.state("bot") == "closed"
        harness.restart()
        harness.spans("bot", 2)
        until(lambda: harness.state("bot") == "open", "the circuit opened")

    def test_a_restart_neither_forgets_nor_repeats_an_opening(self, harness: Harness) -> None:
        harness.spans("bot", 6)
        until(lambda: opened(harness), "people were told")
        harness.restart()
        harness.restart()
        until(lambda: _judged(harness), "the overlap is judged again")
        assert harness.state("bot") == "open"
        assert len(harness.operator().board()["trips"]) == 1
        assert len(opened(harness)) == len(harness.journal("trip")) == 1

    def test_observe_only_records_and_leaves_the_circuit_closed(self, harness: Harness) -> None:
        harness.operator().mode("bot", "observe_only", "trial")
        harness.spans("bot", 6, start=harness.clock.now() + 0.01)
        until(lambda: harness.journal("finding"), "the Finding is in the journal")
        assert harness.state("bot") == "closed"
        assert opened(harness) == []


class TestWhoSpeaks:
    def test_a_stranger_is_told_of_once_and_shown(self, harness: Harness) -> None:
        harness.spans("shadow", 1)
        harness.spans("bot", 1)
        until(lambda: told(harness), "people were told")
        harness.restart()
        harness.spans("shadow", 1, **{"fusebox.result.hash": "00000000000000cc"})
        until(lambda: _judged(harness), "judged")
        assert [a["data"]["agent"] for a in told(harness) if a["type"] == "agent.unregistered"] == ["shadow"]
        tiles = {t["agent"]: t["registered"] for t in harness.operator().board()["circuits"]}
        assert tiles == {"bot": True, "shadow": False}

    def test_what_was_put_aside_is_told_of_once(self, harness: Harness) -> None:
        quarantine = harness.config.data_dir / "spool" / "quarantine"
        quarantine.mkdir(parents=True)
        (quarantine / "00000000000000000001-00000000.seg").touch()
        harness.restart()  # it looks at once, then every five seconds
        until(lambda: told(harness), "people were told")
        harness.restart()
        until(lambda: harness.journal("damage"), "it is in the journal")
        (alert,) = [a for a in told(harness) if a["type"] == "data.damaged"]
        assert alert["data"]["path"] == "spool/quarantine/00000000000000000001-00000000.seg"
        assert len(harness.journal("damage")) == 1

    def test_figures_of_the_last_minute_are_on_the_board(self, harness: Harness) -> None:
        harness.spans("bot", 3, step=1.0, **{"fusebox.cost.usd": "0.5"})
        until(lambda: (harness.tile("bot") or {}).get("actions_per_minute") == 3, "three actions")
        tile = harness.tile("bot")
        assert tile is not None
        assert tile["cost_per_minute"] == pytest.approx(1.5)
        assert (tile["owner"], tile["budget_tokens_per_minute"]) == ("jo@example.com", 20000)
        assert tile["unpriced_per_minute"] == 0

    def test_tokens_without_a_price_are_not_shown_as_free(
        self, harness: Harness, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        harness.spans("bot", 2, step=1.0, **{
            "fusebox.action": "model_call", "gen_ai.usage.input_tokens": 900, "gen_ai.usage.output_tokens": 100,
        })  # fmt: skip
        until(lambda: (harness.tile("bot") or {}).get("unpriced_per_minute") == 2000, "two calls")
        tile = harness.tile("bot")
        assert tile is not None
        assert (tile["tokens_per_minute"], tile["cost_per_minute"]) == (2000, 0)
        monkeypatch.setenv("FUSEBOX_DATA_DIR", str(harness.config.data_dir))
        assert main(["agents"]) == 0
        assert "≥ 0.0000" in capsys.readouterr().out

    def test_strangers_beyond_the_bound_are_counted_not_judged(
        self, watch_config: Config, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("collector.watch.live.MAX_STRANGERS", 30)
        harness, before = Harness(watch_config, SystemClock()), happenings.counts()["strangers_overflow"]
        for agent in range(50):
            harness.spans(f"made-up-{agent}", 1)
        harness.spans("bot", 6)
        harness.start()
        try:
            until(lambda: harness.state("bot") == "open", "registered agents are judged all the same")
            assert happenings.counts()["strangers_overflow"] == before + 20
        finally:
            harness.close()

    def test_events_that_are_not_judged_are_told_once_a_record(
        self, watch_config: Config, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr("collector.watch.live.MAX_STRANGERS", 1)
        harness, before = Harness(watch_config, SystemClock()), happenings.counts()["strangers_overflow"]
        harness.spans("known", 1)
        harness.spans("made-up", 25)
        harness.spans("bot", 6)
        harness.start()
        try:
            until(lambda: harness.state("bot") == "open", "the record behind it was judged")
            assert happenings.counts()["strangers_overflow"] == before + 25
            assert sum("strangers_overflow" in line for line in caplog.messages) == 1
        finally:
            harness.close()

    def test_strangers_that_came_and_went_leave_room_for_those_that_come(
        self, watch_config: Config, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("collector.watch.live.MAX_STRANGERS", 30)
        clock = ManualClock()
        harness = Harness(watch_config, clock).start()
        try:
            for job in range(30):
                harness.spans(f"job-{job}", 1)
            until(lambda: harness.tile("job-29"), "all of them were seen")
            clock.advance(3600)
            before = happenings.counts()["strangers_untold"]
            harness.spans("job-99", 6)
            until(lambda: harness.state("job-99") == "open", "one more was judged")
            assert happenings.counts()["strangers_untold"] == before + 1
            assert len(harness.journal("stranger")) == 30, "people have heard enough of them"
        finally:
            harness.close()


def test_a_record_that_cannot_be_judged_does_not_blind_watch(harness: Harness) -> None:
    before = happenings.counts()["live_record_failed"]
    harness.raw(b"\xff\xff not a request")
    harness.spans("bot", 6)
    until(lambda: harness.state("bot") == "open", "the loop behind it was seen")
    assert happenings.counts()["live_record_failed"] == before + 1


@pytest.mark.parametrize("mode", ["warn", "observe"])
def test_a_warning_says_what_is_missing_too(
    watch_config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, mode: str
) -> None:
    monkeypatch.setattr("collector.watch.sequences.GRACE_S", -1.0)
    caplog.set_level(logging.INFO, "fusebox")
    (tmp_path / "rules.toml").write_text(f'[repetition]\nmode = "{mode}"\n')
    harness = Harness(watch_config.model_copy(update={"rules_file": tmp_path / "rules.toml"}), SystemClock())
    same = {
        "fusebox.action": "tool_call", "gen_ai.agent.id": "bot", "fusebox.operation": "tickets.comment",
        "fusebox.target": "TICK-12", "fusebox.request.hash": "00000000000000aa", "fusebox.result.hash": "bb",
    }  # fmt: skip
    now = SystemClock().now()
    spans = [
        Span(n, 77, start=now + n / 10, seconds=0.01, attributes=same | {"fusebox.seq": n}) for n in (1, *range(5, 12))
    ]
    harness.raw(request(*spans, resource={"service.instance.id": "e1"}))
    harness.start()
    try:
        until(lambda: _judged(harness), "the loop was judged")
        told = [record.getMessage() for record in caplog.records if "finding_" in record.getMessage()]
        assert any("(incomplete: 3 spans of this agent never arrived)" in line for line in told)
        assert harness.state("bot") == "closed"
    finally:
        harness.close()


class TestReports:
    def transition(self, agent: str = "bot", **changes: Any) -> dict[str, Any]:
        found = {
            "agent": agent, "detector": "cycle", "time": 1.0, "reason": "A-B-A-B", "action": "open", "score": 3.0,
            "threshold": 3.0, "spans": ["ab:cd"], "repeated": "A-B", "trace_id": "ab", "tenant": "default",
            "first_time": 0.5, "id": "fnd_1",
        }  # fmt: skip
        return {
            "agent": agent, "before": "closed", "after": "open", "time": SystemClock().now(), "reason": "A-B-A-B",
            "actor": "detector:cycle", "finding": found, "tenant": "default", "id": "trn_1",
        } | changes  # fmt: skip

    def report(self, harness: Harness, process: str = "p1", **changes: Any) -> None:
        body = {"process": process, "transition": self.transition(**changes)}
        assert harness.agent().send("reports", body) == {}

    def test_a_report_is_journaled_told_and_spread_once(self, harness: Harness, process: Start) -> None:
        other = process("p2", "bot")
        for _ in range(3):
            self.report(harness)
        until(lambda: other.circuits.circuit("bot").state == "open", "the other process obeyed")
        until(lambda: opened(harness), "people were told")
        assert len(harness.journal("trip")) == len(opened(harness)) == 1
        assert harness.journal("trip")[0]["span_id"] == "cd"
        assert harness.state("bot") == "open"
        harness.restart()
        self.report(harness)
        assert len(harness.journal("trip")) == 1

    def test_a_second_process_and_echoes_of_commands_are_no_news(self, harness: Harness) -> None:
        self.report(harness)
        self.report(harness, "p2", id="trn_2")
        self.report(harness, id="trn_3", agent="calm", actor="operator:watch", finding=None)
        self.report(harness, id="trn_4", agent="calm", actor="watch", finding=None)
        assert len(harness.journal("trip", "transition")) == 1
        assert harness.state("calm") is None

    def test_a_failed_probe_is_news_again(self, harness: Harness) -> None:
        self.report(harness)
        self.report(harness, id="trn_2", before="open", after="half_open", actor="circuit", finding=None)
        assert harness.state("bot") == "half_open"
        self.report(harness, id="trn_3", before="half_open", after="open", actor="circuit", finding=None)
        assert harness.state("bot") == "open"
        until(lambda: len(opened(harness)) == 2, "people were told of both")
        self.report(harness, id="trn_4", before="open", after="half_open", actor="circuit", finding=None)
        self.report(harness, id="trn_5", before="half_open", after="closed", actor="circuit", finding=None)
        assert harness.state("bot") == "closed"
        assert [e["kind"] for e in harness.journal("trip", "transition")] == [
            "trip", "transition", "trip", "transition", "transition"
        ]  # fmt: skip

    @pytest.mark.parametrize("state", ["forced_open", "disabled", "observe_only", "on_fire"])
    def test_states_that_only_operators_order_cannot_be_reported(self, harness: Harness, state: str) -> None:
        with pytest.raises(Exception, match=r"operators order that|Input should be"):
            self.report(harness, after=state)

    @pytest.mark.parametrize("time", [1e300, -1e18, 1e12, -1.0])
    def test_an_impossible_time_is_refused_and_stops_no_later_start(self, harness: Harness, time: float) -> None:
        with pytest.raises(ControlRefused) as refusal:
            self.report(harness, time=time)
        assert refusal.value.status == 400
        harness.restart()
        self.report(harness)
        until(lambda: opened(harness), "people were told")

    def test_a_report_from_the_future_blinds_nobody_to_what_the_agent_does_next(self, harness: Harness) -> None:
        future = SystemClock().now() + 9 * 86_400
        self.report(harness, time=future)
        self.report(harness, id="trn_2", before="open", after="half_open", time=future + 1, finding=None)
        self.report(harness, id="trn_3", before="half_open", after="closed", time=future + 2, finding=None)
        harness.spans("bot", 6, start=SystemClock().now())
        until(lambda: len(harness.journal("trip")) == 2, "the loop was seen")

    @pytest.mark.parametrize("id", ["trn.1", "trn:1", "t" * 128])
    def test_an_id_that_cannot_be_told_to_people_is_refused(self, harness: Harness, id: str) -> None:
        with pytest.raises(ControlRefused):
            self.report(harness, id=id)


def test_one_event_that_cannot_be_judged_hides_none_of_its_record(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    def event_of_all_but_one(span: SpanFacts) -> Event | None:
        if span.attributes["fusebox.target"] == "poison":
            raise OverflowError("poison")
        return event_of(span)

    monkeypatch.setattr("collector.watch.live.event_of", event_of_all_but_one)
    poisoned = Span(1000, 77, attributes={"fusebox.action": "tool_call", "fusebox.target": "poison"})
    same = {
        "fusebox.action": "tool_call", "gen_ai.agent.id": "bot", "fusebox.operation": "tickets.comment",
        "fusebox.target": "TICK-12", "fusebox.request.hash": "00000000000000aa", "fusebox.result.hash": "bb",
    }  # fmt: skip
    now = SystemClock().now()
    harness.raw(request(poisoned, *(Span(n, 77, start=now + n / 10, seconds=0.01, attributes=same) for n in range(6))))
    until(lambda: harness.state("bot") == "open", "the rest was judged")


def test_a_transition_reads_back_from_the_journal(harness: Harness) -> None:
    harness.spans("bot", 6)
    entry = until(lambda: harness.journal("trip"), "journaled")[0]
    assert Transition(**entry["payload"]["transition"]).agent == "bot"
    assert entry["trace_id"] == f"{77:032x}"


def _judged(harness: Harness) -> bool:
    figures = {sample.name: sample.value for sample in harness.watch.samples()}
    return figures["watch_judged_record"] >= harness.written
