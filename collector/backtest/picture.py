"""A page with a picture for each agent that would have been opened: one self-contained file, no script."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Final

from collector.backtest.replay import Replay, Trip

_WIDTH: Final = 860
_HEIGHT: Final = 46
_MOST: Final = 200
_STYLE: Final = """
body { font: 14px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; color: #222 }
svg { display: block; width: 100%; height: auto } h3 { margin: 1.2rem 0 .2rem } p { margin: 0 }
.good { color: #a40000 } small { color: #666 }
@media (prefers-color-scheme: dark) { body { background: #181818; color: #ddd } }
"""


def page(replays: Mapping[str, Replay]) -> str:
    """The page: for each set of rules the agents it would have opened, the costliest first."""
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Backtest</title>'
        f"<style>{_STYLE}</style><body><h1>Backtest</h1>"
        + "".join(_rules(name, replay) for name, replay in replays.items())
        + "</body></html>\n"
    )


def _rules(name: str, replay: Replay) -> str:
    opens = sorted((t for t in replay.trips if t.action == "open"), key=lambda trip: -trip.tokens)[:_MOST]
    summary = replay.summary()
    saved = summary["saved"]
    head = (
        f"<h2>{escape(name)}</h2><p>{summary['opens']} of {summary['agents']} agents would have been opened, "
        f"{summary['good_work_cut']} of them in good work; saved: {saved['events']} events, {saved['tokens']} tokens, "
        f"${saved['usd']:.4f}.</p>"
    )
    return head + "".join(_agent(trip) for trip in opens)


def _agent(trip: Trip) -> str:
    good = ' <span class="good">(would have cut good work)</span>' if trip.cut_good_work else ""
    where = " ".join(str(part) for part in (trip.stream, trip.session) if part is not None)
    return (
        f"<h3>{escape(trip.agent)} <small>{escape(where)}</small></h3>"
        f"<p>{escape(trip.finding.detector)}: {escape(trip.finding.reason)}{good}</p>{_svg(trip)}"
    )


def _svg(trip: Trip) -> str:
    """A line of time: the evidence, the trip, and what it would have denied."""
    start = min(trip.finding.first_time or trip.time, trip.time)
    span = max((trip.last or trip.time) - start, 1e-9)

    def at(time: float) -> float:
        return 8 + (time - start) / span * (_WIDTH - 16)

    opened = at(trip.time)
    marks = "".join(
        f'<rect x="{at(t):.1f}" y="16" width="2" height="12" fill="#c33" opacity=".6"/>' for t in trip.times
    )
    label = f"{trip.denied} denied" if trip.denied else "nothing came after"
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(trip.agent)}">'
        f'<line x1="8" x2="{opened:.1f}" y1="22" y2="22" stroke="#2a7" stroke-width="4"/>{marks}'
        f'<line x1="{opened:.1f}" x2="{opened:.1f}" y1="6" y2="38" stroke="#d22" stroke-width="3"/>'
        f'<text x="{min(opened + 6, _WIDTH - 120):.1f}" y="44" font-size="11" fill="#888">'
        f"opened, score {trip.finding.score:.1f} of {trip.finding.threshold:.1f}; {label}</text></svg>"
    )
