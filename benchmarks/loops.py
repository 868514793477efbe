"""Loops: what the detectors see, how soon, what they cut by mistake, and what they cost; beside what agents have today.

Three data sets. The public data (``FUSEBOX_LOOPS_DATA``, by default ``../shared/data/loops``) was looked at while rules
were tuned, and so were the kinds of ``loop_data/loops.py``, ``more.py`` and ``work.py``; the kinds of ``untouched.py``
were written when the rules were settled. Cost is measured on the fleet streams, fingerprints given.
"""

from __future__ import annotations

import argparse
import functools
from collections.abc import Callable, Mapping
from typing import Final

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks.loop_data import cost, later, loops, more, public, untouched, work
from benchmarks.loop_data.baselines import BASELINES
from benchmarks.loop_data.peer import PEER, assessed
from benchmarks.loop_data.public import Public
from benchmarks.loop_data.scoring import (
    KINDS,
    Opens,
    RealScore,
    Share,
    StreamScore,
    baseline,
    declared,
    ours,
    quantile,
    score_made,
    score_real,
    score_streams,
    total,
)  # fmt: skip
from benchmarks.report import Report
from breakers.rules import load_rules
from collector.backtest.common import Happened
from fusebox.registry import Registry

Stop = Callable[[list[Happened]], Opens]

