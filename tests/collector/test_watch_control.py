"""The control API as operators and agent processes meet it."""

import http.client
import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Any
from urllib.parse import urlsplit

import pytest

from collector.audit.entry import Note, decode
from collector.audit.files import lines
from collector.audit.journal import Journal
from collector.audit.state import State
from collector.readers import Reader, Readers
from collector.tokens import Tokens
from collector.watch.process_bodies import MAX_WAIT_S
from collector.watch.shown import LASTING_S
from fusebox import happenings
from fusebox.clock import ManualClock
from fusebox.command import Command, Order
from fusebox.config import Config
from fusebox.control import ControlClient, ControlRefused
from fusebox.errors import BadCommand, ControlUnavailable
from fusebox.records import Action, ActionKind
from tests.fixtures.collector import until
from tests.fixtures.watch import FakeProcess, Harness

Start = Callable[..., FakeProcess]


def poll_body(process: str, *agents: str, **more: Any) -> dict[str, Any]:
    held = {agent: {"held": 0} for agent in agents}
    return {"process": process, "host": "h", "pid": 1, "cursor": 0, "wait": 0, "agents": held} | more


def refused(call: Callable[[], object]) -> ControlRefused:
    with pytest.raises(ControlRefused) as caught:
        call()
    return caught.value


def raw(url: str, method: str, path: str, body: bytes = b"", token: str = "") -> tuple[int, dict[str, Any]]:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=5)
    try:
        connection.request(method, path, body, {"authorization": f"Bearer {token}"})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


