"""Trip history: who was stopped, by what, and the evidence side by side."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import partial
from typing import Any, Final

import streamlit as st

from dashboards import data, history
from dashboards.history import HISTORY, KeepUnavailable
from dashboards.state import memory
from dashboards.text import moment, money, visible
from dashboards.view import Trip
from fusebox.clock import Clock
from fusebox.config import Config

EVERY_S: Final = 2.0
AGAIN_S: Final = 5.0
SHOWN: Final = 6
_SAME: Final = "="
_ROW: Final = 35

Row = Mapping[str, Any]
Fact = Callable[[Row], str]
FACTS: Final[Mapping[str, Fact]] = {
    "time (UTC)": lambda span: moment(span["time"]),
    "action": lambda span: span["action"],
    "operation": lambda span: span["operation"],
    "target": lambda span: span["target"],
    "workflow": lambda span: span["workflow"],
    "request": lambda span: _hash(span["request_hash"]),
    "result": lambda span: _hash(span["result_hash"]),
    "ended": lambda span: "well" if span["ok"] else f"failed: {span['error_type']}",
    "tokens in": lambda span: str(span["input_tokens"]),
    "tokens out": lambda span: str(span["output_tokens"]),
    "cost": lambda span: span["price"] if span["cost_usd"] is None else money(float(span["cost_usd"])),
    "took": lambda span: f"{span['duration_s'] * 1000:.0f} ms",
    "trace": lambda span: span["trace_id"],
    "span": lambda span: span["span_id"],
}
"""What is compared: how each fact of a stored action reads."""


@st.fragment(run_every=EVERY_S)
def draw_trips(config: Config, clock: Clock) -> None:
    """The trips the board remembers, and one of them in detail."""
    board = memory().board
    st.header("Trips", anchor=False)
    if board is None or not board.trips:
        st.caption("No circuit has opened. When one does, you see here who, why, and what it kept doing.")
        return
    st.dataframe(
        [_row(trip) for trip in board.trips], hide_index=True, height=_tall(min(len(board.trips), SHOWN)), key="trips"
    )
    trips = {trip.id: trip for trip in board.trips}
    chosen = st.selectbox("Evidence of", list(trips), format_func=lambda each: title_of(trips[each]), key="evidence")
    if chosen in trips:
        draw_trip(config, clock, trips[chosen])


def _tall(rows: int) -> int:
    """Pixels of a table of so many rows, with its head and borders."""
    return _ROW * (rows + 1) + 3


def title_of(trip: Trip) -> str:
    """When, who and by what: one line."""
    return f"{moment(trip.time)} · {visible(trip.agent, 60)} · {visible(trip.detector or trip.actor, 40)}"


def _row(trip: Trip) -> dict[str, Any]:
    return {
        "When (UTC)": moment(trip.time),
        "Agent": visible(trip.agent, 80),
        "Stopped by": visible(trip.detector or trip.actor, 60),
        "Reason": visible(trip.reason),
        "What repeated": visible(trip.repeated),
        "Circuit": f"{trip.before} → {trip.after}",
    }


def draw_trip(config: Config, clock: Clock, trip: Trip) -> None:
    """What the board knows of a trip, and its evidence side by side."""
    with st.container(border=True, gap="xsmall", key="trip-detail"):
        for name, value in _facts(trip):
            with st.container(horizontal=True, gap="small", key=f"fact-{name.lower()}"):
                st.caption(name, width=90)
                st.text(value, width="stretch")
        if trip.spans:
            _draw_evidence(config, clock, trip)
        else:
            st.caption("No spans belong to this trip: a person ordered it, or the detector counted without examples.")


def _facts(trip: Trip) -> list[tuple[str, str]]:
    facts = [("Who", trip.agent), ("Reason", trip.reason), ("By", trip.actor), ("Repeated", trip.repeated)]
    if trip.threshold:
        facts.append(("Score", f"{trip.score:g}, the limit is {trip.threshold:g}"))
    return [(name, visible(value)) for name, value in facts if value]


def evidence_key(config: Config, trip: Trip) -> Hashable:
    """What the evidence is remembered by, once it was read."""
    return config, "evidence", trip.spans


def _draw_evidence(config: Config, clock: Clock, trip: Trip) -> None:
    key = evidence_key(config, trip)
    lasting = math.inf if len(HISTORY.last(key)) == len(trip.spans) else AGAIN_S  # stored actions never change
    try:
        spans = HISTORY.rows(key, partial(history.evidence, config, trip.spans), clock.wall(), lasting)
    except KeepUnavailable:
        st.warning(
            "keep does not answer, so the evidence cannot be read. What the board knows of the trip is above. "
            f"Start it with `{data.START}`.",
            icon=":material/database_off:",
        )
        return
    if spans is None:
        st.caption("Reading the evidence…")
        return
    _draw_spans(trip, spans)


def _draw_spans(trip: Trip, spans: Sequence[Row]) -> None:
    if len(spans) < len(trip.spans):
        st.caption(f"{len(spans)} of {len(trip.spans)} spans are in the database so far.")
    if not spans:
        return
    st.caption(f"What it did again, oldest first. A row marked {_SAME} is the same in every span.")
    again, once = alike(spans, trip.repeated)
    for place, group in enumerate(again):
        st.text(f"{len(group)} × {kind_of(group[0])}")
        st.dataframe(side_by_side(group), hide_index=True, height=_tall(len(FACTS)), key=f"evidence-{trip.id}-{place}")
    if once:
        st.text(f"beside it, once each: {', '.join(map(kind_of, once))}")


def alike(spans: Sequence[Row], repeated: str) -> tuple[list[list[Row]], list[Row]]:
    """The spans that did the same kind of thing, what ``repeated`` names first; and those that stand alone."""
    kinds: dict[str, list[Row]] = {}
    for span in spans:
        kinds.setdefault(kind_of(span), []).append(span)
    again = [kinds[kind] for kind in sorted(kinds, key=lambda kind: kind not in repeated) if len(kinds[kind]) > 1]
    return again, [group[0] for group in kinds.values() if len(group) == 1]


def kind_of(span: Row) -> str:
    """What a stored action did, in two words."""
    return visible(f"{span['action']} {span['operation']}", 80)


def side_by_side(spans: Sequence[Row]) -> list[dict[str, str]]:
    """One row per fact and one column per span, so that what repeats lines up."""
    return [_compare(name, [visible(fact(span), 120) for span in spans]) for name, fact in FACTS.items()]


def _compare(fact: str, values: Sequence[str]) -> dict[str, str]:
    same = _SAME if len(values) > 1 and len(set(values)) == 1 else ""
    return {"Fact": fact, "Same": same, **{f"Span {number}": value for number, value in enumerate(values, 1)}}


def _hash(value: int) -> str:
    return f"{value:016x}" if value else "not known"
