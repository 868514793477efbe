"""``fusebox why``: from an effect back to the prompt, across queues."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from clickhouse_connect.driver.client import Client
from rich.console import Console

from collector.verbs.why import render
from collector.why import NotFound, explain, message_text
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
    Span(30, 3, 99, "execute_tool orphan", 1, NOW, attributes=_tool("orphan")),
    Span(40, 4, 41, "execute_tool ring", 1, NOW, attributes=_tool("ring")),
    Span(41, 4, 40, "process ring", 5, NOW, attributes=_message("process", "m-9", "ring")),
]  # fmt: skip


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with Bench(tmp_path_factory.mktemp("why")) as bench:
        bench.store(request(*SPANS))
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


def test_the_tree_reads_from_effect_to_cause(client: Client) -> None:
    console = Console(width=160, highlight=False, color_system=None)
    with console.capture() as capture:
        console.print(render(explain(client, f"{22:016x}")))
    text = capture.get()
    lines = ["execute_tool tickets.comment", "process ticket.commented", "answer [bold]it is late[/]", "we·[31m are",
             "publish ticket.commented", "process ticket.opened", "summarise T-1"]  # fmt: skip
    assert [text.index(line) for line in lines] == sorted(text.index(line) for line in lines)
    assert "\x1b" not in text


def test_a_lost_parent_is_said(client: Client) -> None:
    why = explain(client, f"{30:016x}")
    assert (len(why.steps), why.complete, why.cause) == (1, False, None)
    assert json.loads(json.dumps(why.json()))["complete"] is False


def test_a_ring_of_parents_ends(client: Client) -> None:
    assert len(explain(client, f"{40:016x}").steps) == 2


@pytest.mark.parametrize("id", ["f" * 16, "f" * 32, "no such message", "", "' OR 1=1"])
def test_an_unknown_id_is_said(client: Client, id: str) -> None:
    with pytest.raises(NotFound, match="is stored"):
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
