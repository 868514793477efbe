"""Memory of an agent process over a million messages, each published by an Agent and handled by another.

Everything is on: guards, lineage, spans (delivered to nowhere), fingerprints, detectors, claims, pipelined confirms.
The process has its working set after a fifth of them (claims remember the latest 100,000); what it grows by from there
to the end is the figure.
"""

from __future__ import annotations

import argparse
import os
import threading
import time
from itertools import cycle, islice
from pathlib import Path
from typing import Final

from rich.progress import Progress

from benchmarks.bus import BODIES, laboratory
from benchmarks.report import Report
from rabbitmq import Agent, Context, Runtime

_BATCH: Final = 1_000
_AHEAD: Final = 5_000
"""Messages published and not handled yet, at most: the broker must not become the store of the difference."""


def resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


class Traffic:
    """One agent that publishes and one that handles."""

    def __init__(self, runtime: Runtime) -> None:
        self.handled, self._lock = 0, threading.Lock()
        self._sender, self._taker = Agent("sender", runtime), Agent("taker", runtime, concurrency=8)
        self._taker.on("memory.x")(self._handle)
        self._taker.start()
        self._sender.start()

    def _handle(self, body: bytes, ctx: Context) -> None:
        with self._lock:
            self.handled += 1

    def send(self, count: int) -> None:
        self._sender.context().publish_many(("memory.x", body) for body in islice(cycle(BODIES), count))

    def await_handled(self, count: int) -> None:
        deadline = time.monotonic() + 120
        while self.handled < count:
            if time.monotonic() > deadline:
                raise SystemExit(f"only {self.handled} of {count} messages were handled")
            time.sleep(0.01)

    def stop(self) -> None:
        self._taker.stop()
        self._sender.stop()


def grow(runtime: Runtime, total: int) -> tuple[float, float]:
    """Megabytes resident after a fifth of ``total`` messages, and after all."""
    traffic, marks = Traffic(runtime), []
    with Progress() as progress:
        task = progress.add_task("messages", total=total)
        for sent in range(_BATCH, total + 1, _BATCH):
            traffic.send(_BATCH)
            traffic.await_handled(sent - _AHEAD)
            progress.update(task, completed=sent)
            if sent in (total // 5, total):
                traffic.await_handled(sent)
                marks.append(resident_mb())
    traffic.stop()
    return marks[0], marks[-1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="50,000 messages instead of 1,000,000")
    total = 50_000 if parser.parse_args().quick else 1_000_000
    report = Report("memory")
    with laboratory() as (_, runtime):
        started = time.monotonic()
        before, after = grow(runtime, total)
        report.add("messages_per_s", total / (time.monotonic() - started))
    report.add("messages", total)
    report.add("resident_mb", after)
    report.add("growth_mb", after - before, ("<=", 20.0))
    report.show()


if __name__ == "__main__":
    main()
