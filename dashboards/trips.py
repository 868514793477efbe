"""Trip history: who was stopped, by what, and the evidence side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import streamlit as st

from dashboards import history
from dashboards.state import memory
from dashboards.text import moment, visible
from dashboards.view import Board, Trip
from fusebox.config import Config

EVERY_S: Final = 2.0
_SAME: Final = "="


@st.fragment(run_every=EVERY_S)
def draw_trips(config: Config) -> None:
    """The trips the board remembers, and one of them in detail."""
    board = memory().board
    st.subheader("Trips", anchor=False)
    if board is None or not board.trips:
        st.caption("No circuit has opened. When one does, you see here who, why, and what it kept doing.")
        return
    st.dataframe([_row(trip) for trip in board.trips], hide_index=True, height=_height(board), key="trips")
    trips = {trip.id: trip for trip in board.trips}
    chosen = st.selectbox("Evidence of", list(trips), format_func=lambda each: _title(trips[each]), key="trip")
    if chosen in trips:
        _draw_trip(config, trips[chosen])


def _height(board: Board) -> int:
    return 36 * (min(len(board.trips), 6) + 1)


def _title(trip: Trip) -> str:
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


def _draw_trip(config: Config, trip: Trip) -> None:
    with st.container(border=True, key="trip-detail"):
        for name, value in _facts(trip):
            with st.container(horizontal=True, gap="small", key=f"fact-{name}"):
                st.caption(name, width=90)
                st.text(value, width="stretch")
        if trip.spans:
            _draw_evidence(config, trip)
        else:
            st.caption("No spans belong to this trip: a person ordered it, or the detector counted without examples.")


def _facts(trip: Trip) -> list[tuple[str, str]]:
    facts = [("Who", trip.agent), ("Reason", trip.reason), ("By", trip.actor), ("Repeated", trip.repeated)]
    if trip.threshold:
        facts.append(("Score", f"{trip.score:g}, the limit is {trip.threshold:g}"))
    return [(name, visible(value)) for name, value in facts if value]


def _draw_evidence(config: Config, trip: Trip) -> None:
    try:
        spans = history.evidence(config, memory().token, trip)
    except history.KeepUnavailable as error:
        st.warning("keep does not answer, so the evidence cannot be read. The trip itself is complete above.")
        st.text(visible(error))
        return
    if len(spans) < len(trip.spans):
        st.caption(f"{len(spans)} of {len(trip.spans)} spans are in the database so far.")
    if spans:
        st.caption(f"What it did, oldest first. A row marked {_SAME} is the same in every span.")
        st.dataframe(side_by_side(spans), hide_index=True, key=f"evidence-{trip.id}")


def side_by_side(spans: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """One row per fact and one column per span, so that what repeats lines up."""
    return [_compare(fact, [visible(span[fact], 120) for span in spans]) for fact in spans[0]]


def _compare(fact: str, values: Sequence[str]) -> dict[str, str]:
    same = _SAME if len(values) > 1 and len(set(values)) == 1 else ""
    return {"Fact": fact, "Same": same, **{f"Span {number}": value for number, value in enumerate(values, 1)}}
