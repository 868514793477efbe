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
from tests.fixtures.gateway import Provider, Running, whole
from tests.gateway.test_ledger import attributes

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
