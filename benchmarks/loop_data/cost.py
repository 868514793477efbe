"""What judging costs: processor time and memory, fingerprints given."""

from __future__ import annotations

import gc
import time
import tracemalloc
from collections.abc import Sequence
from dataclasses import replace
from itertools import cycle, islice
from typing import Final

from breakers.panel import Panel
from breakers.rules import load_rules
from fusebox.records import ActionKind, Event

_ROUNDS: Final = 3
_EACH: Final = 60


def per_second(events: Sequence[Event]) -> float:
    """Events a second of processor time, the best of three rounds. The events themselves are no garbage to look for."""
    best = float("inf")
    gc.collect()
    gc.freeze()
    for _ in range(_ROUNDS):
        panel = Panel(load_rules())
        started = time.process_time()
        for event in events:
            panel.observe(event)
        best = min(best, time.process_time() - started)
    gc.unfreeze()
    return len(events) / best


def p99_ms(events: Sequence[Event]) -> float:
    """99th percentile of one event's time."""
    panel, taken = Panel(load_rules()), []
    for event in events:
        started = time.perf_counter_ns()
        panel.observe(event)
        taken.append(time.perf_counter_ns() - started)
    return sorted(taken)[int(0.99 * len(taken))] / 1e6


def memory(events: Sequence[Event], agents: int, others: int) -> tuple[float, float]:
    """Bytes for each of the hottest agents, and for each of the others that spoke after them.

    The hot ones have had a fair share of ``events`` each, under their own names, so their memories are full.
    What the fleet's detectors keep is bounded as a whole: with fewer agents the share of each is larger.
    """
    own = list(islice(cycle(_named(events)), _EACH * 50))
    tracemalloc.start()
    panel = Panel(load_rules(), max_agents=agents)
    gc.collect()
    before = tracemalloc.get_traced_memory()[0]
    for number in range(agents):
        name, start = f"agent-{number}", number * 37 % len(own)
        for step, event in enumerate(islice(cycle(own), start, start + _EACH)):
            panel.observe(replace(event, agent=name, trace_id=f"{number:024x}{step // 8:08x}", span_id=f"{step:016x}"))
    gc.collect()
    hot = tracemalloc.get_traced_memory()[0]
    for number in range(others):
        panel.observe(Event(2e9 + number, f"other-{number}", ActionKind.TOOL_CALL, "op", "t", request=7, result=9))
    gc.collect()
    after = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return (hot - before) / agents, max(0.0, after - hot) / others


def _named(events: Sequence[Event]) -> list[Event]:
    """Events that opened nothing, so that no state is let go of."""
    panel = Panel(load_rules())
    kept = []
    for event in events:
        found = panel.observe(event)
        if found is None or found.action != "open":
            kept.append(event)
    return kept
