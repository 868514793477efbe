"""The rows behind a refusal, and the calls behind a row: its SQL, on a database that has the spans of the gateway."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from collector.receive.stamp import stamp
from collector.tokens import Principal
from fusebox.encode import encode
from tests.collector.keep_bench import Bench
from tests.fixtures.gateway import Provider, Running, StartGateway, failing, whole
from tests.gateway.test_ledger import CHAT, ask
from tests.gateway.test_tools import call, stored

LIMIT = '[[limits]]\nscope = "{scope}"\nname = "{name}"\nmeasure = "{measure}"\nlimit = {limit}\nbudget = "lifetime"\n'
RUN = {"x-fusebox-workflow": "run-1"}


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with Bench(tmp_path / "database") as bench:
        yield bench


def stored_in(bench: Bench, running: Running, spans: int) -> None:
    """As the collector stores what the gateway has sent."""
    request = ExportTraceServiceRequest.FromString(encode(running.span(spans)))
    stamp(request, Principal("local", "default", frozenset("*")), running.runtime.clock.now())
    bench.store(request.SerializeToString())


def behind(bench: Bench, refusal: tuple[int, bytes, Any]) -> tuple[dict[str, Any], int, int]:
    """The row of a refusal; calls and tokens that its SQL finds."""
    status, body, _ = refusal
    (row,) = json.loads(body)["error"]["rows"]
    assert status == 429
    found = bench.rows(row["ledger"])
    return row, sum(calls for _, _, calls, _, _ in found), sum(tokens for *_, tokens, _ in found)


@pytest.mark.parametrize(
    ("scope", "name", "calls"),
    [("agent", "ticket-helper", 4), ("agent", "ticket-*", 4), ("tenant", "*", 5), ("workflow", "*", 4),
     ("model", "steady", 2)],
)  # fmt: skip
def test_the_requests_that_a_row_counted_are_found(
    bench: Bench, gateways: StartGateway, provider: Provider, scope: str, name: str, calls: int
) -> None:
    running = gateways(LIMIT.format(scope=scope, name=name, measure="requests", limit=calls))
    _, other = running.keys.add("label-bot", team="", models=("*",), tools=())
    provider.answers = [whole("openai_chat.json")]
    ask(running, "/v1/chat/completions", CHAT, key=other)
    ask(running, "/v1/chat/completions", CHAT, RUN)
    ask(running, "/v1/chat/completions", {**CHAT, "model": "steady"}, RUN)
    provider.answers = [failing(500), whole("openai_chat.json")]  # two attempts, one call
    ask(running, "/v1/chat/completions", {**CHAT, "model": "steady", "seed": 1}, RUN)
    provider.answers = [stored]
    call(running, "GET", "/tools/tickets/1", x_fusebox_workflow="run-1")
    stored_in(bench, running, 6)

    row, found, _ = behind(bench, ask(running, "/v1/chat/completions", {**CHAT, "model": "steady"}, RUN))
    assert (row["used"], found) == (calls, calls)
    assert (row["held"], row["expired"], row["since"]) == (0, 0, 0)


@pytest.mark.parametrize(("scope", "name"), [("agent", "*"), ("model", "steady")])
def test_the_tokens_that_a_row_counted_are_found(
    bench: Bench, gateways: StartGateway, provider: Provider, scope: str, name: str
) -> None:
    running = gateways(LIMIT.format(scope=scope, name=name, measure="tokens", limit=1000))
    provider.answers = [whole("openai_chat.json")]
    for seed in range(2):
        ask(running, "/v1/chat/completions", {**CHAT, "model": "steady", "max_tokens": 500, "seed": seed})
    stored_in(bench, running, 2)

    row, calls, tokens = behind(bench, ask(running, "/v1/chat/completions", {**CHAT, "model": "steady", "n": 2}))
    assert (row["used"], tokens, calls) == (2 * 94, 2 * 94, 2)
