"""Traces that begin or go on elsewhere: in plain pika on the same RabbitMQ, and in an application's own provider."""

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pika
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from fusebox import names
from fusebox.config import Config
from rabbitmq import Agent, Context, Runtime
from rabbitmq.amqp import AmqpBroker
from tests.fixtures.agents import Inbox, RuntimeFactory, eventually
from tests.need import missing, need

Keep = Callable[[Agent], Agent]


class Spans:
    """What one provider, or Fusebox, has finished."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self.processor = SimpleSpanProcessor(self._exporter)

    def named(self, start: str) -> ReadableSpan:
        eventually(lambda: self._find(start), what=f"a span {start!r}")
        return self._find(start)[0]

    def _find(self, start: str) -> list[ReadableSpan]:
        return [span for span in self._exporter.get_finished_spans() if span.name.startswith(start)]


@pytest.fixture
def application() -> Iterator[tuple[trace.Tracer, Spans]]:
    """An application's own tracer, and what it finished."""
    provider, spans = TracerProvider(shutdown_on_exit=False), Spans()
    provider.add_span_processor(spans.processor)
    yield provider.get_tracer("application"), spans
    provider.shutdown()


@pytest.fixture
def ours(runtimes: RuntimeFactory) -> tuple[Runtime, Spans]:
    runtime, spans = runtimes(), Spans()
    runtime.telemetry.add_span_processor(spans.processor)
    return runtime, spans


@pytest.fixture
def name() -> str:
    return f"helper-{uuid4().hex[:8]}"


def place(span: ReadableSpan) -> tuple[int, int]:
    context = span.get_span_context()
    assert context is not None
    return context.trace_id, context.span_id


def parent(span: ReadableSpan) -> tuple[int, int]:
    assert span.parent is not None
    return span.parent.trace_id, span.parent.span_id


def test_an_applications_spans_and_ours_make_one_trace(
    ours: tuple[Runtime, Spans], application: tuple[trace.Tracer, Spans], name: str, stopping: Keep
) -> None:
    (runtime, own), (tracer, theirs) = ours, application
    agent = stopping(Agent(name, runtime))

    @agent.on(f"{name}.work")
    def handle(n: int, ctx: Context) -> None:
        with tracer.start_as_current_span("their work"):
            ctx.tool("inner", lambda: n)

    agent.start()
    with tracer.start_as_current_span("their request"):
        agent.publish(f"{name}.work", 1)
    request, work = theirs.named("their request"), theirs.named("their work")
    published, consumed, inner = own.named("publish"), own.named("consume"), own.named("execute_tool inner")
    assert parent(published) == place(request)
    assert parent(consumed) == place(published)
    assert parent(work) == place(consumed)
    assert parent(inner) == place(work)


@pytest.fixture
def channel(rabbitmq_url: str) -> Iterator[Any]:
    connection = pika.BlockingConnection(pika.URLParameters(rabbitmq_url))
    yield connection.channel()
    connection.close()


@pytest.fixture
def on_rabbitmq(amqp: AmqpBroker, tmp_path: Any) -> Iterator[tuple[Runtime, Spans]]:
    config = Config(data_dir=tmp_path / "data", agents_file=tmp_path / "agents.toml")
    runtime, spans = Runtime.from_config(config, broker=amqp, name="test"), Spans()
    runtime.telemetry.add_span_processor(spans.processor)
    yield runtime, spans
    runtime.stop(5)


def test_plain_pika_continues_our_trace(
    on_rabbitmq: tuple[Runtime, Spans], channel: Any, name: str, stopping: Keep
) -> None:
    runtime, own = on_rabbitmq
    agent = stopping(Agent(name, runtime))
    agent.start()
    queue = channel.queue_declare("", exclusive=True).method.queue
    channel.queue_bind(queue, names.EXCHANGE_EVENTS, f"{name}.told")
    agent.publish(f"{name}.told", 1)
    method, properties, body = channel.basic_get(queue, auto_ack=True)
    assert (method.routing_key, body, properties.content_type) == (f"{name}.told", b"1", "application/json")
    context = TraceContextTextMapPropagator().extract(properties.headers)
    created = trace.get_current_span(context).get_span_context()
    assert (created.trace_id, created.span_id) == place(own.named("publish"))


def test_we_continue_the_trace_of_plain_pika(
    on_rabbitmq: tuple[Runtime, Spans], application: tuple[trace.Tracer, Spans], channel: Any, name: str, stopping: Keep
) -> None:
    (runtime, own), (tracer, theirs) = on_rabbitmq, application
    agent = stopping(Agent(name, runtime))
    inbox = Inbox()

    @agent.on(f"{name}.work")
    def handle(n: int, ctx: Context) -> None:
        inbox.put(n)

    agent.start()
    headers: dict[str, str] = {}
    with tracer.start_as_current_span("foreign publish"):
        TraceContextTextMapPropagator().inject(headers)
    channel.basic_publish(names.EXCHANGE_EVENTS, f"{name}.work", b"7", pika.BasicProperties(headers=headers))
    assert inbox.wait(1) == [7]
    consumed = own.named("consume")
    assert parent(consumed) == place(theirs.named("foreign publish"))
    assert [(link.context.trace_id, link.context.span_id) for link in consumed.links] == [parent(consumed)]


AMQPLIB = Path(__file__).resolve().parents[2] / ".venv" / "node" / "node_modules" / "amqplib"
NODE_CLIENT = """
const amqp = require(process.argv[1]);
(async () => {
  const connection = await amqp.connect(process.argv[2]);
  const channel = await connection.createConfirmChannel();
  const message = await channel.get(process.argv[3], { noAck: true });
  console.log(JSON.stringify({ headers: message.properties.headers, body: message.content.toString() }));
  const headers = { traceparent: message.properties.headers.traceparent };
  channel.publish("fusebox.events", process.argv[4], Buffer.from("8"), { headers, persistent: true });
  await channel.waitForConfirms();
  await connection.close();
})();
"""


def test_a_client_on_node_continues_our_trace_and_we_continue_its(
    on_rabbitmq: tuple[Runtime, Spans], channel: Any, rabbitmq_url: str, name: str, stopping: Keep
) -> None:
    """amqplib reads ``traceparent`` where any client finds it, and hands it on as a service without tracing does."""
    node = need("node", "apt-get install nodejs")
    if not AMQPLIB.exists():
        missing("amqplib is not installed; tools/node.sh")
    runtime, own = on_rabbitmq
    agent, inbox = stopping(Agent(name, runtime)), Inbox()

    @agent.on(f"{name}.answered")
    def handle(n: int, ctx: Context) -> None:
        inbox.put((n, ctx.trace_id))

    agent.start()
    queue = f"{name}-node"
    channel.queue_declare(queue, durable=True)
    channel.queue_bind(queue, names.EXCHANGE_EVENTS, f"{name}.asked")
    agent.publish(f"{name}.asked", 7)
    command = [node, "-e", NODE_CLIENT, "--", str(AMQPLIB), rabbitmq_url, queue, f"{name}.answered"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    trace_id, span_id = place(own.named("publish"))
    assert (seen["body"], seen["headers"]["traceparent"]) == ("7", f"00-{trace_id:032x}-{span_id:016x}-01")
    assert inbox.wait(1) == [(8, f"{trace_id:032x}")]
    channel.queue_delete(queue)
