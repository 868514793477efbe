"""Many publishes at once, on both brokers: each guarded and traced, all confirmed at the end, failures listed."""

from uuid import uuid4

import pytest
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from fusebox import names
from fusebox.errors import (
    AgentTripped,
    BadMessage,
    BatchError,
    BatchFailed,
    BatchUnconfirmed,
    BrokerUnavailable,
    Permanent,
    PublishNacked,
    Retryable,
    Unroutable,
)
from rabbitmq import Agent, Context, Runtime
from rabbitmq.batch import WINDOW
from rabbitmq.broker import Binding, Queue, QueueType, Topology
from tests.fixtures.agents import RuntimeFactory


@pytest.fixture
def runtime(runtimes: RuntimeFactory) -> Runtime:
    runtime = runtimes()
    runtime.start()
    return runtime


@pytest.fixture
def key() -> str:
    return f"many-{uuid4().hex[:8]}"


@pytest.fixture
def queue(runtime: Runtime, key: str) -> str:
    """A queue that takes every message published under ``key``."""
    return bind(runtime, Queue(key), key)


@pytest.fixture
def ctx(runtime: Runtime, key: str) -> Context:
    return Agent(f"agent-{key}", runtime).context()


def bind(runtime: Runtime, queue: Queue, key: str) -> str:
    runtime.broker.declare(Topology(queues=(queue,), bindings=(Binding(names.EXCHANGE_EVENTS, queue.name, key),)))
    return queue.name


def received(runtime: Runtime, queue: str) -> list[tuple[str, bytes]]:
    found = []
    while delivery := runtime.broker.get(queue):
        delivery.ack()
        found.append((delivery.message.message_id, delivery.message.body))
    return found


def overfill(ctx: Context, key: str) -> None:
    with ctx.batch() as batch:
        for n in range(20):
            batch.publish(key, n)


def test_all_arrive_in_order_under_the_returned_ids(runtime: Runtime, ctx: Context, key: str, queue: str) -> None:
    runtime.circuits.set_mode(f"agent-{key}", "observe_only", reason="a burst is wanted here", actor="test")
    ids = ctx.publish_many((key, n) for n in range(WINDOW + 100))
    assert received(runtime, queue) == [(each, str(n).encode()) for n, each in enumerate(ids)]


def test_the_end_of_the_block_waits_for_every_confirm(runtime: Runtime, ctx: Context, key: str, queue: str) -> None:
    with ctx.batch() as batch:
        given = [batch.publish(key, {"n": n}) for n in range(10)]
    assert batch.ids == given
    assert [each for each, _ in received(runtime, queue)] == given


def test_each_message_has_a_span_of_its_own_and_none_is_the_parent_of_another(
    runtime: Runtime, ctx: Context, key: str, queue: str
) -> None:
    spans = InMemorySpanExporter()
    runtime.telemetry.add_span_processor(SimpleSpanProcessor(spans))
    with runtime.telemetry.span("work", SpanKind.INTERNAL, {}) as work, pytest.raises(BatchFailed):
        ctx.publish_many([(key, 1), (key, 2), (f"{key}.nobody", 3)])
    sent = [span for span in spans.get_finished_spans() if span.name.startswith("publish ")]
    assert [span.parent and span.parent.span_id for span in sent] == [work.get_span_context().span_id] * 3
    assert [span.status.status_code for span in sent] == [StatusCode.UNSET, StatusCode.UNSET, StatusCode.ERROR]
    headers = [runtime.broker.get(queue) for _ in range(2)]
    carried = [str(each.message.headers["traceparent"]).split("-")[2] for each in headers if each]
    assert carried == [f"{span.context.span_id:016x}" for span in sent[:2]]


def test_the_error_lists_what_failed_and_the_rest_is_published(
    runtime: Runtime, ctx: Context, key: str, queue: str
) -> None:
    with pytest.raises(BatchFailed) as caught:
        ctx.publish_many([(key, 0), (f"{key}.nobody", 1), (key, 2)])
    (failure,) = caught.value.failures
    assert (failure.position, failure.key, type(failure.error)) == (1, f"{key}.nobody", Unroutable)
    assert f"1 of 3 messages were not published: #1 {key}.nobody ({failure.message_id})" in str(caught.value)
    assert isinstance(caught.value, Permanent)
    assert [body for _, body in received(runtime, queue)] == [b"0", b"2"]


def test_when_every_failure_may_be_tried_again_so_may_the_batch(runtime: Runtime, ctx: Context, key: str) -> None:
    runtime.circuits.set_mode(f"agent-{key}", "observe_only", reason="a burst is wanted here", actor="test")
    bind(runtime, Queue(key, QueueType.CLASSIC, max_length=1), key)
    with pytest.raises(BatchUnconfirmed) as caught:
        overfill(ctx, key)
    assert isinstance(caught.value, Retryable)
    assert {type(failure.error) for failure in caught.value.failures} == {PublishNacked}


def test_a_broker_that_is_not_there_is_an_error_of_the_batch(runtime: Runtime, ctx: Context, key: str) -> None:
    runtime.broker.stop()
    with pytest.raises(BatchUnconfirmed, match="2 of 2") as caught:
        ctx.publish_many([(key, 1), (key, 2)], timeout=1)
    assert {type(failure.error) for failure in caught.value.failures} == {BrokerUnavailable}


def test_a_tripped_agent_hands_over_nothing_further(runtime: Runtime, ctx: Context, key: str, queue: str) -> None:
    def items() -> object:
        yield key, 1
        runtime.circuits.trip(ctx.agent, reason="test", actor="operator:test")
        yield key, 2

    with pytest.raises(AgentTripped):
        ctx.publish_many(items())  # type: ignore[arg-type]
    assert [body for _, body in received(runtime, queue)] == [b"1"]


def test_an_error_inside_the_block_is_told_together_with_what_was_not_published(ctx: Context, key: str) -> None:
    def fail_half_way() -> None:
        with ctx.batch() as batch:
            batch.publish(f"{key}.nobody", 1)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError) as caught:
        fail_half_way()
    assert "1 of 1 messages were not published" in caught.value.__notes__[0]


def test_a_payload_without_json_form_ends_the_batch_and_what_came_before_is_published(
    runtime: Runtime, ctx: Context, key: str, queue: str
) -> None:
    with pytest.raises(BadMessage):
        ctx.publish_many([(key, 1), (key, object()), (key, 3)])
    assert [body for _, body in received(runtime, queue)] == [b"1"]


def test_both_errors_of_a_batch_can_be_caught_as_one() -> None:
    assert issubclass(BatchFailed, BatchError)
    assert issubclass(BatchUnconfirmed, BatchError)
