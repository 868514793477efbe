"""What the whole mesh adds to one turn of an agent: ``python -m benchmarks.mesh [--quick]``.

A turn: a message comes, a model is asked, an answer is published. *With*: an Agent on RabbitMQ, policy on every action,
the workflow's context read and written (Redis), the model behind the gateway (quota, masking, filter), every span
exported. *Without*: a consumer on bare pika that asks the same model directly and publishes with a confirm; nothing is
checked, remembered, counted or traced. Turns alternate, one at a time, in one run; the model answers at once, so that
nothing hides behind its thinking. A turn is timed from the publish of the question to the arrival of the answer, by the
same client on both sides.

``p50_ms`` and ``p99_ms``: of the turns with, less the median turn without.
"""

from __future__ import annotations

import argparse
import http.client
import json
import queue
import statistics
import threading
import time
from contextlib import ExitStack
from typing import Final
from urllib.parse import urlsplit

import pika

from benchmarks.report import Report
from examples.demo_settings import Options
from examples.demo_stage import until
from examples.scenes.models import SMALL_MODEL
from examples.scenes.stage import Endpoint, Mesh, mesh
from fusebox.names import EXCHANGE_EVENTS
from fusebox.records import new_id
from rabbitmq import Agent, Context
from rabbitmq.amqp import AmqpBroker
from rabbitmq.broker import Binding, Delivery, Message, Queue, Topology
from rabbitmq.node import PrivateNode

CLERK: Final = "clerk"
_ANSWERS, _BARE = "bench.answers", "bench.bare"
_WARM: Final = 20
_WAIT_S: Final = 20.0


class Client:
    """Publishes questions and waits for answers, the same for both."""

    def __init__(self, url: str) -> None:
        self._broker = AmqpBroker(url, client_name="benchmark")
        self._arrived: queue.Queue[tuple[str, float]] = queue.Queue()

    def start(self) -> None:
        self._broker.start()
        queues = (Queue(_ANSWERS), Queue(_BARE))
        bound = (
            Binding(EXCHANGE_EVENTS, _ANSWERS, f"{CLERK}.answered"),
            Binding(EXCHANGE_EVENTS, _ANSWERS, "bare.answered"),
            Binding(EXCHANGE_EVENTS, _BARE, "bare.asked"),
        )
        self._broker.declare(Topology(queues=queues, bindings=bound))
        self._broker.consume(_ANSWERS, self._take, prefetch=8)

    def stop(self, timeout: float = 10.0) -> None:
        self._broker.stop(timeout)

    def turn(self, key: str, text: str) -> float:
        """Milliseconds of one turn."""
        id = new_id("wf")
        began = time.perf_counter()
        self._broker.publish(EXCHANGE_EVENTS, key, Message(json.dumps(text).encode(), message_id=id, correlation_id=id))
        while True:
            answered, at = self._arrived.get(timeout=_WAIT_S)
            if answered == id:
                return (at - began) * 1000

    def _take(self, delivery: Delivery) -> None:
        self._arrived.put((delivery.message.correlation_id, time.perf_counter()))
        delivery.ack()


def clerk(stage: Mesh) -> Agent:
    """The agent whose turns are measured."""
    agent, through = Agent(CLERK, stage.runtime), stage.through(CLERK)

    @agent.on(f"{CLERK}.asked")
    def answer(question: str, ctx: Context) -> None:
        ctx.workflow.history()
        with ctx.model_call(SMALL_MODEL, provider="openai", messages=question) as call:
            call.through_gateway()
            said = call.record(through.chat(SMALL_MODEL, question, ctx.workflow.id).body)
        ctx.workflow.remember(said["choices"][0]["message"]["content"], type="answer")
        ctx.publish(f"{CLERK}.answered", question)

    return agent


def bare(url: str, models: str, over: threading.Event) -> None:
    """The same turn with nothing around it."""
    connection = pika.BlockingConnection(pika.URLParameters(url))
    channel = connection.channel()
    channel.confirm_delivery()
    host = urlsplit(models)
    for method, properties, body in channel.consume(_BARE, inactivity_timeout=0.2):
        if over.is_set():
            break
        if method is None:
            continue
        asked = http.client.HTTPConnection(str(host.hostname), host.port)
        prompt = {"model": SMALL_MODEL, "messages": [{"role": "user", "content": json.loads(body)}]}
        asked.request("POST", "/v1/chat/completions", json.dumps(prompt), {"content-type": "application/json"})
        json.loads(asked.getresponse().read())
        asked.close()
        kept = pika.BasicProperties(delivery_mode=2, correlation_id=properties.correlation_id)
        channel.basic_publish(EXCHANGE_EVENTS, "bare.answered", body, kept, mandatory=True)
        channel.basic_ack(method.delivery_tag)
    connection.close()


def measure(stage: Mesh, url: str, turns: int) -> tuple[list[float], list[float]]:
    """Milliseconds of turns with and without, taken in turn."""
    client, agent, over = Client(url), clerk(stage), threading.Event()
    with ExitStack() as running:
        for service in (client, agent):
            running.callback(service.stop)
            service.start()
        order = stage.manager.client.mode(CLERK, "observe_only", "a benchmark is no loop")
        until(lambda: stage.manager.client.receipts(order["command"])["complete"], "the mode is confirmed")
        thread = threading.Thread(target=bare, args=(url, stage.models_url, over), daemon=True)
        thread.start()
        running.callback(over.set)
        with_, without = [], []
        for number in range(turns + _WARM):
            with_.append(client.turn(f"{CLERK}.asked", f"Question {number} about part {chr(65 + number % 26)}"))
            without.append(client.turn("bare.asked", f"Question {number} about part {chr(65 + number % 26)}"))
    return with_[_WARM:], without[_WARM:]


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="200 turns of each instead of 1,000")
    args = parser.parse_args()
    report = Report("mesh")
    if not PrivateNode.available():
        report.skipped.append("rabbitmq-server")
    else:
        with mesh(Options(dashboard=False), None, True, Endpoint(), lambda _: None) as stage:
            assert stage.node is not None
            with_, without = measure(stage, stage.node.url, 200 if args.quick else 1000)
        base = statistics.median(without)
        cuts = statistics.quantiles([each - base for each in with_], n=100)
        report.add("p50_ms", cuts[49], ("<=", 10))
        report.add("p99_ms", cuts[98], ("<=", 50))
        report.add("without_p50_ms", base)
        report.add("without_p99_ms", statistics.quantiles(without, n=100)[98])
    report.show()


if __name__ == "__main__":
    main()
