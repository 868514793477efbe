"""What a backtest found, for people."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from collector.backtest.replay import Replay, Trip

_SHOWN: Final = 25


def report(replays: Mapping[str, Replay]) -> Group:
    """The figures side by side, then the trips of the first rules."""
    first = next(iter(replays.values()))
    opens = [trip for trip in first.trips if trip.action == "open"]
    parts: list[RenderableType] = [_figures({name: replay.summary() for name, replay in replays.items()})]
    if opens:
        parts += [Text(), _trips(opens[:_SHOWN])]
    if len(opens) > _SHOWN:
        parts.append(Text(f"… and {len(opens) - _SHOWN} more; --trips FILE writes all", "dim"))
    if not first.trips:
        parts.append(Text("no rule would have tripped"))
    return Group(*parts)


def _figures(summaries: Mapping[str, dict[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("")
    for name in summaries:
        table.add_column(escape(name), justify="right", overflow="fold")
    rows: dict[str, Callable[[dict[str, Any]], str]] = {
        "events": lambda s: f"{s['events']:,}",
        "  without content, hardly judged": lambda s: f"{s['without_content']:,}",
        "agents": lambda s: f"{s['agents']:,}",
        "would have opened": lambda s: f"{s['opens']:,}",
        "  of it cutting good work": lambda s: f"{s['good_work_cut']:,}",
        "would have warned": lambda s: f"{s['warnings']:,}",
        "only observed": lambda s: f"{s['observed']:,}",
        "messages saved": lambda s: f"{s['saved']['events']:,}",
        "tokens saved": lambda s: f"{s['saved']['tokens']:,}",
        "money saved": lambda s: f"${s['saved']['usd']:,.4f}",
    }
    for label, cell in rows.items():
        table.add_row(label, *(cell(summary) for summary in summaries.values()))
    for rule in sorted({rule for summary in summaries.values() for rule in summary["by_detector"]}):
        table.add_row(f"  {rule}", *(str(summary["by_detector"].get(rule, 0)) for summary in summaries.values()))
    return table


def _trips(trips: list[Trip]) -> Table:
    table = Table("time", "agent", "detector", "saved", "reason", box=None, pad_edge=False)
    for trip in trips:
        moment = datetime.fromtimestamp(trip.time, UTC).strftime("%d %b %H:%M:%S")
        saved = f"{trip.denied} events, {trip.tokens:,} tokens" + (", good work" if trip.cut_good_work else "")
        table.add_row(moment, escape(trip.agent), trip.finding.detector, saved, escape(trip.finding.reason))
    return table
