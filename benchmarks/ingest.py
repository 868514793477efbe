"""Ingest: spans a second until they can be seen, on one core, beside what a Python user runs today.

Each of Fusebox (all roles under ``fusebox up``, live detection on), Phoenix and MLflow runs pinned to core 0; the load
comes from core 1. Rounds are interleaved: in each, every program is sent the same bodies (``benchmarks.corpus``: 512
spans a body, HTTP, Protobuf) over four connections, from the first byte sent until as many spans can be seen in its
database; for Fusebox, until all of them were judged by the detectors, too. A first body warms up and is not timed.
The peers set the length of a round: Phoenix needs minutes for what takes Fusebox a second, which is not Fusebox's best
second either, so spans_per_s comes from a longer flood of its own, and rss_mb is the peak during it: of all processes
of ``fusebox up``, the one that answers SQL included, a page that several share counted once.

ack_p99_ms is from when a small request (20 spans) was due until its 200, at 2,000 spans a second, each answer after
fdatasync. vs_python_loop is *keep* alone, see ``benchmarks.keep_alone``. bytes_vs_phoenix is disk a span, ours (every
table) after merges, over Phoenix's, both holding the same spans of the rounds. The corpus's entropy is printed.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.backends import CORE, PEERS, Backend, Fusebox, Mlflow, Phoenix, await_that
from benchmarks.corpus import SPANS, Corpus, entropy
from benchmarks.load import flood, paced
from benchmarks.report import Report

_PACE: Final = 2_000
_SMALL: Final = 20
_PATIENCE_S: Final = 900.0
_SHOWN_S: Final = 10.0


@dataclass(frozen=True)
class Size:
    """How much is done; ``rounds`` of ``bodies`` for all, ``flood`` bodies for Fusebox alone."""

    rounds: int
    bodies: int
    flood: int
    paced_s: int
    keep_rounds: int


QUICK: Final = Size(rounds=1, bodies=4, flood=64, paced_s=5, keep_rounds=1)
FULL: Final = Size(rounds=2, bodies=20, flood=256, paced_s=15, keep_rounds=5)


@contextmanager
def running(backends: list[Backend]) -> Iterator[None]:
    """Started, warmed up, and in the end stopped."""
    try:
        for backend in backends:
            backend.start()
        yield
    finally:
        for backend in backends:
            backend.stop()


def seconds_until_seen(backend: Backend, bodies: list[bytes]) -> float:
    """From the first byte sent until all spans can be seen."""
    backend.sent += len(bodies) * SPANS
    started = time.perf_counter()
    flood(backend.url, backend.headers, bodies)
    await_that(backend.done, _PATIENCE_S, f"{backend.name}: not all spans came to be seen")
    return time.perf_counter() - started


def check(backend: Backend) -> None:
    """It shows what it was sent, neither less nor more; our SQL port looks for new parts twice a second."""
    await_that(lambda: backend.spans() >= backend.sent, _SHOWN_S, f"{backend.name} shows too few spans")
    if backend.spans() != backend.sent:
        raise SystemExit(f"{backend.name} shows {backend.spans()} spans, not {backend.sent}")


def compare(report: Report, backends: list[Backend], corpus: Corpus, size: Size) -> None:
    """Interleaved rounds; the median of the rounds' ratios."""
    taken: dict[str, list[float]] = {backend.name: [] for backend in backends}
    for backend, body in zip(backends, [corpus.body()] * len(backends), strict=True):
        seconds_until_seen(backend, [body])
    for _ in range(size.rounds):
        bodies = corpus.bodies(size.bodies)
        for backend in backends:
            taken[backend.name].append(seconds_until_seen(backend, bodies))
            check(backend)
            print(f"{backend.name}: {size.bodies * SPANS / taken[backend.name][-1]:.0f} spans/s")
    for name, target in (("phoenix", 100.0), ("mlflow", 10.0)):
        if name in taken:
            ratios = [theirs / ours for theirs, ours in zip(taken[name], taken["fusebox"], strict=True)]
            report.add(f"vs_{name}", statistics.median(ratios), (">=", target))
        else:
            report.skipped.append(name)


