"""Bodies made to exhaust memory: each is refused, and costs the process 32 MiB at most, alone and eight at a time."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest
from google.rpc.status_pb2 import Status

from collector.spool import Reader
from tests.collector.otlp_samples import request, span
from tests.faults.bombs import BOMBS, GIB, deflated, gzipped
from tests.faults.http2 import send_compressed
from tests.fixtures.collector import StartRoles
from tests.fixtures.receiving import JSON, METHODS, PROTOBUF, Receiving

MOST: Final = 32 << 20
GRPC_BOMBS: Final[dict[str, Callable[[], bytes]]] = {
    "gzip": lambda: gzipped(4 * GIB),
    "deflate": lambda: b"\x78\x9c" + deflated(4 * GIB),
}


@dataclass
class Peak:
    """By how many bytes the memory of a process rose at most."""

    bytes: int = 0
    bodies: list[str] = field(default_factory=list)


@contextmanager
def peak(pid: int) -> Iterator[Peak]:
    """Measures what happens in its block; the kernel's high-water mark is put back first (``proc(5)``, clear_refs)."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")
    before, found = memory(pid)["VmRSS"], Peak()
    yield found
    found.bytes = memory(pid)["VmHWM"] - before


def memory(pid: int) -> dict[str, int]:
    lines = (line.split() for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("Vm"))
    return {name.rstrip(":"): int(kib) * 1024 for name, kib, _ in lines}


def test_no_bomb_costs_more_than_32_mib(roles: StartRoles, capsys: pytest.CaptureFixture[str]) -> None:
    running = roles("receive")
    info, token = running.info("receive"), running.token()
    sender = Receiving(running.config, info["url"], info["grpc"], Reader(running.config.data_dir / "spool", "keep"))
    _warm(sender, token)
    worst: dict[str, int] = {}
    for name, (encoding, make) in BOMBS.items():
        body = make()
        for kind in (PROTOBUF, JSON):
            with peak(info["pid"]) as found:
                status, answer, _ = sender.post("traces", body, token, kind, {"content-encoding": encoding})
            assert status in (400, 413, 415), (name, kind, status, answer[:200])
            worst[f"{name}, {kind}"] = found.bytes
    for encoding, make in GRPC_BOMBS.items():
        body = make()
        with peak(info["pid"]) as found:
            answer = send_compressed(info["grpc"], METHODS["traces"], token, encoding, body)
        assert b"larger than max" in answer, answer
        worst[f"gRPC {encoding}"] = found.bytes
    with capsys.disabled():
        print(f"\nbombs: {len(worst)} refused, at most +{max(worst.values()) / (1 << 20):.0f} MiB each")
    assert {name: cost for name, cost in worst.items() if cost > MOST} == {}
    assert sender.post("traces", request(span()).SerializeToString(), token)[0] == 200
    assert len(sender.records()) == 41, "what was sent for warming up, and the last"


def test_eight_bombs_at_a_time_cost_no_more(roles: StartRoles) -> None:
    """They are inflated one after the other; what is waited with is as small as what was sent."""
    running = roles("receive")
    info, token = running.info("receive"), running.token()
    sender = Receiving(running.config, info["url"], info["grpc"], Reader(running.config.data_dir / "spool", "keep"))
    _warm(sender, token)
    bomb = gzipped(256 << 20)
    with peak(info["pid"]) as found, ThreadPoolExecutor(8) as senders:
        answers = list(senders.map(lambda _: sender.post("logs", bomb, token, headers=_GZIP)[:2], range(32)))
    assert {status for status, _ in answers} == {413}
    assert "inflates beyond" in Status.FromString(answers[0][1]).message
    assert found.bytes <= MOST


_GZIP: Final = {"content-encoding": "gzip"}


def _warm(sender: Receiving, token: str) -> None:
    """Buffers and threads that any request brings about are there before anything is measured."""
    for _ in range(20):
        body = request(span()).SerializeToString()
        assert sender.post("traces", body, token)[0] == 200
        assert sender.post("traces", gzip.compress(request(span()).SerializeToString()), token, headers=_GZIP)[0] == 200
