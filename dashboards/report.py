"""An incident as one HTML file: no script, no reference to anything outside, every stored text escaped."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, Final

from dashboards.incident import Spared, side, what
from dashboards.text import count, moment, money, seconds, visible
from dashboards.trips import alike, kind_of, side_by_side
from dashboards.view import Trip

Rows = Sequence[Mapping[str, Any]]
_STYLE: Final = (
    "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem}"
    "table{border-collapse:collapse;width:100%}"
    "th,td{text-align:left;padding:.25rem .6rem;border-bottom:1px solid #8884}"
    "td{overflow-wrap:anywhere}caption{text-align:left;font-weight:600;padding:.8rem 0 .3rem}"
)
_ACTION: Final = ("When (UTC)", "", "Action", "Operation", "Target", "Ended", "Took")
_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'"


@dataclass(frozen=True, slots=True)
class Told:
    """What a report tells: the trip, what was spared, its evidence, the loop, the actions around it, the audit log.

    ``followed`` are the steps before the trip: what, what came next, and how often.
    """

    trip: Trip
    saving: Spared
    evidence: Rows
    followed: Sequence[tuple[str, str, int]]
    actions: Rows
    deeds: Rows


def report(told: Told) -> str:
    """The file's text."""
    trip = told.trip
    body = (
        _table("The trip", ("", ""), _facts(trip, told.saving)),
        *_repeated(told),
        _table("The loop", ("Step", "Next", "Times"), told.followed),
        _table("Before and after", _ACTION, (_action(row, trip) for row in told.actions)),
        _table("What was decided", ("When (UTC)", "What", "By", "Reason"), map(_deed, told.deeds)),
    )
    title = f"Incident: {_text(trip.agent)}, {moment(trip.time)} UTC"
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}"><style>{_STYLE}</style></head>'
        f"<body><h1>{title}</h1>{''.join(body)}</body></html>"
    )


def _facts(trip: Trip, saving: Spared) -> list[tuple[Any, ...]]:
    spared = f"about {count(saving.actions)} actions, {count(saving.tokens)} tokens, {money(saving.usd)} (an estimate)"
    return [
        ("Agent", trip.agent), ("Stopped by", trip.detector or trip.actor), ("Reason", trip.reason),
        ("What repeated", trip.repeated), ("Circuit", f"{trip.before} → {trip.after}"), ("Spared", spared),
        ("Evidence (trace:span)", ", ".join(trip.spans)),
    ]  # fmt: skip


def _repeated(told: Told) -> Iterator[str]:
    """What is of one kind side by side, as on the page."""
    again, _ = alike(told.evidence, told.trip.repeated)
    for group in again:
        rows = [tuple(row.values()) for row in side_by_side(group)]
        yield _table(f"{len(group)} × {kind_of(group[0])}", tuple(side_by_side(group)[0]), rows)


def _action(row: Mapping[str, Any], trip: Trip) -> tuple[Any, ...]:
    ended = "well" if row["ok"] else f"failed: {row['error_type']}"
    told = row["action"], row["operation"], row["target"], ended, seconds(float(row["duration_s"]))
    return moment(row["at"]), side(row, trip), *told


def _deed(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return moment(row["at"]), what(row), row["actor"], row["reason"]


def _table(title: str, heads: Sequence[str], rows: Any) -> str:
    head = "".join(f"<th>{_text(name)}</th>" for name in heads)
    body = "".join("<tr>" + "".join(f"<td>{_text(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><caption>{_text(title)}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _text(value: object) -> str:
    return escape(visible(value, 2_000))
