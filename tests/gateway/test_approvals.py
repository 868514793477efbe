"""Calls on which a guard wants a person's word: 202 and an id, then once, and never for another call."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection, HTTPResponse
from typing import Any
from urllib.parse import urlsplit

import anthropic
import openai
import pytest

from fusebox import guard, names
from fusebox.guard import Guards
from fusebox.records import Action, ActionKind, Verdict
from tests.fixtures.agents import eventually
from tests.fixtures.approvals import Holding, answer, asked, hold, steps
from tests.fixtures.collector import until
from tests.fixtures.gateway import GatewayFactory, Provider, Running, failing, streamed, whole
from tests.fixtures.proxy import Proxy
from tests.fixtures.watch import Harness
from tests.gateway.test_ledger import attributes
from tests.gateway.test_tools import call, stored

ORDER = {"supplier": "Acme", "quantity": 200}


@pytest.fixture
def running(harness: Harness, gateways: GatewayFactory, provider: Provider) -> Running:
    provider.answers = [stored]
    started = gateways()
    eventually(lambda: started.runtime.link.verified("ticket-helper"), what="the gateway has a snapshot")
    return started


@pytest.fixture
def holding(running: Running) -> Holding:
    return hold(running.runtime, ActionKind.TOOL_CALL, "tickets")


def order(running: Running, body: object = ORDER, approval: str = "", **headers: str) -> tuple[int, dict[str, Any]]:
    named = {"x_fusebox_approval": approval} if approval else {}
    response: HTTPResponse = call(running, "POST", "/tools/tickets/orders", body=body, **named, **headers)
    return response.status, json.loads(response.read())


def test_a_held_call_is_told_its_approval_and_goes_through_once_with_it(
    harness: Harness, running: Running, provider: Provider, holding: Holding
) -> None:
    status, told = order(running)
    assert (status, told["status"]) == (202, "pending")
    assert order(running) == (202, told), "the same call asks the same question"
    assert order(running, approval=told["approval_id"])[0] == 202
    (row,) = asked(harness)
    shown = json.loads(harness.operator().approval(row["id"])["request"]["arguments"])
    assert json.loads(shown["body"]) == ORDER
    assert answer(harness, approve=True) == told["approval_id"]
    assert order(running)[0] == 202, "what is not named does not count"
    assert provider.seen == []
    assert order(running, approval=told["approval_id"])[0] == 201
    status, refused = order(running, approval=told["approval_id"])
    assert (status, refused["error"]["code"]) == (403, "approval_denied")
    assert len(provider.seen) == 1
    assert steps(harness) == ["asked", "answered", "used"]
    (commit,) = until(lambda: harness.journal("commit"), "how it ended is on record")
    used = harness.journal("approval")[-1]
    assert (commit["actor"], commit["subject"], commit["reason"]) == (used["actor"], used["subject"], "http_201")
    assert commit["seq"] > used["seq"]
    (span,) = running.span()
    assert attributes(span)[names.APPROVAL] == told["approval_id"]


def test_what_came_to_nothing_is_on_record_too(
    harness: Harness, running: Running, provider: Provider, holding: Holding
) -> None:
    approval = order(running)[1]["approval_id"]
    answer(harness, approve=True)
    provider.answers = [failing(500)]
    order(running, approval=approval)
    (commit,) = until(lambda: harness.journal("commit"), "how it ended is on record")
    assert (commit["subject"], commit["reason"]) == (approval, "http_500")


def test_an_approval_is_not_spent_on_a_system_that_is_left_alone(
    harness: Harness, running: Running, provider: Provider, holding: Holding
) -> None:
    approval = order(running)[1]["approval_id"]
    answer(harness, approve=True)
    provider.answers = [failing(500)]
    held, holding.verdict = holding.verdict, guard.allow("policy")
    assert [call(running, "GET", f"/tools/tickets/{n}").status for n in range(4)] == [500, 500, 500, 503]
    holding.verdict = held
    assert order(running, approval=approval)[1]["error"]["code"] == "upstream_circuit_open"
    provider.answers = [stored]
    eventually(lambda: order(running, approval=approval)[0] == 201, what="the system is asked again")
    assert steps(harness) == ["asked", "answered", "used"]


class Turning(Holding):
    """Wants people asked, and says no when it is asked again behind their yes."""

    checked = 0

    def check(self, action: Action) -> Verdict:
        self.checked += 1
        return super().check(action) if self.checked < 3 else guard.deny(self.name, "not any more")


def test_what_is_denied_behind_their_yes_is_on_record(harness: Harness, running: Running, provider: Provider) -> None:
    runtime = running.runtime
    runtime.guards = Guards([runtime.guards, Turning(ActionKind.TOOL_CALL, "tickets")])
    approval = order(running)[1]["approval_id"]
    answer(harness, approve=True)
    status, told = order(running, approval=approval)
    assert (status, told["error"]["code"], provider.seen) == (403, "denied_by_policy", [])
    (commit,) = until(lambda: harness.journal("commit"), "how it ended is on record")
    assert (commit["subject"], commit["reason"]) == (approval, "denied_by_policy")


def test_what_was_spent_for_a_client_that_left_is_on_record(
    harness: Harness, gateways: GatewayFactory, provider: Provider
) -> None:
    with Proxy(harness.watch.url) as proxy:
        running = gateways(control_url=f"http://127.0.0.1:{proxy.port}")
        eventually(lambda: running.runtime.link.verified("ticket-helper"), what="the gateway has a snapshot")
        hold(running.runtime, ActionKind.TOOL_CALL, "tickets")
        approval = order(running)[1]["approval_id"]
        answer(harness, approve=True)
        proxy.freeze()
        client = HTTPConnection(urlsplit(running.url).netloc, timeout=10)
        headers = {"authorization": f"Bearer {running.key}", "x-fusebox-approval": approval}
        client.request("POST", "/tools/tickets/orders", json.dumps(ORDER), headers)
        calls = "fusebox_gateway_calls {}"
        eventually(lambda: calls.format(1) in metrics(running), what="the call waits for watch")
        client.close()
        eventually(lambda: calls.format(0) in metrics(running), what="the gateway has noticed")
        proxy.thaw()
        (commit,) = until(lambda: harness.journal("commit"), "how it ended is on record")
    assert (commit["subject"], commit["reason"], provider.seen) == (approval, "cancelled", [])


def metrics(running: Running) -> str:
    return call(running, "GET", "/metrics").read().decode()


def test_of_many_that_show_the_same_approval_at_once_one_goes_through(
    harness: Harness, running: Running, provider: Provider, holding: Holding
) -> None:
    approval = order(running)[1]["approval_id"]
    answer(harness, approve=True)
    with ThreadPoolExecutor(16) as pool:
        statuses = list(pool.map(lambda _: order(running, approval=approval)[0], range(100)))
    assert sorted(set(statuses)) == [201, 403]
    assert statuses.count(201) == len(provider.seen) == 1


def test_another_call_cannot_use_it(harness: Harness, running: Running, provider: Provider, holding: Holding) -> None:
    approval = order(running)[1]["approval_id"]
    answer(harness, approve=True)
    assert order(running, ORDER | {"quantity": 201}, approval)[0] == 403
    assert order(running, ORDER, approval, x_fusebox_workflow="another")[0] == 403
    _, other = running.keys.add("label-bot", team="", models=("*",), tools=("*",))
    response = call(running, "POST", "/tools/tickets/orders", body=ORDER, key=other, x_fusebox_approval=approval)
    assert response.status == 403, "another agent"
    assert order(running, ORDER, approval, content_type="application/json-patch+json")[0] == 403, "another meaning"
    assert order(running, ORDER, approval, if_match="*")[0] == 403
    holding.verdict = guard.hold("policy", "orders take a person", revision="r2")
    assert order(running, approval=approval)[0] == 403, "another revision of the policy asks anew"
    assert provider.seen == []
    holding.verdict = guard.hold("policy", "orders take a person", revision="r1")
    running.runtime.latch.kill("kill_1", "agent:ticket-helper", reason="cut", time=running.runtime.clock.now())
    assert order(running, approval=approval)[0] == 403
    assert provider.seen == []


def test_a_no_is_told_with_its_reason(harness: Harness, running: Running, holding: Holding) -> None:
    approval = order(running)[1]["approval_id"]
    answer(harness, approve=False, reason="too many of them")
    status, told = order(running, approval=approval)
    assert (status, told["error"]["code"], "too many of them" in told["error"]["message"]) == (
        403, "approval_denied", True,
    )  # fmt: skip


@pytest.mark.parametrize("agreed", [False, True], ids=["unanswered", "unused"])
def test_what_has_expired_goes_nowhere(
    harness: Harness, running: Running, provider: Provider, holding: Holding, agreed: bool
) -> None:
    harness.config.agents_file.write_text('[agents.ticket-helper]\nowner = "jo"\napprovals = { expires_s = 3 }\n')
    approval = order(running)[1]["approval_id"]
    if agreed:
        answer(harness, approve=True)
        until(lambda: "expired" in steps(harness), "what was agreed to is over")
    eventually(lambda: order(running, approval=approval)[0] == 403, what="it is over")
    assert provider.seen == []
    assert steps(harness)[-1] == "expired"
    assert order(running)[1]["approval_id"] != approval, "a new question"


def test_nobody_can_be_asked_while_watch_is_away(
    harness: Harness, running: Running, provider: Provider, holding: Holding
) -> None:
    harness.stop()
    status, told = order(running)
    assert (status, told["error"]["code"]) == (503, "approval_unavailable")
    assert provider.seen == []


def test_a_model_call_can_be_held_too(harness: Harness, running: Running, provider: Provider) -> None:
    hold(running.runtime, ActionKind.MODEL_CALL, "gpt-5-mini")
    provider.answers = [whole("openai_chat.json")]
    body = {"model": "gpt-5-mini", "messages": [{"role": "user", "content": "hi"}]}
    response = call(running, "POST", "/v1/chat/completions", body=body)
    approval = json.loads(response.read())["error"]["approval_id"]
    assert response.status == 403
    answer(harness, approve=True)
    beta = call(
        running, "POST", "/v1/chat/completions", body=body, x_fusebox_approval=approval, openai_beta="assistants=v2"
    )
    assert beta.status == 403, "with other features of the provider it is another call"
    provider.answers = [failing(500)]
    for _ in range(2):  # by another name, it is the same upstream
        call(running, "POST", "/v1/chat/completions", body={**body, "model": "steady"})
    resting = call(running, "POST", "/v1/chat/completions", body=body, x_fusebox_approval=approval)
    assert json.loads(resting.read())["error"]["code"] == "upstream_circuit_open"
    provider.answers = [whole("openai_chat.json")]

    def served() -> bool:
        told = call(running, "POST", "/v1/chat/completions", body=body, x_fusebox_approval=approval)
        return told.status == 200

    eventually(served, what="what they agreed to is not spent yet")


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_client_libraries_tell_a_held_model_call_as_an_error_and_go_on_with_its_approval(
    harness: Harness, running: Running, provider: Provider, stream: bool
) -> None:
    hold(running.runtime, ActionKind.MODEL_CALL, "gpt-5-mini")
    hold(running.runtime, ActionKind.MODEL_CALL, "claude")
    asks: Any = {"messages": [{"role": "user", "content": "hi"}], "stream": stream}
    chat = openai.OpenAI(base_url=f"{running.url}/v1", api_key=running.key)
    with pytest.raises(openai.PermissionDeniedError, match="orders take a person") as held:
        chat.chat.completions.create(model="gpt-5-mini", **asks)
    assert (held.value.code, held.value.body["status"]) == ("approval_pending", "pending")  # type: ignore[index]
    assert answer(harness, approve=True) == held.value.body["approval_id"]  # type: ignore[index]
    provider.answers = [streamed("openai_chat.sse") if stream else whole("openai_chat.json")]
    named = {"x-fusebox-approval": held.value.body["approval_id"]}  # type: ignore[index]
    assert list(chat.chat.completions.create(model="gpt-5-mini", extra_headers=named, **asks))
    claude = anthropic.Anthropic(base_url=running.url, api_key=running.key)
    with pytest.raises(anthropic.PermissionDeniedError, match="orders take a person") as asked_for:
        claude.messages.create(model="claude", max_tokens=9, **asks)
    assert asked_for.value.body["error"]["approval_id"].startswith("apr_")  # type: ignore[index]
    assert len(provider.seen) == 1
