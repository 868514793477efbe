"""What auditors ask, over the SQL port, of a journal that watch and the port wrote about an agent that looped."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client

from collector import queries
from collector.audit.entry import Note
from collector.keep.audit_copy import AuditCopy
from collector.questions import END, PREFIX, QUESTIONS
from collector.tokens import Tokens
from collector.verbs.audit_source import Table
from dashboards import history
from fusebox.cli import main
from fusebox.clock import SystemClock
from fusebox.command import Order
from fusebox.config import Config
from fusebox.control import ControlClient, ControlRefused
from fusebox.errors import FuseboxError
from tests.collector.spans import Span, Value, request
from tests.collector.sql_bench import Port, serving
from tests.fixtures.collector import until
from tests.fixtures.watch import FakeProcess, Harness
from tools.layers import ROOT

TRACE = f"{77:032x}"
LOOP: dict[str, Value] = {
    "fusebox.action": "tool_call", "gen_ai.agent.id": "bot", "fusebox.operation": "tickets.comment",
    "fusebox.target": "TICK-12", "fusebox.request.hash": "00000000000000aa", "fusebox.request.simhash":
    "00000000000000aa", "fusebox.result.hash": "00000000000000bb",
}  # fmt: skip
CHAT: dict[str, Value] = {
    "gen_ai.operation.name": "chat", "gen_ai.agent.id": "bot", "gen_ai.request.model": "gpt-5-mini",
    "gen_ai.usage.input_tokens": 1000, "gen_ai.usage.output_tokens": 100, "fusebox.cost.usd": "0.5",
    "fusebox.cost.price": "book",
}  # fmt: skip
THROUGH_GATEWAY: dict[str, Value] = CHAT | {
    "gen_ai.agent.id": "talker", "fusebox.operation": "gpt-5-mini", "fusebox.usage.delegated": True,
}  # fmt: skip


@dataclass
class Story:
    """What happened, and who can be asked about it."""

    port: Port
    harness: Harness
    config: Config
    client: Client

    def ask(self, name: str, **chosen: Any) -> list[dict[str, Any]]:
        return queries.run(self.client, PREFIX + name, **chosen)


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    folder = tmp_path_factory.mktemp("questions")
    config = Config(data_dir=folder, control_port=0, agents_file=folder / "agents.toml")
    with serving(folder) as port:
        harness = Harness(config, SystemClock()).start()
        try:
            _live(harness, port)
            copied = AuditCopy(port.bench.engine, folder / "journal").step()
            until(lambda: int(port.ask("SELECT count() FROM audit_log").text) >= copied, "the port sees the copy")
            asking = config.model_copy(update={"sql_url": port.url})
            yield Story(port, harness, asking, queries.connect(asking))
        finally:
            harness.close()


def _live(harness: Harness, port: Port) -> None:
    """A loop, its trip, a kill, and what people did about it."""
    jo = ControlClient(harness.watch.url, Tokens(harness.config.data_dir / "operators.json").add("jo"))
    process = FakeProcess(harness.agent, "p1", ("bot",), harness.keyring, harness.clock).start()
    try:
        _loop(harness, port)
        row = {"agent": "bot", "guard": "circuit", "reason": "it is open", "action": "tool_call", "trace_id": TRACE}
        rows = [
            {**row, "decision": word, "minute": 0, "count": n} for word, n in (("deny", 1), ("deny", 41), ("hold", 2))
        ]
        harness.agent().send("denials", {"process": "p1", "rows": rows})
        kill = jo.kill("agent:bot", "it loops")["command"]
        until(lambda: harness.operator().receipts(kill)["complete"], "the process obeyed")
        jo.resume("agent:bot", "prompt fixed", second_token=_local(harness))
        _break_off(harness, jo)
        jo.mode("bot", "observe_only", "we watch it")
        order = jo.messages("bot", "discard", "dead", "reason KeyError")["order"]
        jo.outcome(order, 3)
        with pytest.raises(ControlRefused):
            ControlClient(harness.watch.url, "guess").board()
        repriced = {"trace_id": TRACE, "span_id": f"{900:016x}", "cost_usd": "0.25", "price": "new book",
                    "before_usd": "0.5", "before_price": "book"}  # fmt: skip
        jo.reprice("bot", "contract of May", [repriced])
        until(lambda: harness.journal("alert"), "people were told")
        port.ask("SELECT count() FROM agent_events")
        for number in range(3):
            port.ask("SELECT {number:UInt8} FROM agent_minutes", param_number=str(number))
        harness.config.agents_file.write_text('[agents.bot]\nowner = "jo"\nrisk = "high"\n')
        harness.restart()
        harness.watch._journal.append(
            Note("verification", "operator:jo", "audit", "ok", payload={"sizes": {"watch": 4}})
        )
        found = {"finding": {"spans": [f"{TRACE}:{901:016x}"]}}
        harness.watch._journal.append(Note("finding", "detector:repetition", "talker", "it asks again", payload=found))
    finally:
        process.stop()


def _loop(harness: Harness, port: Port) -> None:
    now = harness.clock.now()
    chat = Span(900, 77, start=now - 5, attributes=CHAT)
    payload = request(
        chat, *(Span(1000 + n, 77, start=now - 1 + n / 10, seconds=0.01, attributes=LOOP) for n in range(8))
    )
    harness.raw(payload)
    until(lambda: harness.journal("trip"), "the circuit opened")
    told = {"gen_ai.agent.id": "bot", "fusebox.tenant": "default", "fusebox.workflow": "wf1"}
    wrote = {**told, "gen_ai.agent.id": "scout", "fusebox.context.wrote": 4, "fusebox.context.type": "delay"}
    read = {**told, "fusebox.context.read": "2,4-5"}
    late_read = {**told, "fusebox.context.read": "6-99999999"}
    did = {**LOOP, **told, "fusebox.target": "TICK-14"}
    began = harness.clock.now() - 60
    port.bench.store(
        request(
            Span(3000, 78, start=began, seconds=0.1, attributes=wrote),
            Span(3001, 79, start=began + 1, seconds=0.1, attributes=read),
            Span(3002, 79, start=began + 2, seconds=0.1, attributes=did),
            Span(3003, 79, start=began + 3, seconds=0.1, attributes=late_read),
        )
    )
    asked = Span(901, 77, start=now - 5, attributes=THROUGH_GATEWAY)
    port.bench.store(request(asked))
    late = Span(2000, 77, start=harness.clock.now(), seconds=0.01, attributes=LOOP | {"fusebox.target": "TICK-13"})
    port.bench.store(payload, request(late))


def _local(harness: Harness) -> str:
    return (harness.config.data_dir / "operator.token").read_text().strip()


def _break_off(harness: Harness, jo: ControlClient) -> None:
    jo.kill("agent:bot", "once more")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("breakers.latch.Latch.lift", _fail)
        with suppress(FuseboxError):
            jo.resume("agent:bot", "too early", second_token=None)


def _fail(*_: object) -> None:
    raise OSError(5, "input/output error")


def test_who_cut_it_and_who_let_it_run_again(story: Story) -> None:
    last, first = story.ask("kills", agent="bot")
    assert (first["by"], first["scope"], first["reason"]) == ("operator:jo", "agent:bot", "it loops")
    assert (first["lifted_by"], first["second"], first["lifted_because"]) == ("operator:jo", "local", "prompt fixed")
    assert first["since"] < first["lifted"] < END
    assert (last["lifted"], last["lifted_by"]) == (END, ""), "a resume that broke off lifted nothing"
    assert story.ask("kills", agent="other") == []
    assert story.ask("kills", since=last["since"] + 1) == []


def test_who_let_it_act(story: Story) -> None:
    rows = {row["reason"]: row for row in story.ask("allowed", agent="bot")}
    assert (rows["prompt fixed"]["second"], rows["prompt fixed"]["kills"], rows["prompt fixed"]["outcome"]) == (
        "local", 1, "done"
    )  # fmt: skip
    assert rows["we watch it"]["mode"] == "observe_only"
    assert rows["too early"]["outcome"].startswith("failed: ")


def test_on_what_evidence_it_was_stopped(story: Story) -> None:
    (trip,) = story.ask("trips", agent="bot")
    assert trip["by"].startswith("detector:")
    assert trip["since"] < trip["until"] < END
    assert 0 < trip["threshold"] <= trip["score"]
    evidence = story.ask("evidence", agent="bot")
    assert len([row for row in evidence if row["seq"] == trip["seq"]]) == trip["spans"] > 1
    assert {(row["operation"], row["target"], row["stored"]) for row in evidence} == {
        ("tickets.comment", "TICK-12", True)
    }  # fmt: skip


def test_a_call_through_the_gateway_is_evidence_though_the_gateway_counts_it(story: Story) -> None:
    (row,) = story.ask("evidence", agent="talker")
    assert (row["stored"], row["agent"], row["action"], row["operation"], row["ok"]) == (
        True, "talker", "model_call", "gpt-5-mini", True
    )  # fmt: skip
    assert (row["input_tokens"], row["cost_usd"]) == (1000, 0)
    (shown,) = history.evidence(story.config, (f"{TRACE}:{901:016x}",))
    assert (shown["operation"], shown["cost_usd"], shown["price"]) == ("gpt-5-mini", None, "on the span of the gateway")


def test_what_guards_refused(story: Story) -> None:
    rows = {row["kind"]: row for row in story.ask("refusals", agent="bot")}
    assert (rows["denial"]["guard"], rows["denial"]["reason"], rows["denial"]["times"]) == ("circuit", "it is open", 42)
    assert rows["hold"]["times"] == 2


def test_what_it_did_although_it_was_stopped(story: Story) -> None:
    (row,) = story.ask("despite", agent="bot")
    assert (row["target"], row["was"], row["agent"]) == ("TICK-13", "open", "bot")
    assert row["stopped"] < row["time"]


def test_what_it_knew_when_it_decided(story: Story) -> None:
    rows = story.ask("knew", agent="bot")
    assert [(row["target"], row["workflow"], row["entry"]) for row in rows] == [
        ("TICK-14", "wf1", 2), ("TICK-14", "wf1", 4), ("TICK-14", "wf1", 5)
    ], "what it read afterwards it did not know"  # fmt: skip
    assert (rows[1]["writer"], rows[1]["type"]) == ("scout", "delay")
    assert rows[1]["written"] < rows[1]["time"]
    assert story.ask("knew", agent="scout") == []


def test_what_stands_now(story: Story) -> None:
    rows = story.ask("standing", agent="bot")
    assert {(row["state"], row["subject"]) for row in rows} == {("killed", "agent:bot"), ("observe_only", "bot")}


def test_who_obeyed_and_how_fast(story: Story) -> None:
    rows = [row for row in story.ask("receipts", agent="bot") if row["process"]]
    assert {row["process"] for row in rows} == {"p1"}
    assert all(0 <= row["seconds"] < 60 for row in rows)


def test_what_the_loop_cost(story: Story) -> None:
    spent = {row["kind"]: row for row in story.ask("spend", agent="bot")}
    assert {(row["tokens"], float(row["cost_usd"])) for row in spent.values()} == {(1100, 0.25)}, "at today's price"
    assert {"trip", "denial", "hold"} <= spent.keys()


def test_what_was_ordered_and_not_done(story: Story) -> None:
    (row,) = story.ask("unfinished")
    assert (row["kind"], row["reason"], row["by"]) == ("resume", "too early", "operator:jo")


def test_what_a_person_did(story: Story) -> None:
    kinds = {row["kind"] for row in story.ask("did", who="jo")}
    assert {"login", "kill", "resume", "set_mode", "discard", "outcome", "reprice"} <= kinds
    assert {row["by"] for row in story.ask("did", who="jo")} == {"operator:jo"}
    assert story.ask("did", who="nobody") == []


def test_a_statement_that_a_program_asks_again_and_again_is_one_row_of_what_was_done(story: Story) -> None:
    rows = [row for row in story.ask("did") if row["reason"] == "SELECT {number:UInt8} FROM agent_minutes"]
    assert [(row["kind"], row["times"]) for row in rows] == [("sql", 3)]


def test_who_came_and_who_was_turned_away(story: Story) -> None:
    rows = story.ask("logins")
    assert {row["by"] for row in rows if row["kind"] == "login"} == {"operator:jo", "operator:local"}
    (failed,) = [row for row in rows if row["kind"] == "login_failed"]
    assert (failed["by"], failed["subject"], failed["times"]) == ("address:127.0.0.1", "/v1/board", 1)


def test_who_was_given_a_token(story: Story) -> None:
    assert {(row["name"], row["list"], row["what"]) for row in story.ask("access")} >= {("jo", "operator", "added")}


def test_what_ran_on_the_console(story: Story) -> None:
    rows = story.ask("statements")
    assert [row["outcome"] for row in rows if row["statement"] == "SELECT count() FROM agent_events"] == ["answered"]


def test_what_was_configured(story: Story) -> None:
    rows = story.ask("configuration")
    changed = {(row["role"], row["name"], row["before"], row["after"]) for row in rows}
    assert ("watch", "agents.agents.bot.risk", None, "high") in changed


def test_which_messages_were_thrown_away(story: Story) -> None:
    (row,) = story.ask("messages")
    assert (row["kind"], row["by"], row["whose"], row["queue"], row["chosen"], row["count"], row["outcome"]) == (
        "discard", "operator:jo", "bot", "dead", "reason KeyError", 3, "done"
    )  # fmt: skip


def test_who_changed_what_it_cost(story: Story) -> None:
    (row,) = story.ask("repricings")
    assert (row["by"], row["reason"], row["rows"]) == ("operator:jo", "contract of May", 1)
    assert (float(row["before_usd"]), float(row["after_usd"])) == (0.5, 0.25)


def test_whether_people_were_told(story: Story) -> None:
    told = {(row["sink"], row["fate"]) for row in story.ask("alerts") if "trn" in row["alert"]}
    assert told == {("log", "delivered")}


def test_how_far_it_is_verified(story: Story) -> None:
    rows = {row["writer"]: row for row in story.ask("unverified")}
    assert (rows["watch"]["verified_to"], rows["keep"]["verified_to"]) == (3, -1)
    assert rows["watch"]["unverified"] == rows["watch"]["newest"] - 3
    assert rows["watch"]["missing"] == rows["keep"]["missing"] == 0
    entries = story.client.query("SELECT seq, verified FROM audit_entries WHERE writer = 'watch'").result_rows
    assert {seq for seq, verified in entries if verified} == {0, 1, 2, 3}


def test_every_question_has_a_test() -> None:
    asked = Path(__file__).read_text()
    assert [name for name in QUESTIONS if f'story.ask("{name}"' not in asked] == []


class TestOnTheCommandLine:
    @pytest.fixture(autouse=True)
    def settings(self, story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("FUSEBOX_DATA_DIR", str(story.config.data_dir))
        monkeypatch.setenv("FUSEBOX_SQL_URL", story.port.url)

    def test_a_question_is_a_table_or_json(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["audit", "ask", "kills", "--since", "1h", "--agent", "bot"]) == 0
        out = capsys.readouterr().out
        assert "operator:jo" in out
        assert "not yet" in out
        assert main(["audit", "ask", "spend", "--json", "--limit", "2"]) == 0
        answer = json.loads(capsys.readouterr().out)
        assert (answer["question"], len(answer["rows"]), answer["cut"]) == ("spend", 2, True)
        assert main(["audit", "ask", "spend", "--limit", "1"]) == 0
        assert "only the first 1; there may be more" in capsys.readouterr().out

    def test_without_a_name_the_questions_are_listed(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["audit", "ask", "--json"]) == 0
        assert json.loads(capsys.readouterr().out).keys() == QUESTIONS.keys()

    def test_what_a_question_does_not_take_is_said(self, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit, match="2"):
            main(["audit", "ask", "logins", "--agent", "bot"])
        assert "'logins' takes no --agent; it takes --limit, --since, --who" in capsys.readouterr().err
        with pytest.raises(SystemExit, match="2"):
            main(["audit", "ask", "nonsense"])

    def test_nothing_is_said_to_be_nothing(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["audit", "ask", "did", "--who", "\x1b[31mnobody"]) == 0
        assert "nothing on record" in capsys.readouterr().out


def test_every_kind_of_entry_is_in_the_guide() -> None:
    guide = (ROOT / "docs" / "guide" / "audit-questions.md").read_text()
    sources = [path.read_text() for path in (ROOT / "collector").rglob("*.py")]
    kinds = {kind for text in sources for kind in re.findall(r"\bNote\(\s*\"(\w+)\"", text)}
    assert "config" in kinds
    assert [kind for kind in sorted(kinds | {order.value for order in Order}) if f"`{kind}`" not in guide] == []


def test_the_statements_in_the_guide_run(story: Story) -> None:
    text = (ROOT / "docs" / "guide" / "audit-questions.md").read_text()
    statements = [each for block in re.findall(r"```sql\n(.*?)```", text, re.DOTALL) for each in block.split(";\n")]
    answers = [story.client.query(each).result_rows for each in statements if each.strip()]
    assert len(answers) == 3
    assert answers[1], "a circuit was open"


def test_a_verification_misses_the_spans_that_entries_rest_on(story: Story) -> None:
    table, later, (trip,) = Table(story.config, []), story.harness.clock.now() + 600, story.ask("trips", agent="bot")
    assert table.evidence_gaps(later, 90) == []
    lost = next(row["span_id"] for row in story.ask("evidence", agent="bot") if row["seq"] == trip["seq"])
    story.port.bench.engine.writer().command(
        f"ALTER TABLE agent_events DELETE WHERE span_id = '{lost}' SETTINGS mutations_sync = 1"
    )
    (gap,) = until(lambda: table.evidence_gaps(later, 90), "the port to see that it is gone")
    assert gap.startswith("1 spans that ")
    assert f"not stored, first those of watch {trip['seq']}:" in gap
    assert table.evidence_gaps(later - 600, 90) == [], "they may still be on their way"
    assert table.evidence_gaps(later + 90 * 86_400, 90) == [], "they are old enough to be deleted"
    assert table.evidence_gaps(later + 90 * 86_400, 0) == [gap], "nothing is ever deleted"
