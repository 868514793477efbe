"""One of many processes that want the probe: ``python -m tests.faults.racer REDIS_URL NAME PROBES LEASE_S``.

For each round that is announced (list ``start:<name>``) it asks once, and says in the list ``said:<round>`` whether it
was admitted. An admitted one holds its permit, and renews it as an agent's ticker does, until ``end:<round>`` stands.
"""

from __future__ import annotations

import sys

import redis

from breakers.board import Board
from breakers.circuit import Circuits, CircuitSettings
from fusebox.clock import SystemClock
from fusebox.errors import AgentTripped
from fusebox.store import RedisStore

AGENT = "raced"
RENEW_S = 0.2


def race(url: str, name: str, probes: int, lease_s: float) -> None:
    client = redis.Redis.from_url(url, decode_responses=True)
    clock = SystemClock()
    circuits = Circuits(
        Board(RedisStore(url), clock), clock, CircuitSettings(probes=probes, probe_lease_s=lease_s, open_s=0.001)
    )
    while True:
        round_ = str(client.blpop([f"start:{name}"])[1])  # type: ignore[index]
        circuits.refresh()
        try:
            with circuits.calling(AGENT):
                client.rpush(f"said:{round_}", f"admitted {name}")
                while client.blpop([f"end:{round_}"], timeout=RENEW_S) is None:  # type: ignore[arg-type]
                    circuits.refresh()
        except AgentTripped:
            client.rpush(f"said:{round_}", f"denied {name}")


if __name__ == "__main__":
    race(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4]))
