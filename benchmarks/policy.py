"""What policy adds to an action: the shipped policy, embedded, over the registry of a fleet.

A hundred agents of five roles and twenty grants each, eight of them for the kind of action that is asked about, two
with conditions. Cached: the same few actions again, audit included; uncached: each action is new, and the interpreter
is asked; ``uncached_cpu_p99_ms`` is that in the processor's time, which other programs do not lengthen. ``load_ms`` is
what a new policy takes until it rules: tried by a process of its own, then compiled here.
"""

from __future__ import annotations

import argparse
import gc
import time
from pathlib import Path
from typing import Any, Final

from rich.progress import track

from benchmarks.report import Report
from fusebox.clock import SystemClock
from fusebox.config import Config
from fusebox.records import Action, ActionKind
from fusebox.registry import Registry
from governance.audit import AuditClient
from governance.policy.guard import PolicyGuard
from governance.policy.source import SHIPPED, open_policy

AGENTS: Final = 100
CACHED: Final = 100_000
UNCACHED: Final = 10_000
WARM: Final = 200


def grants(name: str, count: int) -> list[dict[str, Any]]:
    plain = [{"action": "tool_call", "resource": f"{name}.{number}.*"} for number in range(count - 1)]
    return [*plain, {"action": "tool_call", "resource": f"{name}.last.*", "when": {"target": "GET *"}}]


def registry() -> Registry:
    """A fleet."""
    roles = {f"role{number}": {"grants": grants(f"role{number}", 4)} for number in range(5)}
    kinds = [{"action": kind, "resource": f"r{n}.*"} for kind in ("publish", "consume", "model_call") for n in range(4)]
    agents = {
        f"agent-{number}": {
            "owner": "jo",
            "risk": "low",
            "roles": [f"role{number % 5}"],
            "grants": [*grants("own", 4), *kinds],
        }
        for number in range(AGENTS)
    }
    return Registry.model_validate({"agents": agents, "roles": roles})


def action(number: int, target: str) -> Action:
    agent = number % AGENTS
    return Action(ActionKind.TOOL_CALL, f"agent-{agent}", f"role{agent % 5}.last.{number}", target)


def timed(guard: PolicyGuard, actions: list[Action], what: str) -> tuple[list[float], list[float]]:
    """Milliseconds of each verdict, sorted: on the clock, and of the processor's time."""
    taken, used = [], []
    for asked in track(actions, what, transient=True):
        started, began = time.perf_counter_ns(), time.thread_time_ns()
        verdict = guard.check(asked)
        taken.append((time.perf_counter_ns() - started) / 1e6)
        used.append((time.thread_time_ns() - began) / 1e6)
        assert verdict.allowed, verdict
    return sorted(taken), sorted(used)


def p(values: list[float], share: float) -> float:
    return values[min(len(values) - 1, int(len(values) * share))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the actions")
    fewer = 10 if parser.parse_args().quick else 1
    clock = SystemClock()
    audit = AuditClient(lambda _kind, _body: None, clock, process="bench")
    audit.start()
    started = time.perf_counter()
    policy = open_policy(Config(policy=SHIPPED, agents_file=Path("/nowhere")), registry(), clock)
    loaded = (time.perf_counter() - started) * 1e3
    assert policy is not None
    guard = PolicyGuard(policy, audit.ruled)
    few = [action(number, "GET /stock") for number in range(AGENTS)]
    timed(guard, [action(-1 - number, "GET /warm") for number in range(WARM)], "warming up")
    gc.collect()
    timed(guard, few, "filling the cache")
    cached, _ = timed(guard, few * (CACHED // fewer // AGENTS), "cached")
    uncached, worked = timed(
        guard, [action(number, f"GET /{number}") for number in range(UNCACHED // fewer)], "uncached"
    )
    audit.stop(5)
    report = Report("policy")
    report.add("cached_p50_ms", p(cached, 0.5))
    report.add("cached_p99_ms", p(cached, 0.99), ("<=", 1.0))
    report.add("uncached_p50_ms", p(uncached, 0.5))
    report.add("uncached_p99_ms", p(uncached, 0.99), ("<=", 5.0))
    report.add("uncached_cpu_p99_ms", p(worked, 0.99))
    report.add("load_ms", loaded)
    report.show()


if __name__ == "__main__":
    main()
