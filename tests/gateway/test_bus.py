"""An agent on the bus that reaches its models through the gateway."""

from collections.abc import Iterator
from pathlib import Path

import anthropic
import openai
import pytest
from opentelemetry.sdk.trace import ReadableSpan

from fusebox import names
from fusebox.config import Config
from fusebox.errors import AgentKilled, AgentTripped
from rabbitmq import Agent, Runtime
from rabbitmq.inprocess import InProcessBroker
from tests.fixtures.agents import eventually
from tests.fixtures.gateway import Provider, Running, StartGateway, whole
from tests.fixtures.store import RedisServer
from tests.gateway.test_ledger import CHAT, ask, attributes

ASK = [{"role": "user", "content": "Is my ticket solved?"}]


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    """In an installation of its own: it learns of nothing but what the gateway says."""
    config = Config(data_dir=tmp_path / "agent", agents_file=tmp_path / "none.toml")
    runtime = Runtime.from_config(config, broker=InProcessBroker(), name="ticket-helper")
    yield Agent("ticket-helper", runtime)
    runtime.stop(0.1)


class Ended(list[ReadableSpan]):
    """A span processor that keeps what ends."""

    def on_end(self, span: ReadableSpan) -> None:
        self.append(span)


def test_its_own_span_and_the_gateways_are_one_trace_and_one_row(
    agent: Agent, running: Running, provider: Provider
) -> None:
    provider.answers = [whole("openai_chat.json")]
    own = Ended()
    agent.runtime.telemetry.add_span_processor(own)  # type: ignore[arg-type]
    client = openai.OpenAI(base_url=f"{running.url}/v1", api_key=running.key, max_retries=0)
    ctx = agent.context()
    with ctx.model_call("gpt-5-mini", provider="openai", messages=ASK) as call:
        headers = call.through_gateway()
        call.record(client.chat.completions.create(model="gpt-5-mini", messages=ASK, extra_headers=headers))  # type: ignore[arg-type]
    (above,), (below,) = own, running.span()
    assert above.context is not None
    assert below.parent is not None
    assert below.parent.span_id == above.context.span_id
    assert attributes(above)[names.DELEGATED] is True
    assert names.DELEGATED not in attributes(below)
    assert attributes(below)[names.WORKFLOW] == ctx.workflow.id


def test_the_gateways_refusal_is_a_guards_refusal(agent: Agent, running: Running, provider: Provider) -> None:
    running.runtime.circuits.trip("ticket-helper", reason="a loop", actor="operator:jo", open_s=60)
    client = openai.OpenAI(base_url=f"{running.url}/v1", api_key=running.key, max_retries=0)
    with (
        pytest.raises(AgentTripped, match="a loop") as tripped,
        agent.context().model_call("gpt-5-mini", provider="openai", messages=ASK),
    ):
        client.chat.completions.create(model="gpt-5-mini", messages=ASK)  # type: ignore[arg-type]
    assert not isinstance(tripped.value, AgentKilled)
    running.runtime.latch.kill("k1", "agent:ticket-helper", reason="by hand")
    claude = anthropic.Anthropic(base_url=running.url, api_key=running.key, max_retries=0)
    with (
        pytest.raises(AgentKilled, match="by hand"),
        agent.context().model_call("claude", provider="anthropic", messages=ASK),
    ):
        claude.messages.create(model="claude", max_tokens=9, messages=ASK)  # type: ignore[arg-type]
    assert provider.seen == []


def test_a_probe_on_the_bus_is_served_at_once_by_a_gateway_that_has_not_heard_of_it(
    gateways: StartGateway, provider: Provider, redis_server: RedisServer, tmp_path: Path
) -> None:
    provider.answers = [whole("openai_chat.json")]
    gateway = gateways(redis_url=redis_server.url)
    config = Config(data_dir=tmp_path / "agent", agents_file=tmp_path / "none.toml", redis_url=redis_server.url)
    agent = Runtime.from_config(config, broker=InProcessBroker(), name="ticket-helper")
    agent.circuits.trip("ticket-helper", reason="a loop", actor="detector:repetition", open_s=0.3)
    for circuits in (agent.circuits, gateway.runtime.circuits):
        eventually(lambda known=circuits: known.due("ticket-helper"), what="the end of the open time")
    with agent.circuits.calling("ticket-helper"):
        assert ask(gateway, "/v1/chat/completions", CHAT)[0] == 200
    assert str(agent.circuits.circuit("ticket-helper").state) == "closed"
    agent.stop(0.1)