def at_full_speed(report: Report, fusebox: Fusebox, corpus: Corpus, size: Size) -> None:
    bodies, over = corpus.bodies(size.flood), threading.Event()
    watcher = threading.Thread(target=fusebox.watch_memory, args=(over,))
    watcher.start()
    before = fusebox.processor_seconds()
    taken = seconds_until_seen(fusebox, bodies)
    used = {role: seconds - before[role] for role, seconds in fusebox.processor_seconds().items()}
    over.set()
    watcher.join()
    print(f"{taken:.1f} s; " + ", ".join(f"{r} {s / size.flood / SPANS * 1e6:.1f} µs a span" for r, s in used.items()))
    report.add("spans_per_s", size.flood * SPANS / taken)
    report.add("rss_mb", fusebox.peak_mb, ("<=", 800.0))
    check(fusebox)


def at_a_steady_pace(report: Report, fusebox: Fusebox, corpus: Corpus, size: Size) -> None:
    bodies = corpus.bodies(size.paced_s * _PACE // _SMALL, _SMALL)
    taken = sorted(paced(fusebox.url, fusebox.headers, bodies, _PACE / _SMALL))
    print(f"ack: p50 {1e3 * taken[len(taken) // 2]:.1f} ms, worst {1e3 * taken[-1]:.1f} ms")
    report.add("ack_p99_ms", 1e3 * taken[int(len(taken) * 0.99)], ("<=", 20.0))


def keep_alone(report: Report, size: Size) -> None:
    """In a process of its own, on the measured core."""
    command = [sys.executable, "-m", "benchmarks.keep_alone", str(size.keep_rounds), "64"]
    done = subprocess.run(["taskset", "-c", str(CORE), *command], check=True, stdout=subprocess.PIPE, timeout=900)
    taken = json.loads(done.stdout)
    for route, seconds in taken.items():
        print(f"keep, {route} route: {64 * SPANS / statistics.median(seconds):.0f} spans/s")
    ratios = [python / engine for python, engine in zip(taken["python"], taken["engine"], strict=True)]
    report.add("vs_python_loop", statistics.median(ratios), (">=", 2.5))


def peers() -> list[type[Backend]]:
    """Those that are installed."""
    return [peer for peer in (Phoenix, Mlflow) if (PEERS / peer.name / "bin" / "python").exists()]


def side_by_side(report: Report, folder: Path, size: Size) -> None:
    corpus = Corpus(1, time.time())
    backends = [backend(folder) for backend in (Fusebox, *peers())]
    with running(backends):
        compare(report, backends, corpus, size)
    disk = {backend.name: backend.disk_bytes() for backend in backends}
    spans = (size.rounds * size.bodies + 1) * SPANS
    print("disk: " + ", ".join(f"{name} {found / spans:.0f} bytes a span" for name, found in disk.items()))
    if "phoenix" in disk:
        report.add("bytes_vs_phoenix", disk["fusebox"] / disk["phoenix"], ("<=", 1 / 15))


def alone(report: Report, folder: Path, size: Size) -> None:
    corpus, fusebox = Corpus(3, time.time()), Fusebox(folder)
    with running([fusebox]):
        seconds_until_seen(fusebox, corpus.bodies(2))
        at_full_speed(report, fusebox, corpus, size)
        at_a_steady_pace(report, fusebox, corpus, size)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one short round; takes a minute or two with peers")
    parser.add_argument("--without-peers", action="store_true", help="Fusebox alone")
    args = parser.parse_args()
    size = QUICK if args.quick else FULL
    if (os.cpu_count() or 1) < 2:
        raise SystemExit("two cores are needed: one for what is measured, one for the load")
    os.sched_setaffinity(0, set(range(os.cpu_count() or 1)) - {CORE})
    report = Report("ingest")
    facts = entropy(Corpus(1, time.time()).bodies(16))
    print("corpus: " + ", ".join(f"{name} {value:.2f}" for name, value in facts.items()))
    keep_alone(report, size)
    with tempfile.TemporaryDirectory(prefix="fusebox-bench-") as folder:
        alone(report, Path(folder), size)
    if not args.without_peers:
        with tempfile.TemporaryDirectory(prefix="fusebox-bench-") as folder:
            side_by_side(report, Path(folder), size)
    report.show()


if __name__ == "__main__":
    main()