class TestKillAndResume:
    def test_a_kill_reaches_every_process_of_the_agent_and_all_confirm(self, harness: Harness, process: Start) -> None:
        bots = [process("p1", "bot"), process("p2", "bot", "other")]
        process("p3", "other")
        answer = harness.operator().kill("agent:bot", "writes nonsense")
        assert answer["expected"] == ["p1", "p2"]
        receipts = until(lambda: _complete(harness, answer["command"]), "both confirmed")
        assert set(receipts["received"]) >= {"p1", "p2"}
        assert all(bot.latch.killed("bot") for bot in bots)
        assert not bots[1].latch.killed("other")
        assert harness.state("bot") == "forced_open"
        (entry,) = harness.journal("kill")
        assert (entry["actor"], entry["subject"], entry["reason"]) == ("operator:local", "agent:bot", "writes nonsense")

    def test_a_waiting_poll_hears_of_a_kill_at_once(self, harness: Harness) -> None:
        bot = FakeProcess(harness.agent, "p1", ("bot",), harness.keyring, harness.clock)
        bot.step()
        with ThreadPoolExecutor() as waiting:
            for number in range(5):
                polled = waiting.submit(bot.step, MAX_WAIT_S)
                until(lambda: harness.watch._log._waiters, "the poll waits")
                command = harness.operator().kill("agent:bot", f"kill {number}")["command"]
                polled.result(MAX_WAIT_S / 2)
                assert [order.id for order in bot.obeyed][number:] == [command]

    def test_a_process_that_does_not_confirm_keeps_the_order_incomplete(self, harness: Harness, process: Start) -> None:
        process("p1", "bot").acknowledge = False
        answer = harness.operator().kill("agent:bot", "x")
        receipts = harness.operator().receipts(answer["command"])
        assert receipts["expected"] == ["p1"]
        assert not receipts["complete"]

    def test_the_board_lists_the_commands_that_somebody_has_not_confirmed(
        self, harness: Harness, process: Start
    ) -> None:
        process("p1", "bot").acknowledge = False
        process("p2", "bot")
        command = harness.operator().kill("agent:bot", "x")["command"]
        due = until(
            lambda: [r for r in harness.operator().board()["receipts"] if r["missing"] == ["p1"]], "p2 confirms"
        )
        assert [(r["command"], r["order"], r["scope"]) for r in due] == [(command, "kill", "agent:bot")]

        harness.agent().send("receipts", {"process": "p1", "command": command, "agents": ["bot"], "applied_at": 1.0})
        assert harness.operator().board()["receipts"] == []

    def test_a_reader_sees_the_board_and_receipts_and_orders_nothing(self, harness: Harness) -> None:
        token = Readers(harness.config.data_dir).add(Reader("dashboard"))
        window = ControlClient(harness.watch.url, token)
        assert window.board()["you"] == "dashboard"
        assert harness.operator().board()["you"] == "local"
        command = harness.operator().kill("agent:bot", "x")["command"]
        assert window.receipts(command)["complete"]
        for order in (lambda: window.kill("all", "x"), lambda: window.resume("all", "x"), window.alerts):
            assert refused(order).status == 401
        assert len(harness.journal("kill")) == 1

    def test_a_snapshot_names_the_commands_whose_receipts_are_due(self, harness: Harness, process: Start) -> None:
        bot = process("p1", "bot")
        bot.acknowledge = False
        kill = harness.operator().kill("agent:bot", "x")["command"]
        harness.operator().kill("agent:other", "not theirs")
        assert bot.snapshot()["due"] == [kill]
        harness.agent().send("receipts", {"process": "p1", "command": kill, "agents": ["bot"], "applied_at": 1.0})
        assert bot.snapshot()["due"] == []

    def test_kill_all_expects_every_process(self, harness: Harness, process: Start) -> None:
        process("p1", "bot")
        process("p2")
        assert harness.operator().kill("all", "fire")["expected"] == ["p1", "p2"]

    def test_a_process_that_left_is_not_expected(self, harness: Harness) -> None:
        harness.agent().send("poll", poll_body("p1", "bot"))
        harness.agent().send("leave", {"process": "p1"})
        assert harness.operator().kill("agent:bot", "x")["expected"] == []

    def test_a_resume_lifts_what_it_names_and_nothing_else(self, harness: Harness, process: Start) -> None:
        bot, other = process("p1", "bot"), process("p2", "other")
        kills = [harness.operator().kill("agent:bot", "a")["kill"], harness.operator().kill("agent:bot", "b")["kill"]]
        harness.operator().kill("agent:other", "c")
        answer = harness.operator().resume("agent:bot", "fixed")
        assert sorted(answer["lifted"]) == sorted(kills)
        until(lambda: _complete(harness, answer["command"]), "confirmed")
        until(lambda: other.latch.killed("other"), "the other one stays killed")
        assert bot.latch.killed("bot") is None
        assert harness.state("bot") == "closed"

    def test_nothing_to_resume_says_what_stands_in_the_way(self, harness: Harness) -> None:
        error = refused(lambda: harness.operator().resume("agent:bot", "x"))
        assert (error.status, str(error)) == (
            409, "nothing to resume: agent:bot is neither killed nor is a circuit of it open; see 'fusebox status'"
        )  # fmt: skip
        harness.operator().kill("all", "fire")
        assert "'fusebox resume --all'" in str(refused(lambda: harness.operator().resume("agent:bot", "x")))
        assert harness.operator().resume("all", "fire is out")["lifted"]

    def test_kills_and_lifted_ids_survive_a_restart_and_a_snapshot_teaches_them(self, harness: Harness) -> None:
        lifted = harness.operator().kill("agent:bot", "a")["kill"]
        harness.operator().resume("agent:bot", "b")
        kept = harness.operator().kill("agent:bot", "c")["kill"]
        harness.operator().kill("agent:other", "d")
        everywhere = harness.operator().kill("all", "e")["kill"]
        harness.restart()
        bot = FakeProcess(harness.agent, "p1", ("bot",), harness.keyring, harness.clock)
        data = bot.snapshot()
        assert data["kills"] == {kept: "agent:bot", everywhere: "all"}
        assert data["lifted"] == [lifted]

    def test_a_lost_latch_file_is_made_good_from_the_journal(self, harness: Harness) -> None:
        lifted = harness.operator().kill("agent:bot", "a")["kill"]
        harness.operator().resume("agent:bot", "b")
        kept = harness.operator().kill("agent:bot", "c")["kill"]
        harness.stop()
        (harness.config.data_dir / "latch" / "watch.jsonl").unlink()
        harness.start()
        (latch,) = harness.operator().board()["latches"]
        assert (latch["id"], latch["scope"], latch["reason"], latch["operator"]) == (kept, "agent:bot", "c", "local")
        assert lifted != kept
        harness.operator().resume("agent:bot", "d")
        harness.restart()
        assert harness.operator().board()["latches"] == []

    def test_a_kill_that_was_journaled_and_no_more_is_in_force_after_the_restart(self, harness: Harness) -> None:
        harness.stop()
        command = Command(Order.KILL, "agent:bot", "jo", "mid-kill", harness.clock.wall())
        journal = Journal(harness.config.data_dir / "journal", harness.clock)
        journal.append(Note("kill", "operator:jo", "agent:bot", "mid-kill", payload={"command": asdict(command)}))
        journal.close()
        harness.start()
        assert [latch["id"] for latch in harness.operator().board()["latches"]] == [command.id]

    @pytest.mark.parametrize("line", [b'{"seq": 1, "kind"\n', b"\xff\xfe\n", b"[]\n", b"{}\n", b"\0" * 50 + b"\n"])
    def test_a_damaged_line_of_the_journal_takes_the_control_api_from_nobody(
        self, harness: Harness, line: bytes
    ) -> None:
        harness.operator().kill("agent:bot", "a")
        harness.stop()
        newest = max((harness.config.data_dir / "journal" / "watch").glob("0*.jsonl"))
        first, *rest = newest.read_bytes().splitlines(keepends=True)
        newest.write_bytes(b"".join([first, line, *rest]))
        before = happenings.counts()["journal_damaged"]
        harness.start()
        assert happenings.counts()["journal_damaged"] > before
        assert harness.state("bot") == "forced_open"
        harness.operator().kill("all", "b")

    def test_an_old_cursor_is_sent_to_the_snapshot(self, harness: Harness, process: Start) -> None:
        bot = process("p1", "bot")
        until(lambda: bot.cursor, "it polls")
        bot.stop()
        harness.restart()
        assert refused(bot.poll).status == 409

    def test_a_polling_process_lives_through_a_restart_of_watch(self, harness: Harness, process: Start) -> None:
        bot = process("p1", "bot")
        harness.restart()
        until(lambda: _lives(harness, "p1"), "it came back")
        answer = harness.operator().kill("agent:bot", "x")
        until(lambda: _complete(harness, answer["command"]), "confirmed")
        assert bot.latch.killed("bot")