_TUNED: Final = [*loops.LOOPS, *more.LOOPS, *later.LOOPS, *work.WORK, *more.WORK, *later.WORK]
NAMES: Final = {"strict": "real_strict_recall", "fuzzy": "real_fuzzy_recall", "error_storm": "real_storm_recall"}
GOALS: Final = {
    "real_recall": (">=", 0.95), "real_strict_recall": (">=", 0.99), "real_fuzzy_recall": (">=", 0.90),
    "real_storm_recall": (">=", 0.85), "real_precision": (">=", 0.98), "real_false_per_1000_successful": ("<=", 1.0),
    "real_opens_in_successes_per_1000": ("<=", 15.0), "real_median": ("<=", 2.0), "real_p90": ("<=", 4.0),
    "stream_recall": (">=", 0.98), "stream_worst_kind": (">=", 0.90), "stream_median": ("<=", 5.0),
    "stream_p90": ("<=", 10.0), "stream_false_per_1000": ("<=", 1.0), "bursts_declared": ("<=", 0.02),
    "bursts_undeclared": ("<=", 0.10), "events_per_s": (">=", 100_000.0), "event_p99_ms": ("<=", 0.2),
    "bytes_per_agent": ("<=", 8192.0), "bytes_per_other_agent": ("<=", 100.0),
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tenth of the generated cases and of the agents")
    quick = parser.parse_args().quick
    report, where = Report("loops"), public.folder()
    with Progress(transient=True) as progress:
        progress.add_task("replaying", total=None)
        if where is None:
            report.skipped.append(f"the public loop data ({public.ENV})")
        else:
            _public(report, public.load(where), quick)
        _made(report, "made_tuned", _TUNED, 10 if quick else 100)
        _made(report, "made_untouched", [*untouched.LOOPS, *untouched.WORK], 10 if quick else 100)
    if not PEER.exists():
        report.skipped.append("agent-sre")
    report.show()


def _add(report: Report, name: str, value: float) -> None:
    report.add(name, value, GOALS.get(name))


def _public(report: Report, data: Public, quick: bool) -> None:
    rules, nobody = load_rules(), Registry()
    real, streams = (
        score_real(data, ours(data.real, rules, nobody)),
        score_streams(data, ours(data.streams, rules, nobody)),
    )
    known = score_streams(data, ours(data.streams, rules, declared(data)))
    _figures(report, real, streams, known)
    _beside(data, real, streams)
    events = [one.event for one in data.streams]
    _add(report, "events_per_s", cost.per_second(events))
    _add(report, "event_p99_ms", cost.p99_ms(events))
    hot, other = cost.memory(events, 1_000 if quick else 10_000, 10_000 if quick else 100_000)
    _add(report, "bytes_per_agent", hot)
    _add(report, "bytes_per_other_agent", other)


def _figures(report: Report, real: RealScore, streams: StreamScore, known: StreamScore) -> None:
    _add(report, "real_recall", real.recall["all"].value)
    for kind, name in NAMES.items():
        _add(report, name, real.recall[kind].value)
    _add(report, "real_precision", real.precision.value)
    _add(report, "real_false_per_1000_successful", 1000 * real.false.value)
    _add(report, "real_opens_in_successes_per_1000", 1000 * real.in_successes.value)
    _add(report, "real_median", quantile(real.delays, 0.5))
    _add(report, "real_p90", quantile(real.delays, 0.9))
    _add(report, "stream_recall", total(streams.recall.values()).value)
    _add(report, "stream_worst_kind", min(share.value for share in streams.recall.values()))
    _add(report, "stream_median", quantile(streams.delays, 0.5))
    _add(report, "stream_p90", quantile(streams.delays, 0.9))
    _add(report, "stream_false_per_1000", 1000 * streams.false.value)
    _add(report, "bursts_declared", total(known.bursts.values()).value)
    _add(report, "bursts_undeclared", total(streams.bursts.values()).value)


def _beside(data: Public, real: RealScore, streams: StreamScore) -> None:
    """Our scores and those of the baselines, with intervals."""
    stops: dict[str, Stop] = {name: functools.partial(baseline, make=make) for name, make in BASELINES.items()}
    if PEER.exists():
        stops["agent-sre"] = assessed
    scores = {"fusebox": (real, streams)} | {
        name: (score_real(data, stop(data.real)), score_streams(data, stop(data.streams)))
        for name, stop in stops.items()
    }
    _real_table({name: pair[0] for name, pair in scores.items()})
    _stream_table({name: pair[1] for name, pair in scores.items()})


def _real_table(scores: Mapping[str, RealScore]) -> None:
    table = Table("real runs (tuned on)", *scores, title="95 % Wilson intervals")
    for kind in ("all", *KINDS):
        table.add_row(f"recall, {kind}", *(s.recall[kind].text() for s in scores.values()))
    table.add_row("precision of opens", *(s.precision.text() for s in scores.values()))
    table.add_row("false / 1000 normal successful", *(s.false.text(1000) for s in scores.values()))
    table.add_row("opens / 1000 successful", *(s.in_successes.text(1000) for s in scores.values()))
    table.add_row("onset to open, median / p90", *(_delays(s.delays) for s in scores.values()))
    Console(width=230).print(table)


def _stream_table(scores: Mapping[str, StreamScore]) -> None:
    table = Table("streams (tuned on)", *scores, title="95 % Wilson intervals")
    table.add_row("recall, all", *(total(s.recall.values()).text() for s in scores.values()))
    for kind in next(iter(scores.values())).recall:
        table.add_row(f"  {kind}", *(s.recall[kind].text() for s in scores.values()))
    table.add_row("start to open, median / p90", *(_delays(s.delays) for s in scores.values()))
    table.add_row("false / 1000 normal agents", *(s.false.text(1000) for s in scores.values()))
    table.add_row("bursts tripped, undeclared", *(total(s.bursts.values()).text() for s in scores.values()))
    Console(width=230).print(table)


def _delays(delays: list[int]) -> str:
    return f"{quantile(delays, 0.5):g} / {quantile(delays, 0.9):g}"


def _made(report: Report, name: str, kinds: list[loops.Kind], cases: int) -> None:
    """Generated kinds: what was opened, and after how many messages."""
    found = score_made(kinds, cases, lambda events: ours(events, load_rules(), Registry()))
    table = Table(f"{name}: kind", "opened", "messages: median / p90")
    bad, good = [kind for kind in kinds if kind.loop], [kind for kind in kinds if not kind.loop]
    for kind in (*bad, *good):
        hits = [hit for hit in found[kind.name] if hit]
        share = Share(len(hits), cases).text()
        table.add_row(f"{'loop' if kind.loop else 'work'} {kind.name}", share, _delays(hits) if hits else "")
    Console(width=120).print(table)
    caught = [hit for kind in bad for hit in found[kind.name] if hit]
    _add(report, f"{name}_recall", len(caught) / (cases * len(bad)))
    _add(report, f"{name}_median", quantile(caught, 0.5))
    _add(report, f"{name}_p90", quantile(caught, 0.9))
    _add(
        report, f"{name}_work_opened", sum(bool(hit) for kind in good for hit in found[kind.name]) / (cases * len(good))
    )


if __name__ == "__main__":
    main()
