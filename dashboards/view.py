"""What ``GET /v1/board`` says, as values the page can sort and draw.

A *standing* is what a person wants to know about an agent: the state of its circuit, the kill latch and an open
warning in one word. Worst first: killed, open, half_open, warning, closed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from dashboards.text import count, money
from fusebox.command import ALL, agent_scope
from fusebox.records import State
from fusebox.registry import Risk

Json = Mapping[str, Any]
NORMAL: Final = "normal"
OVERDUE_S: Final = 5.0
_NAMED: Final = 3
_STOPS: Final = frozenset({"kill", "trip"})


class Standing(StrEnum):
    """How an agent stands, worst first."""

    KILLED = "killed"
    OPEN = "open"
    HALF_OPEN = "half_open"
    WARNING = "warning"
    CLOSED = "closed"


ORDER: Final = {standing: rank for rank, standing in enumerate(Standing)}
_STANDINGS: Final = {
    State.FORCED_OPEN: Standing.KILLED,
    State.OPEN: Standing.OPEN,
    State.HALF_OPEN: Standing.HALF_OPEN,
}


@dataclass(frozen=True, slots=True)
class Latch:
    """A kill in force."""

    id: str
    scope: str
    reason: str
    operator: str
    time: float


@dataclass(frozen=True, slots=True)
class Tile:
    """One agent's circuit. Rates are per minute, ``cost`` is US dollars, of all but the ``unpriced`` tokens; of the
    budgets, None is none."""

    agent: str
    standing: Standing
    reason: str
    since: float
    mode: str
    registered: bool
    belongs: str
    actions: float
    tokens: float
    cost: float
    budget: float | None
    budget_usd: float | None
    held: int
    denied: int
    risky: bool = False
    """A resume takes a second operator."""
    course: tuple[float, ...] = ()
    """Its actions in each five seconds of the last minute, oldest first."""
    unpriced: float = 0.0
    killed_in: tuple[str, ...] = ()
    """Processes where a kill stops it that *watch* does not know."""

    @property
    def spent(self) -> str:
        """Its cost in words: at least so much where some of it has no price."""
        return f"{'≥ ' if self.unpriced else ''}{money(self.cost)}"

    @property
    def budgets(self) -> tuple[tuple[float, str], ...]:
        """Of each of its budgets: the share that it uses, and the budget in words."""
        budgets = []
        if self.budget:
            budgets.append((self.tokens / self.budget, f"{count(self.budget)} tokens a minute"))
        if self.budget_usd:
            budgets.append((self.cost / self.budget_usd, f"{money(self.budget_usd)} a minute"))
        return tuple(budgets)

    @property
    def stopped(self) -> bool:
        """True when a resume means something; a half-open circuit is being resumed already."""
        return self.standing in (Standing.KILLED, Standing.OPEN) or bool(self.killed_in)


@dataclass(frozen=True, slots=True)
class Trip:
    """A circuit opened. ``spans`` are ``trace_id:span_id`` of the evidence, oldest first."""

    id: str
    agent: str
    time: float
    reason: str
    actor: str
    before: str
    after: str
    detector: str
    repeated: str
    score: float
    threshold: float
    spans: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Process:
    """A process that holds a lease at *watch*."""

    process: str
    host: str
    pid: int
    agents: tuple[str, ...]
    seen: float


@dataclass(frozen=True, slots=True)
class Reported:
    """What holds in a process by orders that *watch* does not know: the scopes of kills, and how many ``more``
    the process had no room to name."""

    process: str
    scopes: tuple[str, ...]
    more: int


@dataclass(frozen=True, slots=True)
class Awaited:
    """A Command that went out ``age`` seconds ago, and the processes that have not confirmed it."""

    order: str
    scope: str
    age: float
    missing: tuple[str, ...]

    @property
    def overdue(self) -> bool:
        """True when it should have stopped somebody, and a process may still act."""
        return self.order in _STOPS and self.age >= OVERDUE_S


@dataclass(frozen=True, slots=True)
class Unreached:
    """An alert that reached nobody."""

    id: str
    type: str
    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class Board:
    """Everything *watch* says at one moment (``time``); ``watermark`` is how far it has read. It equals itself only."""

    time: float
    watermark: float
    tiles: tuple[Tile, ...]
    processes: tuple[Process, ...]
    latches: tuple[Latch, ...]
    trips: tuple[Trip, ...]
    alerts: Mapping[str, int]
    incomplete: tuple[str, ...] = ()
    """What is known to be missing from all this, in sentences."""
    stored: float = 0.0
    """What was received before this time is in the database; 0 = not known."""
    thresholds: Mapping[str, float] = field(default_factory=dict)
    """The score at which each detector opens a circuit."""
    counters: Mapping[str, int] = field(default_factory=dict)
    """What *watch* met since it started, by the name of the happening."""
    awaited: tuple[Awaited, ...] = ()
    """Commands without all their Receipts, newest first."""
    unreached: tuple[Unreached, ...] = ()
    """The newest alerts that reached nobody; ``alerts`` counts them all."""
    reported: tuple[Reported, ...] = ()

    def late(self, agent: str) -> list[str]:
        """Processes that should have stopped this agent by now, and have not said so. Of an order for all agents: those
        that run it, and those of which nobody knows any more what they run."""
        overdue = [each for each in self.awaited if each.overdue]
        own = {process for each in overdue if each.scope == agent_scope(agent) for process in each.missing}
        wide = {process for each in overdue if _is_for_all(each.scope) for process in each.missing}
        others = {each.process for each in self.processes if agent not in each.agents} if wide else set()
        return sorted(own | (wide - others))

    def tally(self) -> dict[Standing, int]:
        """How many agents there are of each standing."""
        counts = dict.fromkeys(Standing, 0)
        for tile in self.tiles:
            counts[tile.standing] += 1
        return counts


def some_of(names: Sequence[str]) -> str:
    """The first three, and how many more there are."""
    return ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if names[_NAMED:] else "")


def _is_for_all(scope: str) -> bool:
    return scope == ALL or scope.startswith("tenant:")


def read_board(data: Json) -> Board:
    """The answer of *watch* as a :class:`Board`, tiles worst first."""
    latches = tuple(_latch(item) for item in data["latches"])
    freshness = data.get("freshness") or {}  # a watch of an earlier release has none
    latched = {latch.scope: latch for latch in reversed(latches)}  # by scope: thousands of agents, thousands of kills
    tiles = (_tile(item, latched) for item in data["circuits"])
    return Board(
        time=float(data["time"]),
        watermark=float(data["watermark"] or 0),
        tiles=tuple(sorted(tiles, key=_rank)),
        processes=tuple(_process(item) for item in data["processes"]),
        latches=latches,
        trips=tuple(_trip(item) for item in data["trips"]),
        alerts={str(name): int(number) for name, number in data["alerts"].items()},
        incomplete=tuple(map(str, freshness.get("incomplete", ()))),
        stored=float(freshness.get("stored", 0)),
        thresholds={str(name): float(number) for name, number in data.get("thresholds", {}).items()},
        counters={str(name): int(number) for name, number in data.get("counters", {}).items()},
        awaited=tuple(_awaited(item) for item in data.get("receipts", ())),
        reported=tuple(_reported(item) for item in data.get("reported", ())),
        unreached=tuple(Unreached(each["id"], each["type"], each["reason"]) for each in data.get("unreached", ())),
    )


def matching(tiles: Iterable[Tile], words: str) -> list[Tile]:
    """The tiles whose agent, owner or team contains ``words``, whatever their case."""
    wanted = words.strip().casefold()
    return [tile for tile in tiles if wanted in f"{tile.agent} {tile.belongs}".casefold()]


def _rank(tile: Tile) -> tuple[int, str]:
    """Nothing that changes by the second: a tile must not move away under a hand that is about to press Kill."""
    return ORDER[tile.standing], tile.agent


def _tile(data: Json, latched: Mapping[str, Latch]) -> Tile:
    latch = latched.get(ALL) or latched.get(agent_scope(data["agent"]))
    standing = Standing.KILLED if latch else _standing(data)
    reason, since = _killed_by(latch) if latch else _why(data, standing)
    killed_in = tuple(map(str, data.get("killed_in", ())))
    if killed_in and not latch:
        standing, reason = _with_reported(killed_in, standing, reason)
    return Tile(
        agent=data["agent"],
        standing=standing,
        reason=reason,
        since=since,
        mode=data["mode"],
        registered=bool(data["registered"]),
        belongs=" · ".join(str(data[name]) for name in ("owner", "team") if data.get(name)),
        actions=float(data["actions_per_minute"]),
        tokens=float(data["tokens_per_minute"]),
        cost=float(data["cost_per_minute"]),
        budget=data.get("budget_tokens_per_minute"),
        budget_usd=data.get("budget_usd_per_minute"),
        held=int(data["held"] or 0),
        denied=int(data["denied"] or 0),
        risky=data.get("risk") == Risk.HIGH,
        course=tuple(float(number) for number in data.get("course", ())),
        unpriced=float(data.get("unpriced_per_minute", 0)),
        killed_in=killed_in,
    )


def _standing(data: Json) -> Standing:
    standing = _STANDINGS.get(State(data["state"]), Standing.CLOSED)
    return Standing.WARNING if standing is Standing.CLOSED and data.get("warning") else standing


def _why(data: Json, standing: Standing) -> tuple[str, float]:
    """The reason of where it stands, and since when: of a warning, the detector's; else that of the last move."""
    if standing is Standing.WARNING:
        return str(data["warning"]["reason"]), float(data["warning"]["time"])
    return str(data["reason"]), float(data["since"] or 0)


