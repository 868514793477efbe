"""Scores: where something opened, held against labels, with 95 % Wilson intervals."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from math import sqrt
from typing import Final

from benchmarks.loop_data.baselines import Baseline
from benchmarks.loop_data.made import Kind, Maker
from benchmarks.loop_data.public import Public, incidents
from breakers.rules import Rules
from collector.backtest.common import Happened, happened
from collector.backtest.replay import Replay
from fusebox.registry import AgentEntry, Registry

Opens = dict[tuple[str, str], Happened]
"""By run and agent: the event that opened it."""

_Z: Final = 1.959964
KINDS: Final = ("strict", "recurrent", "fuzzy", "error_storm")


@dataclass(frozen=True)
class Share:
    """``hits`` of ``all``, and what may be said of the whole that these are drawn from (E. B. Wilson, 1927)."""

    hits: int
    all: int

    @property
    def value(self) -> float:
        """The share itself; 0 of nothing."""
        return self.hits / self.all if self.all else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval."""
        n, p = self.all or 1, self.value
        middle, wide = p + _Z**2 / (2 * n), _Z * sqrt(p * (1 - p) / n + _Z**2 / (4 * n**2))
        return max(0.0, (middle - wide) / (1 + _Z**2 / n)), min(1.0, (middle + wide) / (1 + _Z**2 / n))

    def text(self, scale: float = 1.0) -> str:
        """For a table: value, interval and counts."""
        low, high = self.interval
        return f"{scale * self.value:.4g} [{scale * low:.4g}, {scale * high:.4g}] ({self.hits}/{self.all})"


@dataclass
class RealScore:
    """Real runs."""

    recall: dict[str, Share] = field(default_factory=dict)
    precision: Share = Share(0, 0)
    false: Share = Share(0, 0)
    """Normal successful runs that were opened."""
    in_successes: Share = Share(0, 0)
    delays: list[int] = field(default_factory=list)
    """Events from onset to open."""


@dataclass
class StreamScore:
    """Fleet streams."""

    recall: dict[str, Share] = field(default_factory=dict)
    bursts: dict[str, Share] = field(default_factory=dict)
    false: Share = Share(0, 0)
    delays: list[int] = field(default_factory=list)
    """Messages from an incident's start to its open."""


def ours(events: Iterable[Happened], rules: Rules, registry: Registry) -> Opens:
    """What our detectors open, by the very replay of ``fusebox backtest``."""
    replay, opened = Replay(rules, registry), {}
    for one in events:
        trip = replay.observe(one)
        if trip and trip.action == "open":
            opened[one.run, one.event.agent] = one
    return opened


def baseline(events: Iterable[Happened], make: Callable[[], Baseline]) -> Opens:
    """What a baseline stops."""
    watching: dict[tuple[str, str], Baseline] = {}
    opened: Opens = {}
    for one in events:
        key = (one.run, one.event.agent)
        if key not in opened and watching.setdefault(key, make()).stops(one.event):
            opened[key] = one
    return opened


def score_real(data: Public, opened: Opens) -> RealScore:
    """Ambiguous runs are left out of all but the opens in successes."""
    first: dict[str, int] = {}
    for one in opened.values():
        session, seq = str(one.session), int(one.seq or 0)
        first[session] = min(seq, first.get(session, seq))
    score, groups = RealScore(), defaultdict(list)
    for name, label in data.labels.items():
        groups[label["label"], label.get("loop_kind", ""), label["success"]].append(name)
        if label["label"] == "loop" and name in first:
            score.delays.append(first[name] - label["onset"])

    def share(wanted: Callable[[str, str, bool], bool]) -> Share:
        names = [name for key, found in groups.items() if wanted(*key) for name in found]
        return Share(sum(name in first for name in names), len(names))

    loops, normal = share(lambda label, _, __: label == "loop"), share(lambda label, _, __: label == "normal")
    score.recall = {"all": loops} | {
        k: share(lambda label, kind, _, k=k: label == "loop" and kind == k)  # type: ignore[misc]
        for k in KINDS
    }
    score.precision = Share(loops.hits, loops.hits + normal.hits)
    score.false = share(lambda label, _, success: label == "normal" and success)
    score.in_successes = share(lambda _, __, success: success)
    return score


def score_streams(data: Public, opened: Opens) -> StreamScore:
    """An incident is found when any of its agents is opened at one of its events."""
    at = {(one.stream, one.seq) for one in opened.values()}
    found, bursts, score = defaultdict(list), defaultdict(list), StreamScore()
    for (label, kind, _), events in incidents(data).items():
        hit = next((n for n, one in enumerate(events, 1) if (one.stream, one.seq) in at), 0)
        (found if label == "loop" else bursts)[kind].append(hit)
    score.delays = [hit for hits in found.values() for hit in hits if hit]
    score.recall, score.bursts = _shares(found), _shares(bursts)
    normal = {
        (one.run, one.event.agent)
        for one in data.streams
        if data.marks[str(one.stream), int(one.seq or 0)][0] == "normal"
    }
    false = sum(data.marks[str(one.stream), int(one.seq or 0)][0] == "normal" for one in opened.values())
    score.false = Share(false, len(normal))
    return score


def _shares(hits: dict[str, list[int]]) -> dict[str, Share]:
    return {kind: Share(sum(map(bool, found)), len(found)) for kind, found in sorted(hits.items())}


def total(shares: Iterable[Share]) -> Share:
    """All of them as one."""
    shares = list(shares)
    return Share(sum(s.hits for s in shares), sum(s.all for s in shares))


def declared(data: Public) -> Registry:
    """What owners would write: the operations of every burst are periodic."""
    operations = defaultdict(set)
    for (label, _, __), events in incidents(data).items():
        if label == "benign_burst":
            for one in events:
                operations[one.event.agent].add(one.event.operation)
    return Registry(
        agents={agent: AgentEntry(owner="owner", periodic=frozenset(found)) for agent, found in operations.items()}
    )


def score_made(kinds: Iterable[Kind], cases: int, stop: Callable[[list[Happened]], Opens]) -> dict[str, list[int]]:
    """Of each kind and case: after how many messages it was opened, 0 for never."""
    return {kind.name: [_messages(kind, case, stop) for case in range(cases)] for kind in kinds}


def _messages(kind: Kind, case: int, stop: Callable[[list[Happened]], Opens]) -> int:
    events = [happened(row) for row in kind.make(Maker(f"{kind.name}/{case}"))]
    opened = {one.seq for one in stop(events).values()}
    return next((number for number, one in enumerate(events, 1) if one.seq in opened), 0)


def quantile(values: list[int], share: float) -> float:
    """The value below which ``share`` of them lie; infinite for none."""
    ordered = sorted(values)
    return float(ordered[min(len(ordered) - 1, int(share * len(ordered)))]) if ordered else float("inf")
