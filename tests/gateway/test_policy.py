"""Policy in the gateway: models and internal systems, by either engine."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from aiohttp import web

from fusebox import names
from governance.policy.bundle import read_bundle
from governance.policy.source import SHIPPED, folder_of
from tests.fixtures.agents import eventually
from tests.fixtures.gateway import GatewayFactory, Provider, Running, factory, failing, whole
from tests.gateway.test_ledger import CHAT, ask, attributes
from tests.gateway.test_tools import call
from tests.governance.policy.opa_server import OpaServer, opa_server

AGENTS = """
[agents.ticket-helper]
owner = "jo"

[[agents.ticket-helper.grants]]
action = "model_call"
resource = "gpt-*"

[[agents.ticket-helper.grants]]
action = "tool_call"
resource = "tickets"
when = { target = "GET *" }

[[agents.ticket-helper.grants]]
action = "tool_call"
resource = "tickets"
when = { target = "POST *" }
at_most = { "arguments.body.amount" = 100 }

[[agents.ticket-helper.grants]]
action = "tool_call"
resource = "tickets"
when = { target = "PUT *" }
hold = true

[[agents.ticket-helper.grants]]
action = "tool_call"
resource = "tickets"
when = { target = "* /refunds" }

[[agents.ticket-helper.denies]]
action = "tool_call"
resource = "tickets"
when = { target = "* /refunds" }
above = { "arguments.body.amount" = 100 }
"""


@pytest.fixture(scope="module")
def server() -> Iterator[OpaServer]:
    with opa_server() as running:
        running.serve(read_bundle(folder_of(SHIPPED)))
        yield running


@pytest.fixture(scope="module", params=["rego", "opa"])
def running(
    request: pytest.FixtureRequest, server: OpaServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Running, Provider]]:
    folder = tmp_path_factory.mktemp("policy")
    (folder / "agents.toml").write_text(AGENTS)
    provider = Provider()
    try:
        with factory(folder, provider) as make:
            yield make(policy=SHIPPED if request.param == "rego" else server.url), provider
    finally:
        provider.stop()


async def done(request: web.Request) -> web.StreamResponse:
    return web.json_response({"id": 7})


def code(body: bytes) -> str:
    return str(json.loads(body)["error"]["code"])


def test_a_granted_model_answers_and_another_does_not(running: tuple[Running, Provider]) -> None:
    gateway, provider = running
    provider.answers = [whole("openai_chat.json")]
    assert ask(gateway, "/v1/chat/completions", CHAT)[0] == 200
    status, body, _ = ask(gateway, "/v1/chat/completions", {**CHAT, "model": "claude"})
    assert (status, code(body)) == (403, "denied_by_policy")
    assert "no grant allows it (model_call claude)" in json.loads(body)["error"]["message"]


@pytest.mark.parametrize(
    ("method", "body", "status"),
    [
        ("GET", None, 200),
        ("POST", {"amount": 100}, 200),
        ("POST", {"amount": 101}, 403),
        ("POST", {"amount": "1"}, 403),
        ("POST", None, 403),
        ("PUT", {}, 503),
        ("PATCH", {}, 403),
    ],
)
def test_a_system_is_reached_as_far_as_it_is_granted(
    running: tuple[Running, Provider], method: str, body: object, status: int
) -> None:
    gateway, provider = running
    provider.answers = [done]
    before = len(provider.seen)
    response = call(gateway, method, "/tools/tickets/orders", body=body)
    assert response.status == status
    assert len(provider.seen) - before == (status == 200)
    if status != 200:
        assert code(response.read()) == {403: "denied_by_policy", 503: "approval_unavailable"}[status]


@pytest.mark.parametrize("path", ["//refunds", "/;/refunds", "/%2Frefunds", "/refunds;v=1", "/;v=1/refunds"])
def test_a_path_that_servers_read_in_two_ways_cannot_get_around_a_deny(
    running: tuple[Running, Provider], path: str
) -> None:
    gateway, provider = running
    before = len(provider.seen)
    response = call(gateway, "GET", f"/tools/tickets{path}")
    assert (response.status, code(response.read())) == (400, "invalid_request")
    assert len(provider.seen) == before


@pytest.mark.parametrize(
    ("method", "body", "status"),
    [("GET", None, 200), ("POST", {"amount": 5}, 200), ("POST", {"amount": 500}, 403), ("POST", [{"amount": 500}], 403),
     ("POST", "amount=500", 403)],
)  # fmt: skip
def test_a_body_that_has_no_names_cannot_hide_an_amount(
    running: tuple[Running, Provider], method: str, body: object, status: int
) -> None:
    gateway, provider = running
    provider.answers = [done]
    assert call(gateway, method, "/tools/tickets/refunds", body=body).status == status


def test_a_policy_server_that_does_not_answer_denies(running: tuple[Running, Provider], server: OpaServer) -> None:
    gateway, _ = running
    if gateway.runtime.policy is None or not gateway.runtime.policy.remote:
        pytest.skip("only a server can be away")
    server.failing = 503
    try:
        response = call(gateway, "GET", "/tools/tickets/fresh")
        assert (response.status, response.headers["retry-after"]) == (403, "5")
        assert "does not answer: HTTP status 503" in json.loads(response.read())["error"]["message"]
    finally:
        server.failing = 0


RISKS = """
[agents.ticket-helper]
owner = "jo"
risk = "high"
grants = [{ action = "model_call", resource = "*" }]