class TestCircuits:
    def test_trip_reset_and_mode_reach_processes_and_the_board(self, harness: Harness, process: Start) -> None:
        bot = process("p1", "bot")
        for order, state, mode in (
            (lambda c: c.trip("bot", "smells"), "open", "normal"),
            (lambda c: c.mode("bot", "observe_only", "just look"), "open", "observe_only"),
            (lambda c: c.mode("bot", "normal", "enough"), "open", "normal"),
            (lambda c: c.reset("bot", "fine"), "closed", "normal"),
        ):
            answer = order(harness.operator())
            until(lambda: _complete(harness, answer["command"]), "confirmed")  # noqa: B023
            tile = harness.tile("bot")
            assert tile is not None
            assert (tile["state"], tile["mode"]) == (state, mode)
            assert (bot.circuits.circuit("bot").state, bot.circuits.circuit("bot").mode) == (state, mode)

    def test_an_operators_trip_is_resumed_into_half_open_and_pages_nobody(self, harness: Harness) -> None:
        harness.operator().trip("bot", "smells")
        assert harness.operator().resume("agent:bot", "fine")["lifted"] == []
        assert harness.state("bot") == "half_open"
        told = harness.operator().alerts()["alerts"]
        assert {(alert["type"], alert["severity"]) for alert in told} == {
            ("circuit.opened", "info"), ("circuit.moved", "info"), ("agent.resumed", "info"),
        }  # fmt: skip

    def test_circuits_survive_a_restart_of_watch(self, harness: Harness) -> None:
        harness.operator().trip("bot", "smells")
        harness.operator().mode("calm", "observe_only", "trial")
        harness.restart()
        assert harness.state("bot") == "open"
        calm = harness.tile("calm")
        assert calm is not None
        assert calm["mode"] == "observe_only"

    def test_the_log_says_how_each_circuit_and_latch_stands_modes_included(self, harness: Harness) -> None:
        operator, watch = harness.operator(), harness.watch
        operator.trip("bot", "smells")
        operator.trip("shy", "smells")
        operator.mode("shy", "disabled", "a demonstration")
        operator.mode("calm", "observe_only", "trial")
        kill = operator.kill("agent:calm", "enough")["kill"]
        assert disagreements(harness) == []
        unsaid = {"reason": "an old backup", "actor": "nobody"}
        watch._circuits.reset("bot", **unsaid)
        watch._circuits.set_mode("shy", "normal", **unsaid)
        watch._circuits.set_mode("calm", "normal", **unsaid)
        watch._latch.lift((kill,))
        assert disagreements(harness) == [
            f"the kill {kill} of agent:calm is not in force",
            "the circuit of bot is closed, the log says open",
            "the circuit of calm is closed, the log says observe_only",
            "the circuit of shy is open, the log says disabled",
        ]


