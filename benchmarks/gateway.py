"""What the gateway adds to a model call, beside LiteLLM's proxy and no gateway at all.

One core for the gateway, the other for the load and a provider that answers at once; every kind of measurement takes
turns between what it compares. Ours runs as ``fusebox up`` runs it, with limits in Redis, a quota in tokens, circuits,
detectors (that look on: the load is a loop) and spans that are exported. LiteLLM has one worker, no database and no
limits, which is less than ours does.

Recall and precision of masking are those of :mod:`benchmarks.masking_lab`, on texts it was not tuned on; ``overshoot``
is what :mod:`benchmarks.quota_lab` finds with 64 clients, three workers and one of them killed every few seconds.
"""

from __future__ import annotations

import argparse
import os
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich.progress import Progress

from benchmarks.gateway_doors import LITELLM, LOAD_CORE, MASKING, Ours, litellm, redis, upstream
from benchmarks.gateway_upstream import CHUNKS
from benchmarks.masking_lab import quality
from benchmarks.quota_lab import run
from benchmarks.report import Report

CONCURRENT: Final = 32
_WORDS: Final = (
    "harbour", "invoice", "customer", "shipment", "ticket", "container", "warehouse", "answer", "order", "delay",
    "supplier", "number", "address", "question", "contract", "winter", "engine", "paper",
)  # fmt: skip
PERSONAL: Final = "Write to jo.doe@acme-mail.com or call +49 30 901820, card 4111 1111 1111 1111. "


@dataclass(frozen=True)
class Door:
    """Where requests are sent."""

    name: str
    port: int
    key: str


