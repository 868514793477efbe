"""A hundred thousand agent ids: what *receive* remembers does not grow with who speaks to it."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator
from typing import Final

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from collector.spool import Reader
from fusebox import names
from tests.collector.otlp_samples import request, span
from tests.faults.test_receive_bombs import memory
from tests.fixtures.collector import StartRoles
from tests.fixtures.receiving import Receiving

AGENTS: Final = 100_000
_AT_ONCE: Final = 1000
MOST: Final = 32 << 20


def test_a_hundred_thousand_agents_cost_no_memory_no_series_and_no_log(roles: StartRoles) -> None:
    running = roles("receive")
    info = running.info("receive")
    sender = Receiving(running.config, info["url"], info["grpc"], Reader(running.config.data_dir / "spool", "keep"))
    anybody, bound = running.token(), sender.token("billing", ("invoice-bot",))
    bodies = _bodies()
    for _ in range(10):
        assert sender.post("traces", next(bodies), anybody)[0] == 200
    before, lines, logged = memory(info["pid"])["VmRSS"], _metrics(info["url"]), len(running.log("receive"))
    for body in bodies:
        assert sender.post("traces", body, anybody)[0] == 200
        assert sender.post("traces", body, bound)[0] == 200
    assert memory(info["pid"])["VmRSS"] - before <= MOST
    assert _metrics(info["url"]) == lines, "no series is named after an agent"
    assert len(running.log("receive")) - logged < AGENTS, "a line for a request, not for a span"
    assert _agents(sender) == (AGENTS, {"billing"})


def _bodies() -> Iterator[bytes]:
    for first in range(0, AGENTS, _AT_ONCE):
        spans = (span({names.GEN_AI_AGENT_ID: f"agent-{n}"}) for n in range(first, first + _AT_ONCE))
        yield request(*spans).SerializeToString()


def _metrics(url: str) -> int:
    with urllib.request.urlopen(f"{url}/metrics", timeout=20) as answer:
        return len(answer.read().splitlines())


def _agents(sender: Receiving) -> tuple[int, set[str]]:
    """How many agents spoke for themselves, and to whom the others were attributed."""
    own, attributed = set(), set()
    for payload in sender.records():
        for resource in ExportTraceServiceRequest.FromString(payload).resource_spans:
            for each in resource.scope_spans[0].spans:
                said = {pair.key: pair.value.string_value for pair in each.attributes}
                (attributed if names.CLAIMED_AGENT in said else own).add(said[names.GEN_AI_AGENT_ID])
    return len(own), attributed