def disagreements(harness: Harness) -> list[str]:
    """What the board shows and the log does not say."""
    state, board = State(), harness.operator().board()
    for text in lines(harness.config.data_dir / "journal" / "watch"):
        state.learn(decode(text))
    kills = {latch["id"]: latch["scope"] for latch in board["latches"]}
    return [each.detail for each in (*state.compare_kills(kills), *state.compare_circuits(board["circuits"]))]


class TestWhoMay:
    def test_no_token_and_the_wrong_kind_of_token_are_refused(self, harness: Harness) -> None:
        for client in (ControlClient(harness.watch.url, None), harness.agent(), harness.agent("fbx_made_up")):
            assert refused(lambda: client.kill("all", "x")).status == 401  # noqa: B023
            assert refused(client.board).status == 401
        assert refused(lambda: harness.operator().send("poll", poll_body("p1"))).status == 401
        assert harness.journal("kill") == []

    def test_a_revoked_operator_is_refused_at_the_next_call(self, harness: Harness) -> None:
        tokens = Tokens(harness.config.data_dir / "operators.json")
        jo = ControlClient(harness.watch.url, tokens.add("jo"))
        jo.kill("agent:bot", "x")
        tokens.remove("jo")
        assert refused(lambda: jo.resume("agent:bot", "x")).status == 401
        assert harness.journal("kill")[0]["actor"] == "operator:jo"

    def test_a_high_risk_agent_is_resumed_by_two_people(self, harness: Harness) -> None:
        registry = '[agents.bot]\nowner = "ann"\nrisk = "high"\n[agents.other]\nowner = "ann"\n'
        harness.config.agents_file.write_text(registry)
        harness.restart()
        operators = Tokens(harness.config.data_dir / "operators.json")
        theirs, mine = operators.add("ann"), operators.add("jo")
        machine = (harness.config.data_dir / "operator.token").read_text().strip()
        jo = ControlClient(harness.watch.url, mine)
        harness.operator().kill("agent:bot", "x")
        harness.operator().kill("all", "y")
        for scope in ("agent:bot", "all"):
            for second in (None, mine, machine):  # oneself is nobody else, nor is the machine
                error = refused(lambda: jo.resume(scope, "ok", second_token=second))  # noqa: B023
                assert (error.status, "bot is high-risk" in str(error)) == (403, True)
        assert refused(lambda: harness.operator().resume("agent:bot", "ok", second_token=mine)).status == 403
        assert refused(lambda: jo.resume("agent:bot", "ok", second_token="wrong")).status == 401
        assert harness.journal("resume") == []
        assert jo.resume("all", "ok", second_token=theirs)["lifted"]
        (entry,) = harness.journal("resume")
        assert (entry["actor"], entry["payload"]["second"]) == ("operator:jo", "ann")
        harness.operator().kill("agent:other", "z")
        harness.operator().resume("agent:other", "one person is enough")

    def test_nothing_but_a_resume_by_two_lets_a_stopped_high_risk_agent_run(self, harness: Harness) -> None:
        harness.config.agents_file.write_text('[agents.bot]\nowner = "ann"\nrisk = "high"\n')
        harness.restart()
        operators = Tokens(harness.config.data_dir / "operators.json")
        operator, theirs = ControlClient(harness.watch.url, operators.add("jo")), operators.add("ann")
        operator.mode("bot", "observe_only", "it runs as it is")
        operator.mode("bot", "normal", "enough")
        operator.trip("bot", "loops")
        for attempt in (
            lambda: operator.mode("bot", "observe_only", "let it"), lambda: operator.mode("bot", "disabled", "let it"),
            lambda: operator.reset("bot", "let it"),
        ):  # fmt: skip
            error = refused(attempt)
            assert (error.status, "bot is high-risk" in str(error)) == (403, True)
        assert [circuit["state"] for circuit in operator.board()["circuits"]] == ["open"]
        assert len(harness.journal("refused")) == 3
        operator.resume("agent:bot", "we looked", second_token=theirs)

    def test_a_tool_is_cut_in_every_process(self, harness: Harness, process: Start) -> None:
        one, other = process("p1", "bot"), process("p2", "other")
        answer = harness.operator().kill("tool:jira.comment", "floods")
        assert answer["expected"] == ["p1", "p2"]
        until(lambda: harness.operator().receipts(answer["command"])["complete"], "both confirm")
        action = Action(ActionKind.TOOL_CALL, "bot", "jira.comment")
        assert all(each.latch.stops(action) for each in (one, other))
        fresh = FakeProcess(harness.agent, "p3", ("third",), harness.keyring, harness.clock)
        assert fresh.snapshot()["kills"] == {answer["kill"]: "tool:jira.comment"}
        harness.operator().resume("tool:jira.comment", "it limits itself now")
        until(lambda: not one.latch.stops(action), "it may be called again")

    def test_a_token_speaks_only_for_its_agents(self, harness: Harness) -> None:
        token = Tokens(harness.config.data_dir / "principals.json").add("host", ["bot"])
        client = harness.agent(token)
        client.send("poll", poll_body("p1", "bot"))
        denial = {
            "agent": "other", "guard": "g", "reason": "r", "action": "publish", "minute": 0, "count": 1, "trace_id": ""
        }  # fmt: skip
        for kind, body in {
            "poll": poll_body("p1", "bot", "other"),
            "snapshot": {"nonce": "12345678", "process": "p1", "agents": ["other"]},
            "denials": {"process": "p1", "rows": [denial]},
            "receipts": {"process": "p1", "command": "cmd_1", "agents": ["other"], "applied_at": 1.0},
        }.items():
            error = refused(lambda: client.send(kind, body))  # noqa: B023
            assert error.status == 403
            assert "may not speak for other" in str(error)

    def test_a_report_of_another_tenant_is_refused(self, harness: Harness) -> None:
        transition = {
            "agent": "bot", "before": "closed", "after": "open", "time": 1.0, "reason": "x", "actor": "circuit",
            "finding": None, "tenant": "elsewhere", "id": "trn_1",
        }  # fmt: skip
        body = {"process": "p1", "transition": transition}
        assert refused(lambda: harness.agent().send("reports", body)).status == 403

    def test_a_process_id_is_its_principals_own(self, harness: Harness) -> None:
        thief = harness.agent(Tokens(harness.config.data_dir / "principals.json").add("thief", ["*"]))
        harness.agent().send("poll", poll_body("p1", "bot"))
        command = harness.operator().kill("agent:bot", "x")["command"]
        forged = {"process": "p1", "command": command, "agents": ["bot"], "applied_at": 1.0}
        for kind, body in {"receipts": forged, "leave": {"process": "p1"}, "poll": poll_body("p1", "bot")}.items():
            assert refused(lambda: thief.send(kind, body)).status == 403  # noqa: B023
        assert harness.operator().receipts(command)["received"] == {}

    def test_altered_bytes_are_not_obeyed(self, harness: Harness, process: Start) -> None:
        bot = process("p1", "bot")
        harness.operator().kill("agent:bot", "x")
        until(lambda: bot.signed, "it arrived")
        for position in range(10, len(bot.signed[0]), 37):
            forged = bytearray(bot.signed[0])
            forged[position] = ord("A") if forged[position] != ord("A") else ord("B")
            with pytest.raises(BadCommand):
                bot.obedience.apply(bytes(forged))

    def test_who_comes_and_goes_is_in_the_journal_once(self, harness: Harness) -> None:
        tokens = Tokens(harness.config.data_dir / "operators.json")

        def told() -> list[tuple[str, str]]:
            return [(e["subject"], e["reason"]) for e in harness.journal("operator")]

        tokens.add("jo")
        until(lambda: ("jo", "operator added") in told(), "jo came")
        harness.stop()
        tokens.remove("jo")
        harness.start()
        until(lambda: ("jo", "operator removed") in told(), "jo went")
        assert sorted(told()) == [
            ("jo", "operator added"), ("jo", "operator removed"), ("local", "operator added"),
            ("local", "principal added"),
        ]  # fmt: skip


