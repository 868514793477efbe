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
    """Seconds until all are confirmed."""
    properties = pika.BasicProperties(delivery_mode=2)
    started = time.perf_counter()
    for _ in range(count):
        channel.basic_publish(exchange, key, body, properties, mandatory=True)
    return time.perf_counter() - started


def consume(channel, queue, prefetch, count):
    """Seconds from the first message to the last."""
    laps = []

    def take(channel, method, properties, body):
        laps.append(time.perf_counter())
        channel.basic_ack(method.delivery_tag)
        if len(laps) == count:
            channel.stop_consuming()

    channel.basic_qos(prefetch_count=prefetch)
    channel.basic_consume(queue, take)
    PikaInstrumentor.instrument_channel(channel)
    channel.start_consuming()
    return laps[-1] - laps[0]


def main(url, exchange, key, queue, prefetch, body):
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(Nowhere()))
    trace.set_tracer_provider(provider)
    connection = pika.BlockingConnection(pika.URLParameters(url))
    publishing, consuming = connection.channel(), connection.channel()
    publishing.confirm_delivery()
    PikaInstrumentor.instrument_channel(publishing)
    for line in sys.stdin:
        order, count = line.split()
        if order == "publish":
            taken = publish(publishing, exchange, key, body, int(count))
        else:
            taken = consume(consuming, queue, int(prefetch), int(count))
        print(taken, flush=True)


main(*sys.argv[1:6], sys.argv[6].encode())
