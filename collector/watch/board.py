"""The board as people see it: a tile per agent, processes, latches, trips, alerts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from typing import Any, Final

from breakers.circuit import Circuits
from breakers.latch import Latch
from collector.watch.history import History
from collector.watch.leases import Lease, Leases
from collector.watch.reported import Reported, Unknown
from collector.watch.roll import Roll
from fusebox import happenings
from fusebox.clock import Clock
from fusebox.command import agent_scope
from fusebox.records import State
from fusebox.registry import Registry

Json = dict[str, Any]
MAX_TILES: Final = 1_000
_AGENT: Final = agent_scope("")


class BoardView:
    """Reads what everyone else keeps.

    Args:
        watermark: time of the newest event judged.
        alerts: counts of alerts by what became of them.
        unreached: the newest alerts that reached nobody.
        freshness: how far the database is, and what is missing.
        receipts: Commands that processes have not confirmed.
        thresholds: the score at which each detector opens a circuit.
    """

    def __init__(
        self, circuits: Circuits, latch: Latch, registry: Registry, roll: Roll, leases: Leases, history: History,
        reported: Reported, clock: Clock, *, watermark: Callable[[], float], alerts: Callable[[], dict[str, int]],
        unreached: Callable[[], list[Json]], freshness: Callable[[], Json], receipts: Callable[[], list[Json]],
        thresholds: Mapping[str, float],
    ) -> None:  # fmt: skip
        self._circuits, self._latch, self._registry, self._roll = circuits, latch, registry, roll
        self._leases, self._history, self._reported, self._clock = leases, history, reported, clock
        self._watermark, self._alerts, self._unreached, self._freshness = watermark, alerts, unreached, freshness
        self._receipts, self._thresholds = receipts, dict(thresholds)

    def json(self) -> Json:
        """The answer of ``GET /v1/board``."""
        leases = self._leases.live()
        held, holding = _held(leases), self._reported.holding()
        return {
            "time": self._clock.now(),
            "watermark": self._watermark(),
            "freshness": self._freshness(),
            "circuits": [self._tile(agent, held, holding) for agent in self._agents(held, holding)],
            "processes": [_process(lease) for lease in leases],
            "latches": self._latches(),
            "reported": [_unknown(each) for each in self._reported.unknown()],
            "receipts": self._receipts(),
            "trips": self._history.trips(),
            "alerts": self._alerts(),
            "unreached": self._unreached(),
            "thresholds": self._thresholds,
            "counters": happenings.counts(),
        }

    def _agents(self, held: dict[str, int], holding: Iterable[str]) -> list[str]:
        """Agents in trouble, then registered ones, then those at work, then the rest; the first thousand of them."""
        circuits = {circuit.agent: circuit.shown for circuit in self._circuits.all()}
        scopes = [kill.scope for kill in self._latch.kills().values()]
        killed = {scope.removeprefix(_AGENT) for scope in scopes if scope.startswith(_AGENT)}
        trouble = {agent for agent, shown in circuits.items() if shown is not State.CLOSED} | killed | set(holding)
        ranked = dict.fromkeys(
            (*sorted(trouble), *sorted(self._registry.agents), *sorted(held), *self._roll.agents()[::-1], *circuits)
        )
        return sorted(list(ranked)[:MAX_TILES])

    def _tile(self, agent: str, held: dict[str, int], holding: dict[str, list[str]]) -> Json:
        circuit, kill = self._circuits.circuit(agent), self._latch.killed(agent)
        entry, figures = self._registry.agents.get(agent), self._roll.minute(agent)
        return {
            "agent": agent,
            "state": State.FORCED_OPEN.value if kill else circuit.state.value,
            "reason": kill.reason if kill else circuit.reason,
            "since": kill.time if kill else circuit.since,
            "mode": circuit.mode,
            "circuit": circuit.shown.value,
            "registered": entry is not None,
            "owner": entry.owner if entry else "",
            "team": entry.team if entry else "",
            "risk": entry.risk.value if entry else "",
            "actions_per_minute": figures.actions,
            "tokens_per_minute": figures.tokens,
            "cost_per_minute": figures.cost,
            "unpriced_per_minute": figures.unpriced,
            "budget_tokens_per_minute": entry.tokens_per_minute if entry else None,
            "budget_usd_per_minute": entry.usd_per_minute if entry else None,
            "held": held.get(agent, 0),
            "killed_in": holding.get(agent, []),
            "denied": figures.denied,
            "course": self._roll.course(agent),
            "finding": circuit.finding,
            "warning": self._warning(agent, circuit.since),
        }

    def _warning(self, agent: str, since: float | None) -> Json | None:
        """What a detector warned of lately, unless the circuit has moved since."""
        finding = self._roll.warning(agent)
        if finding is None or finding.time <= (since or 0.0):
            return None
        return {"detector": finding.detector, "reason": finding.reason, "time": finding.time}

    def _latches(self) -> list[Json]:
        return [{"id": id, **asdict(kill)} for id, kill in self._latch.kills().items()]


def _held(leases: list[Lease]) -> dict[str, int]:
    """Held messages by agent. Processes of one agent look at the same queue: the largest word counts, not the sum."""
    held: dict[str, int] = {}
    for lease in leases:
        for agent, count in lease.agents.items():
            held[agent] = max(held.get(agent, 0), count)
    return held


def _unknown(each: Unknown) -> Json:
    """Kills that hold in a process, by orders that *watch* does not know."""
    kills = [{"id": kill.id, "scope": kill.scope} for kill in each.kills]
    return {"process": each.lease.process, "kills": kills, "more": each.more}


def _process(lease: Lease) -> Json:
    return {
        "process": lease.process, "host": lease.host, "pid": lease.pid, "agents": sorted(lease.agents),
        "seen": lease.seen,
    }  # fmt: skip