def _with_reported(killed_in: tuple[str, ...], standing: Standing, reason: str) -> tuple[Standing, str]:
    """A process that says so stops nobody, so the agent is not shown as killed: somebody has to look."""
    where = some_of(killed_in)
    said = f"killed in {where} by an order that watch does not know"
    return (Standing.WARNING, said) if standing is Standing.CLOSED else (standing, f"{said}; {reason}")


def _killed_by(latch: Latch) -> tuple[str, float]:
    whom = "every agent was killed" if latch.scope == ALL else "killed"
    return f"{whom} by {latch.operator}: {latch.reason}", latch.time


def _latch(data: Json) -> Latch:
    operator = str(data["operator"]).removeprefix("operator:")
    return Latch(data["id"], data["scope"], data["reason"], operator, float(data["time"]))


def _reported(data: Json) -> Reported:
    return Reported(data["process"], tuple(kill["scope"] for kill in data["kills"]), int(data["more"]))


def _awaited(data: Json) -> Awaited:
    return Awaited(data["order"], data["scope"], float(data["age"]), tuple(map(str, data["missing"])))


def _process(data: Json) -> Process:
    agents = tuple(str(agent) for agent in data["agents"])
    return Process(data["process"], data["host"], int(data["pid"]), agents, float(data["seen"]))


def _trip(data: Json) -> Trip:
    finding: Json = data.get("finding") or {}
    return Trip(
        id=data["id"],
        agent=data["agent"],
        time=float(data["time"]),
        reason=data["reason"],
        actor=data["actor"],
        before=data["before"],
        after=data["after"],
        detector=finding.get("detector", ""),
        repeated=finding.get("repeated", ""),
        score=float(finding.get("score", 0)),
        threshold=float(finding.get("threshold", 0)),
        spans=tuple(str(span) for span in finding.get("spans", ())),
    )
