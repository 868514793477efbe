"""What the wrappers cost: publishing and consuming against raw pika and against its OpenTelemetry instrumentation.

1 KB persistent messages, mandatory and confirmed, into a durable quorum and a durable classic queue; interleaved rounds
on one private RabbitMQ; the median of the rounds' ratios, and of the two queues the worse. An Agent publishes with
guards, lineage, span, detectors and the hop to the broker's thread. Fingerprints are constants in ``confirmed_*`` and
reported apart (fingerprint_us without SimHash, simhash_us); ``whole_vs_raw`` has them in. Consuming is timed from the
first message handled to the last, prefetch 8, claims (idempotence_us) included, from quorum queues on both sides: an
Agent's work queue is never another.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from itertools import count as numbers
from itertools import cycle
from typing import Final

from benchmarks.bus import BODIES, Bench, laboratory
from benchmarks.report import Report
from fusebox import fingerprint
from fusebox.records import Action, ActionKind
from fusebox.simhash import simhash
from rabbitmq import Runtime
from rabbitmq.broker import QueueType

_CONSUMED: Final = 4
"""Consuming is quicker than publishing: so many times more messages a round."""


def seconds(work: Callable[[], None]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def micros(work: Callable[[], object], count: int = 2_000) -> float:
    """Median microseconds of one call, over five batches."""
    return statistics.median(seconds(lambda: [work() for _ in range(count)] and None) / count * 1e6 for _ in range(5))


def publish_rounds(bench: Bench, rounds: int) -> dict[str, list[float]]:
    """Seconds per round of each variant, interleaved; the first round warms up and is dropped."""
    variants = {"raw": bench.raw, "ours": bench.ours, "whole": bench.whole, "pipelined": bench.pipelined}
    taken: dict[str, list[float]] = {name: [] for name in (*variants, "instrumented")}
    for _ in range(rounds + 1):
        for name, work in variants.items():
            taken[name].append(seconds(work))
        if bench.peer:
            taken["instrumented"].append(bench.peer.order("publish", bench.count))
        bench.purge()
    return {name: values[1:] for name, values in taken.items() if values}


def consume_ratio(bench: Bench, rounds: int) -> float:
    """The median of the rounds' ratios to the instrumentation; the first round warms up."""
    assert bench.peer
    ratios = []
    for _ in range(rounds + 1):
        ours = bench.consume()
        bench.fill(bench.key)
        ratios.append(ours / bench.peer.order("consume", bench.count))
        bench.purge()
    return statistics.median(ratios[1:])


def ratio(taken: dict[str, list[float]], other: str, of: str = "ours") -> float:
    return statistics.median(a / b for a, b in zip(taken[of], taken[other], strict=True))


def measure_parts(report: Report, runtime: Runtime) -> None:
    """What single parts of an action cost, in microseconds."""
    action = Action(ActionKind.PUBLISH, "publisher-quorum", "bench.x", request=1)
    texts, fresh = cycle([body.decode() for body in BODIES]), numbers()

    def claim() -> None:
        message_id = f"m{next(fresh)}"
        runtime.claims.take("bench", message_id, repeated=False)
        runtime.claims.done("bench", message_id)

    report.add("guard_us", micros(lambda: runtime.guards.check(action)), ("<=", 25.0))
    report.add("fingerprint_us", micros(lambda: fingerprint.request_hash("x", "x", next(texts)), 500), ("<=", 40.0))
    both = micros(lambda: simhash(next(texts)), 500)  # normalises too, which an action pays once
    report.add("simhash_us", both - micros(lambda: fingerprint.normalise(next(texts)), 500))
    report.add("idempotence_us", micros(claim))


def measure(report: Report, url: str, runtime: Runtime, *, rounds: int, count: int) -> None:
    confirmed, whole, against, pipelined, consumed = [], [], [], [], []
    for kind in QueueType:
        bench = Bench(url, runtime, kind, count)
        taken = publish_rounds(bench, rounds)
        confirmed.append(ratio(taken, "raw"))
        whole.append(ratio(taken, "raw", of="whole"))
        pipelined.append(1 / ratio(taken, "raw", of="pipelined"))
        if bench.peer:
            against.append(ratio(taken, "instrumented"))
            if kind is QueueType.QUORUM:
                bench.count = count * _CONSUMED
                consumed.append(consume_ratio(bench, rounds))
            bench.peer.close()
    report.add("confirmed_vs_raw", max(confirmed), ("<=", 1.20))
    report.add("whole_vs_raw", max(whole))
    report.add("pipelined_vs_raw", min(pipelined), (">=", 5.0))
    if against:
        report.add("confirmed_vs_instrumentation", max(against), ("<=", 1.05))
        report.add("consume_vs_instrumentation", max(consumed), ("<=", 1.15))
    else:
        report.skipped.append("opentelemetry-instrumentation-pika")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="5 rounds of 100 messages instead of 31 of 150")
    quick = parser.parse_args().quick
    report = Report("publish")
    with laboratory() as (url, runtime):
        measure_parts(report, runtime)
        measure(report, url, runtime, rounds=5 if quick else 31, count=100 if quick else 150)
    report.show()


if __name__ == "__main__":
    main()