class Client:
    """One connection that sends a request and reads its answer, with as little of its own as can be."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._sock = socket.create_connection(("127.0.0.1", door.port), 60)
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, body: bytes) -> tuple[int, bytes]:
        """Status and answer."""
        sent = (
            f"POST /v1/chat/completions HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {self._door.key}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        self._sock.sendall(sent.encode() + body)
        data = b""
        while True:
            more = self._sock.recv(65_536)
            if not more:
                raise ConnectionError(self._door.name)
            data += more
            head, found, rest = data.partition(b"\r\n\r\n")
            if found and _whole(head.lower(), rest):
                return int(data[9:12]), rest

    def close(self) -> None:
        self._sock.close()


def _whole(head: bytes, rest: bytes) -> bool:
    if b"transfer-encoding: chunked" in head:
        return rest.endswith(b"0\r\n\r\n")
    at = head.index(b"content-length:") + 15
    return len(rest) >= int(head[at : at + 12].split(b"\r\n")[0])


def body(dice: random.Random, *, size: int = 200, stream: bool = False, before: str = "", limit: int = 0) -> bytes:
    """A request with a prompt that nobody has sent before."""
    words = before
    while len(words) < size:
        words += f"{dice.choice(_WORDS)} "
    more = (',"stream":true' if stream else "") + (f',"max_tokens":{limit}' if limit else "")
    return b'{"model":"gpt-5-mini","messages":[{"role":"user","content":"%s"}]%s}' % (words.encode(), more.encode())


def latencies(
    doors: list[Door], make: Callable[[], bytes], rounds: int, each: int, progress: Progress
) -> dict[str, float]:
    """Median milliseconds of one request at a time, by door; they take turns."""
    clients = {door.name: Client(door) for door in doors}
    taken: dict[str, list[float]] = {door.name: [] for door in doors}
    task = progress.add_task("one at a time", total=rounds)
    for turn in range(rounds + 1):
        for name, client in clients.items():
            for _ in range(each):
                request = make()
                began = time.perf_counter()
                status, _answer = client.ask(request)
                spent = time.perf_counter() - began
                assert status == 200, (name, status, _answer[:300])
                if turn:  # the first is for warming up
                    taken[name].append(spent * 1000)
        progress.advance(task)
    for client in clients.values():
        client.close()
    return {name: statistics.median(values) for name, values in taken.items()}


def throughput(doors: list[Door], seconds: float, rounds: int, progress: Progress) -> dict[str, float]:
    """Requests a second with :data:`CONCURRENT` at once, by door; the median of the rounds."""
    task = progress.add_task(f"{CONCURRENT} at once", total=rounds * len(doors))
    counted: dict[str, list[float]] = {door.name: [] for door in doors}
    for _ in range(rounds):
        for door in doors:
            counted[door.name].append(_load(door, seconds))
            progress.advance(task)
    return {name: statistics.median(values) for name, values in counted.items()}


def _load(door: Door, seconds: float) -> float:
    """A process of its own: threads of this one would share its lock."""
    done = subprocess.run(
        ["taskset", "-c", LOAD_CORE, sys.executable, "-m", "benchmarks.gateway_load", str(door.port), door.key,
         str(seconds), str(CONCURRENT)], capture_output=True, text=True, check=True,
    )  # fmt: skip
    return float(done.stdout)


@contextmanager
def stage() -> Iterator[tuple[Path, int, str]]:
    """A folder, the provider and a Redis."""
    with tempfile.TemporaryDirectory(prefix="fusebox-bench-") as name:
        folder = Path(name)
        with upstream(folder) as port, redis(folder) as url:
            yield folder, port, url


def measure(report: Report, quick: bool, progress: Progress) -> None:
    """All figures."""
    os.sched_setaffinity(0, {int(LOAD_CORE)})
    rounds, each = (4, 60) if quick else (20, 100)
    dice = random.Random(7)
    with stage() as (folder, port, url), ExitStack() as stack:
        plain = Ours(folder / "plain", port, url)
        direct, ours = Door("direct", port, "none"), Door("ours", stack.enter_context(plain.running())[0], plain.key)
        doors = [direct, ours]
        if LITELLM.exists():
            doors.append(Door("litellm", *stack.enter_context(litellm(folder, port))))
        else:
            report.skipped.append("litellm")
        p50 = latencies(doors, lambda: body(dice), rounds, each, progress)
        report.add("added_p50_ms", p50["ours"] - p50["direct"], ("<=", 0.6))
        if "litellm" in p50:
            ratio = (p50["ours"] - p50["direct"]) / (p50["litellm"] - p50["direct"])
            report.add("latency_vs_litellm", ratio, ("<=", 1 / 30))
            report.add("litellm_added_p50_ms", p50["litellm"] - p50["direct"])
        rps = throughput(doors[1:], 3.0 if quick else 6.0, 1 if quick else 3, progress)
        report.add("rps", rps["ours"])
        if "litellm" in rps:
            report.add("rps_vs_litellm", rps["ours"] / rps["litellm"], (">=", 40))
        streamed = latencies([direct, ours], lambda: body(dice, stream=True), rounds, each // 2, progress)
        report.add("chunk_ms", (streamed["ours"] - streamed["direct"]) / CHUNKS, ("<=", 0.1))
        masking = Ours(folder / "masking", port, url, MASKING)
        masks = Door("masking", stack.enter_context(masking.running())[0], masking.key)
        long = latencies([ours, masks], lambda: body(dice, size=2048, before=PERSONAL), rounds, each // 2, progress)
        report.add("mask_2kb_ms", long["masking"] - long["ours"], ("<=", 5))
    found = quality(texts=100 if quick else 600)
    report.add("mask_recall", found.recall, (">=", 0.98))
    report.add("mask_precision", found.precision, (">=", 0.90))
    with stage() as (folder, _, url):
        os.sched_setaffinity(0, range(os.cpu_count() or 1))
        calls, every = (5_000, 1.0) if quick else (100_000, 4.0)
        outcome = run(url, folder, calls, clients=64, kill_every_s=every)
        report.add("overshoot", outcome.overshoot, ("<=", 0))


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer repetitions")
    arguments = parser.parse_args()
    report = Report("gateway")
    with Progress(transient=True) as progress:
        measure(report, arguments.quick, progress)
    report.show()


if __name__ == "__main__":
    main()