class TestWhatIsSaid:
    @pytest.mark.parametrize(
        ("order", "body", "sentence"),
        [
            ("kill", {"scope": "agent:bot"}, "reason: Field required"),
            ("kill", {"scope": "agent:bot", "reason": "  "}, "reason: String should have at least 1 character"),
            ("kill", {"scope": "bot", "reason": "x"}, "scope is 'all', 'agent:<agent id>'"),
            ("kill", {"scope": "agent:../x", "reason": "x"}, "scope is 'all'"),
            ("kill", {"scope": "all", "reason": "x", "force": True}, "force: Extra inputs are not permitted"),
            ("mode", {"agent": "bot", "mode": "off", "reason": "x"}, "mode: Input should be 'normal'"),
            ("trip", {"agent": "", "reason": "x"}, "agent: "),
            ("trip", ["bot"], "body: "),
            ("kill", {"scope": "all", "reason": "\ud800"}, "reason: "),
        ],
    )
    def test_a_wrong_body_is_refused_with_a_sentence(
        self, harness: Harness, order: str, body: object, sentence: str
    ) -> None:
        token = (harness.config.data_dir / "operator.token").read_text().strip()
        status, answer = raw(harness.watch.url, "POST", f"/v1/{order}", json.dumps(body).encode(), token)
        assert status == 400
        assert sentence in answer["error"]
        assert harness.journal("kill", "trip", "set_mode") == []

    @pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 100_000, b'"' + b"x" * (1 << 20) + b'"'])
    def test_what_is_not_json_or_too_long_is_refused(self, harness: Harness, body: bytes) -> None:
        token = (harness.config.data_dir / "operator.token").read_text().strip()
        status, answer = raw(harness.watch.url, "POST", "/v1/kill", body, token)
        assert status == 400
        assert answer["error"].startswith("the body is ")

    def test_a_receipt_for_an_order_of_before_the_start_is_taken_and_changes_nothing(self, harness: Harness) -> None:
        kill = harness.operator().kill("agent:bot", "x")["command"]
        harness.restart()
        before = happenings.counts()["receipt_not_awaited"]
        late = {"process": "p9", "command": kill, "agents": ["bot"], "applied_at": 1.0}
        assert harness.agent().send("receipts", late) == {}, "an agent that starts now would warn of each of them"
        assert happenings.counts()["receipt_not_awaited"] == before + 1
        assert harness.journal("receipt") == []

    def test_an_unknown_call_says_so(self, harness: Harness) -> None:
        assert raw(harness.watch.url, "GET", "/v1/nothing")[0] == 404
        status, answer = raw(harness.watch.url, "GET", "/v1/kill")
        assert status == 405
        assert "Control protocol" in answer["error"]
        assert refused(lambda: harness.operator().receipts("cmd_unknown")).status == 404

    def test_health_and_metrics_need_no_token(self, harness: Harness) -> None:
        assert raw(harness.watch.url, "GET", "/healthz") == (200, {"ok": True, "reason": ""})
        parts = urlsplit(harness.watch.url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=5)
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
        connection.close()
        assert "fusebox_killed_total " in text
        assert "fusebox_watch_alerts_pending 0" in text


