"""Plain pika with its OpenTelemetry instrumentation, on orders from standard input; runs in the peer's environment.

``publish N`` and ``consume N`` answer with the seconds they took. Spans go through a batch processor to an exporter
that drops them, so that only the agent's side is measured.
"""

import sys
import time

import pika
from opentelemetry import trace
from opentelemetry.instrumentation.pika import PikaInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult


class Nowhere(SpanExporter):
    def export(self, spans):
        return SpanExportResult.SUCCESS


def publish(channel, exchange, key, body, count):
    properties = pika.BasicProperties(delivery_mode=2)
    for _ in range(count):
        channel.basic_publish(exchange, key, body, properties, mandatory=True)


def consume(channel, queue, count):
    left = [count]

    def take(channel, method, properties, body):
        channel.basic_ack(method.delivery_tag)
        left[0] -= 1
        if not left[0]:
            channel.stop_consuming()

    channel.basic_qos(prefetch_count=8)
    channel.basic_consume(queue, take)
    PikaInstrumentor.instrument_channel(channel)
    channel.start_consuming()


def main(url, exchange, key, queue, body):
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(Nowhere()))
    trace.set_tracer_provider(provider)
    connection = pika.BlockingConnection(pika.URLParameters(url))
    publishing, consuming = connection.channel(), connection.channel()
    publishing.confirm_delivery()
    PikaInstrumentor.instrument_channel(publishing)
    for line in sys.stdin:
        order, count = line.split()
        started = time.perf_counter()
        if order == "publish":
            publish(publishing, exchange, key, body, int(count))
        else:
            consume(consuming, queue, int(count))
        print(time.perf_counter() - started, flush=True)


main(*sys.argv[1:5], sys.argv[5].encode())
