"""``fusebox why``: from an effect back to the prompt, across queues."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from clickhouse_connect.driver.client import Client
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from collector.audit.entry import Note
from collector.audit.journal import Journal
from collector.keep.audit_copy import AuditCopy
from collector.verbs.why import render
from collector.why import Direction, NotFound, Why, explain, message_text
from collector.why.model import Row
from collector.why.walk import Walk
from fusebox.clock import ManualClock
from tests.collector.keep_bench import Bench
from tests.collector.spans import NOW, Span, Value, request


def _chat(prompt: str, answer: str) -> dict[str, Value]:
    return {
        "gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-5-mini", "gen_ai.agent.id": "helper",
        "gen_ai.input.messages": json.dumps([{"role": "user", "parts": [{"type": "text", "content": prompt}]}]),
        "gen_ai.output.messages": json.dumps([{"role": "assistant", "content": answer}]),
    }  # fmt: skip


def _tool(name: str) -> dict[str, Value]:
    return {"fusebox.action": "tool_call", "gen_ai.tool.name": name, "gen_ai.tool.call.arguments": '{"ticket": "T-1"}'}


def _message(kind: str, id: str, agent: str) -> dict[str, Value]:
    return {"messaging.operation.type": kind, "messaging.message.id": id, "gen_ai.agent.id": agent}


# watcher, trace 1: process 10 → chat 11 → publish 12
# helper, trace 2, linked only: process 20 → chat 21 → tool 22 → chat 23
SPANS = [
    Span(10, 1, name="process ticket.opened", kind=5, start=NOW, attributes=_message("process", "m-0", "watcher")),
    Span(11, 1, 10, "chat gpt-5-mini", 3, NOW + 1, attributes=_chat("summarise T-1", "it is late")),
    Span(12, 1, 10, "publish ticket.commented", 4, NOW + 2, attributes=_message("send", "m-1", "watcher")),
    Span(20, 2, name="process ticket.commented", kind=5, start=NOW + 3, links=[(1, 12)],
         attributes=_message("process", "m-1", "helper")),
    Span(21, 2, 20, "chat gpt-5-mini", 3, NOW + 4,
         attributes=_chat("answer [bold]it is late[/]", "we\x1b[31m are sorry")),
    Span(22, 2, 20, "execute_tool tickets.comment", 1, NOW + 5, status=2, attributes=_tool("tickets.comment")),
    Span(23, 2, 20, "chat gpt-5-mini", 3, NOW + 6, attributes=_chat("anything else?", "no")),
    # auditor, trace 6: one handler of a batch that links to two messages, one of them lost
    Span(60, 6, name="process batch", kind=5, start=NOW + 7, links=[(1, 12), (8, 80)],
         attributes=_message("process", "b-1", "auditor")),
    Span(61, 6, 60, "execute_tool files.write", 1, NOW + 8,
         attributes=_tool("files.write") | {"fusebox.target": "R-7",
                                            "fusebox.approval": "apr_1"}),
    Span(90, 9, name="execute_tool files.read", start=NOW + 9,
         attributes=_tool("files.read") | {"gen_ai.agent.id": "auditor", "fusebox.approval": "apr_1"}),
    Span(30, 3, 99, "execute_tool orphan", 1, NOW, attributes=_tool("orphan")),
    Span(40, 4, 41, "execute_tool ring", 1, NOW, attributes=_tool("ring")),
    Span(41, 4, 40, "process ring", 5, NOW, attributes=_message("process", "m-9", "ring")),
]  # fmt: skip


FINDING = {"finding": {"spans": [f"{2:032x}:{21:016x}", f"{2:032x}:{22:016x}"]}}
NOTES = [
    Note("resume", "operator:jo", "agent:helper", "prompt fixed", payload={"command": {"id": "c"}}),
    Note("denial", "circuit", "helper", "it is open", trace_id=f"{2:032x}"),
    Note("trip", "detector:repetition", "helper", "the same 5 times", f"{2:032x}", payload={"transition": FINDING}),
    Note("kill", "operator:jo", "agent:elsewhere", "just so", payload={"command": {"id": "d"}}),
    Note("approval", "agent:helper", "apr_1", "files take a person", payload={"step": "asked"}),
    Note("approval", "operator:jo", "apr_1", "read it", payload={"step": "answered", "approve": True}),
    Note("commit", "agent:helper", "apr_1", "http_201"),
    Note("commit", "agent:auditor", "apr_1", "http_200"),
]  # fmt: skip


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with Bench(tmp_path_factory.mktemp("why")) as bench:
        bench.store(request(*SPANS))
        journal = Journal(bench.journal, ManualClock(NOW + 1), "watch")
        for note in NOTES:
            journal.append(note)
        AuditCopy(bench.engine, bench.journal).step()
        yield bench.engine.reader()


@pytest.mark.parametrize("id", [f"{22:016x}", f"{2:032x}", f"{2:032X}", f" {22:016x} ", f"{2:032x}:{22:016x}"])
def test_a_comment_leads_to_its_prompt_and_over_the_queue_to_the_first(client: Client, id: str) -> None:
    why = explain(client, id)
    assert [step.span_id for step in why.steps] == [f"{n:016x}" for n in (22, 20, 12, 10)]
    assert why.complete
    assert why.cause is not None
    assert why.cause.prompt == "user: answer [bold]it is late[/]"
    assert [call.prompt for step in why.steps for call in step.model_calls] == [
        "user: answer [bold]it is late[/]", "user: summarise T-1"
    ]  # fmt: skip
    assert why.steps[0].failed
    assert why.steps[0].detail == '{"ticket": "T-1"}'


def test_a_message_leads_to_its_publisher(client: Client) -> None:
    assert [step.span_id for step in explain(client, "m-1").steps] == [f"{n:016x}" for n in (12, 10)]


def test_verdicts_and_who_let_the_agent_act_stand_beside_the_steps(client: Client) -> None:
    effect = explain(client, f"{22:016x}").steps[0]
    assert [(ruling.kind, ruling.actor, ruling.seq) for ruling in effect.rulings] == [
        ("denial", "circuit", 1), ("trip", "detector:repetition", 2), ("resume", "operator:jo", 0)
    ]  # fmt: skip
    assert explain(client, f"{10:016x}").steps[0].rulings == (), "an order about another agent is not about this one"


def test_the_approver_stands_beside_what_was_approved_and_beside_nothing_that_claims_to_be(client: Client) -> None:
    approved = explain(client, f"{61:016x}").steps[0]
    assert [(ruling.kind, ruling.actor, ruling.reason) for ruling in approved.rulings if ruling.subject == "apr_1"] == [
        ("approval", "agent:helper", "files take a person"), ("approval", "operator:jo", "read it"),
        ("commit", "agent:helper", "http_201"), ("commit", "agent:auditor", "http_200"),
    ]  # fmt: skip
    claimed = explain(client, f"{90:016x}").steps[0]
    assert "read it" not in {ruling.reason for ruling in claimed.rulings}, "another agent had asked"


def test_an_entry_of_the_audit_log_leads_to_its_evidence(client: Client) -> None:
    why = explain(client, "watch:2")
    assert why.entry is not None
    assert (why.entry.kind, why.entry.reason) == ("trip", "the same 5 times")
    assert why.steps[0].span_id == f"{22:016x}"
    ordered = explain(client, "watch/3")
    assert ordered.entry is not None
    assert (ordered.entry.actor, ordered.steps, ordered.complete) == ("operator:jo", (), True)
    assert "kill by operator:jo about agent:elsewhere: just so" in printed(ordered)


def test_a_row_leads_to_the_newest_call_that_named_it(client: Client) -> None:
    assert explain(client, "R-7").steps[0].span_id == f"{61:016x}"


def test_a_batch_has_several_causes_and_the_lost_one_is_named(client: Client) -> None:
    why = explain(client, "R-7")
    assert {step.span_id for step in why.steps} == {f"{n:016x}" for n in (61, 60, 12, 10)}
    assert why.gaps == (f"what came before is not stored: {8:032x}:{80:016x}",)
    assert f"{8:032x}:{80:016x}" in printed(why)


def test_the_way_forward_crosses_queues_and_says_what_was_touched(client: Client) -> None:
    why = explain(client, "m-1", Direction.FORWARD)
    assert {step.span_id for step in why.steps} == {f"{n:016x}" for n in (12, 20, 21, 22, 23, 60, 61)}
    assert why.complete
    assert ("helper", "execute_tool files.write", "R-7", 1) in why.touched()
    text = printed(why)
    assert text.index("publish ticket.commented") < text.index("process batch") < text.index("files.write")
    assert "execute_tool files.write on R-7 × 1" in text


def test_what_followed_a_model_call_is_what_its_handler_did_then(client: Client) -> None:
    why = explain(client, f"{21:016x}", Direction.FORWARD)
    assert [step.span_id for step in why.steps] == [f"{n:016x}" for n in (21, 22, 23)]
    assert why.steps[0].model_calls[0].answer.endswith("we\x1b[31m are sorry")


def test_an_endless_chain_ends_and_says_so(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("collector.why.walk.MAX_STEPS", 3)
    for direction in Direction:
        why = explain(client, f"{22 if direction is Direction.BACK else 10:016x}", direction)
        assert len(why.steps) == 3
        assert any("it goes on" in gap for gap in why.gaps)
    monkeypatch.setattr("collector.why.walk.MAX_STEPS", 500)
    monkeypatch.setattr("collector.why.walk.MAX_LEVELS", 2)
    assert len(explain(client, f"{22:016x}").steps) == 3
    assert not explain(client, f"{22:016x}").complete


def test_edges_are_there_in_sql(client: Client) -> None:
    rows = client.query("SELECT via, span_id, cause_span_id FROM span_causes WHERE trace_id LIKE '%6'").result_rows
    assert set(rows) == {
        ("parent", f"{61:016x}", f"{60:016x}"),
        ("link", f"{60:016x}", f"{12:016x}"),
        ("link", f"{60:016x}", f"{80:016x}"),
    }


def printed(why: Why) -> str:
    console = Console(width=400, highlight=False, color_system=None)
    with console.capture() as capture:
        console.print(render(why))
    return capture.get()


def test_the_tree_reads_from_effect_to_cause(client: Client) -> None:
    text = printed(explain(client, f"{22:016x}"))
    lines = ["execute_tool tickets.comment", "process ticket.commented", "answer [bold]it is late[/]", "we·[31m are",
             "publish ticket.commented", "process ticket.opened", "summarise T-1"]  # fmt: skip
    assert [text.index(line) for line in lines] == sorted(text.index(line) for line in lines)
    assert "\x1b" not in text


def test_a_lost_parent_is_said(client: Client) -> None:
    why = explain(client, f"{30:016x}")
    assert (len(why.steps), why.complete, why.cause) == (1, False, None)
    assert json.loads(json.dumps(why.json()))["complete"] is False


def test_a_ring_of_parents_ends(client: Client) -> None:
    why = explain(client, f"{40:016x}")
    assert len(why.steps) == 2
    assert why.gaps == ("it has no beginning: these spans go round in a ring",)
    assert len(explain(client, f"{40:016x}", Direction.FORWARD).steps) == 2


@pytest.mark.parametrize("id", ["f" * 16, "f" * 32, "no such message", "", "' OR 1=1", "watch:999"])
def test_an_unknown_id_is_said(client: Client, id: str) -> None:
    with pytest.raises(NotFound, match=r"is stored|has no entry"):
        explain(client, id)


@pytest.mark.parametrize(
    ("captured", "text"),
    [
        ("", ""),
        ("not json", "not json"),
        ('[{"role": "user", "content": "hi"}]', "user: hi"),
        (
            '[{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "x", "y": 1}]}]',
            'user: a {"type": "x", "y": 1}',
        ),
        ('"just text"', "just text"),
        ('{"role": "system", "content": null}', "system: "),
        ("[1, null]", "1\nNone"),
    ],
)
def test_captured_messages_are_readable_in_any_shape(captured: str, text: str) -> None:
    assert message_text(captured) == text


@given(st.integers(2, 9).flatmap(lambda n: st.lists(st.tuples(st.integers(0, n), st.integers(0, n)), max_size=25)))
def test_a_walk_finds_what_can_be_reached_and_nothing_twice(edges: list[tuple[int, int]]) -> None:
    rows = {number: {"trace_id": "t", "span_id": str(number)} for number in range(11)}

    def neighbours(_: Walk, level: list[Row]) -> Iterator[tuple[Row, str]]:
        for row in level:
            for cause, effect in edges:
                if str(effect) == row["span_id"]:
                    yield rows[cause], f"t:{effect}"

    found = Walk(None)  # type: ignore[arg-type]
    found.go(rows[0], neighbours)
    reached, before = {0}, set[int]()
    while reached != before:
        before, reached = reached, reached | {cause for cause, effect in edges if effect in reached}
    assert set(found.rows) == {f"t:{number}" for number in reached}
    assert not found.cut
    for _, next_to in found.rows.values():
        assert next_to == "" or next_to in found.rows