class TestDenials:
    def test_denials_are_journaled_and_shown(self, harness: Harness) -> None:
        row = {"agent": "bot", "guard": "circuit", "reason": "open", "action": "publish", "trace_id": "ab"}
        minute = int(harness.clock.now() // 60 * 60)
        rows = [{**row, "minute": minute, "count": count} for count in (1, 41)]
        harness.agent().send("denials", {"process": "p1", "rows": rows})
        assert [entry["payload"]["count"] for entry in harness.journal("denial")] == [1, 41]
        tile = harness.tile("bot")
        assert tile is not None
        assert tile["denied"] == 42

    @pytest.mark.parametrize("field", ["count", "minute"])
    def test_a_count_nobody_can_hold_is_refused(self, harness: Harness, field: str) -> None:
        row = {"agent": "bot", "guard": "g", "reason": "r", "action": "a", "minute": 0, "count": 1, "trace_id": ""}
        for _ in range(2):
            refusal = refused(
                lambda: harness.agent().send(
                    "denials", {"process": "p1", "rows": [row | {field: 9 * 10**4299}]}
                )
            )  # fmt: skip
            assert refusal.status == 400
        assert harness.tile("bot") is None


class TestABrokenJournal:
    def test_a_kill_acts_and_is_written_later_while_a_resume_is_refused(
        self, harness: Harness, process: Start, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        bot = process("p1", "bot")
        with monkeypatch.context() as patched:
            patched.setattr(os, "fdatasync", _fail)
            answer = harness.operator().kill("agent:bot", "now")
            until(lambda: _complete(harness, answer["command"]), "confirmed")
            assert bot.latch.killed("bot")
            with pytest.raises(ControlUnavailable, match=r"journal .* nothing was done"):
                harness.operator().resume("agent:bot", "later")
            assert raw(harness.watch.url, "GET", "/healthz")[0] == 503
        until(lambda: harness.journal("kill"), "the owed entry is written")
        harness.operator().resume("agent:bot", "now it works")


def _fail(_fd: int) -> None:
    raise OSError(5, "input/output error")


def _complete(harness: Harness, command: str) -> dict[str, Any] | None:
    receipts = harness.operator().receipts(command)
    return receipts if receipts["complete"] else None


def _lives(harness: Harness, process: str) -> bool:
    return process in [p["process"] for p in harness.operator().board()["processes"]]


class TestSharedBoard:
    """What every window of a dashboard asks each second; the clock stands still unless it is moved."""

    @pytest.fixture
    def standing(self, watch_config: Config) -> Iterator[Harness]:
        running = Harness(watch_config, ManualClock())
        running.start()
        yield running
        running.close()

    def test_it_is_sent_once_a_second_and_each_is_told_their_own_name(self, standing: Harness) -> None:
        ann, kim = standing.operator(), ControlClient(standing.watch.url, _operator(standing, "kim"))
        first = ann.board_unless("")
        assert first.board()["you"] == "local"
        again = [client.board_unless(first.tag) for client in (ann, kim)]
        assert [(each.tag, each.you, each.said) for each in again] == [
            (first.tag, "local", b""),
            (first.tag, "kim", b""),
        ]
        newcomer = kim.board_unless("")
        assert newcomer.tag == first.tag
        assert newcomer.board()["you"] == "kim"
        assert isinstance(standing.clock, ManualClock)
        standing.clock.advance(LASTING_S)
        assert ann.board_unless(first.tag).tag != first.tag

    def test_a_token_that_is_no_good_is_told_nothing_whatever_it_has_seen(self, standing: Harness) -> None:
        kim = ControlClient(standing.watch.url, _operator(standing, "kim"))
        seen = kim.board_unless("")
        Tokens(standing.config.data_dir / "operators.json").remove("kim")
        assert refused(lambda: kim.board_unless(seen.tag)).status == 401

    def test_an_order_is_seen_at_once(self, standing: Harness) -> None:
        operator = standing.operator()
        seen = operator.board_unless("")
        operator.kill("agent:bot", "why not")
        killed = operator.board_unless(seen.tag)
        assert [latch["scope"] for latch in killed.board()["latches"]] == ["agent:bot"]
        operator.resume("agent:bot", "fine")
        assert operator.board_unless(killed.tag).board()["latches"] == []

    def test_who_asks_plainly_gets_the_one_of_now(self, standing: Harness) -> None:
        operator = standing.operator()
        seen = operator.board_unless("")
        standing.agent().send("poll", poll_body("p1", "bot"))
        assert operator.board_unless(seen.tag).said == b""
        assert [each["process"] for each in operator.board()["processes"]] == ["p1"]


def _operator(harness: Harness, name: str) -> str:
    return Tokens(harness.config.data_dir / "operators.json").add(name)