[agents.label-bot]
owner = "jo"
risk = "low"
grants = [{ action = "model_call", resource = "*" }]
"""


def test_a_slow_policy_server_holds_up_nobody_who_need_not_ask_it(
    server: OpaServer, tmp_path: Path, gateways: GatewayFactory, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("governance.policy.opa.TIMEOUT_S", 30)
    (tmp_path / "agents.toml").write_text(RISKS)
    gateway = gateways(policy=server.url)
    _, other = gateway.keys.add("label-bot", team="", models=("*",), tools=("*",))
    provider.answers = [whole("openai_chat.json")]
    assert ask(gateway, "/v1/chat/completions", CHAT, key=other)[0] == 200
    before = len(server.asked)
    server.ready.clear()
    try:
        with ThreadPoolExecutor(80) as pool:
            slow = [pool.submit(ask, gateway, "/v1/chat/completions", {**CHAT, "seed": n}) for n in range(80)]
            eventually(lambda: len(server.asked) > before, what="the server is asked and does not answer")
            assert ask(gateway, "/v1/chat/completions", CHAT, key=other)[0] == 200
            assert not any(each.done() for each in slow)
            server.ready.set()
    finally:
        server.ready.set()


@pytest.mark.parametrize(("granted", "status"), [('["steady"]', 500), ('["steady", "claude"]', 200)])
def test_a_fallback_that_the_policy_does_not_allow_is_left_out(
    tmp_path: Path, gateways: GatewayFactory, provider: Provider, granted: str, status: int
) -> None:
    (tmp_path / "agents.toml").write_text(
        '[agents.ticket-helper]\nowner = "jo"\ngrants = ['
        + ", ".join(f'{{ action = "model_call", resource = "{name}" }}' for name in json.loads(granted)) + "]\n"
    )  # fmt: skip
    gateway = gateways(policy=SHIPPED)
    provider.answers = [failing(500), failing(500), whole("anthropic_messages.json")]
    assert ask(gateway, "/v1/chat/completions", {**CHAT, "model": "steady"})[0] == status
    asked = ["/v1/chat/completions"] * 2 + (["/v1/messages"] if status == 200 else [])
    assert [seen.path for seen in provider.seen] == asked
    followed = [attributes(span).get(names.SUPERSEDED, False) for span in gateway.span(len(asked))]
    assert followed == [True] * (len(asked) - 1) + [False]
    if status == 500:
        provider.answers = [failing(500)]
        for _ in range(2):  # its circuit opens meanwhile, so that it is not even asked
            ask(gateway, "/v1/chat/completions", {**CHAT, "model": "steady"})
        assert "/v1/messages" not in [seen.path for seen in provider.seen]
