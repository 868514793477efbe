"""The page "Incident": one trip told from the first lap to what was done about it, and as a report to keep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import streamlit as st

from dashboards.actions import draw_dialog, draw_orders
from dashboards.ask import ask
from dashboards.board import LOOKS
from dashboards.filters import chosen
from dashboards.history import HISTORY
from dashboards.incident import AFTER_S, BEFORE_S, JUST_S, Spared, ended, followed, loop_graph, side, spared, what
from dashboards.links import Name, link
from dashboards.live import await_board, draw_freshness, refresh
from dashboards.oidc import Role
from dashboards.people import may
from dashboards.report import Told, report
from dashboards.state import Asked, memory
from dashboards.text import count, lasted, many, moment, money, seconds, visible
from dashboards.trips import draw_trip, evidence_key, title_of
from dashboards.view import Board, Trip
from fusebox.clock import Clock
from fusebox.config import Config

Rows = Sequence[Mapping[str, Any]]
EVERY_S: Final = 2.0
TRIP: Final = "trip"
_BEFORE: Final = 40
_AFTER: Final = 20


def draw(config: Config, clock: Clock) -> None:
    """The whole page, for one session."""
    st.title("Incident", anchor=False)
    board = memory().board
    draw_dialog(config, clock)
    if board is None:
        await_board(config, clock)
        return
    wanted = st.query_params.get(TRIP, "")
    if not board.trips and not wanted:
        _await_trip(config, clock)
        return
    trips = {trip.id: trip for trip in board.trips}
    forgotten = bool(wanted) and wanted not in trips  # never another one's story under its address
    titles = {id: title_of(trip) for id, trip in trips.items()}
    id = chosen("Trip", TRIP, titles, index=None if forgotten else 0, placeholder="Choose one")
    if id in trips:
        _draw(config, clock, trips[id], frozenset(trips))
    else:
        _draw_forgotten(wanted)


@st.fragment(run_every=EVERY_S)
def _await_trip(config: Config, clock: Clock) -> None:
    board = refresh(config, clock)
    if board and board.trips:
        st.rerun()
    st.info("No circuit has opened. When one does, its story stands here.", icon=":material/sentiment_satisfied:")
    if board:
        draw_freshness(board, clock)


def _draw_forgotten(trip: str) -> None:
    st.info("The board no longer remembers this trip. The audit log does.", icon=":material/history:")
    link(Name.AUDIT, "Look there", ":material/fact_check:", said=trip, period="30 d")


@st.fragment(run_every=EVERY_S)
def _draw(config: Config, clock: Clock, trip: Trip, listed: frozenset[str]) -> None:
    board = refresh(config, clock)
    if board is None:
        return
    if {each.id for each in board.trips} != listed:
        st.rerun()  # of the whole page, which owns the choice among them
    draw_freshness(board, clock)
    draw_orders(config)
    _draw_standing(board, trip, acting=may(config, clock, Role.OPERATOR))
    st.header("What repeated", anchor=False)
    draw_trip(config, clock, trip)
    _draw_story(config, clock, trip, board.time)


def _draw_story(config: Config, clock: Clock, trip: Trip, now: float) -> None:
    until = trip.time + JUST_S
    before = ask(config, clock, "agent_between", agent=trip.agent, since=trip.time - BEFORE_S, until=until)
    after = ask(config, clock, "agent_between", agent=trip.agent, since=until, until=trip.time + AFTER_S)
    told = f"alert_{trip.id}"  # the name that watch gives to the alert of a transition
    deeds = ask(config, clock, "audit_about", since=trip.time - BEFORE_S, agent=trip.agent, alert=told)
    if before is None or after is None or deeds is None:
        return
    since = float(before[-1]["at"]) if before else trip.time
    spent = ask(config, clock, "ledger_totals", agent=trip.agent, since=since, until=until)
    if not spent:
        return
    saving = spared(len(before), spent[0], since, trip, ended(deeds, trip, now))
    done, later = before[::-1], after[::-1]
    _draw_saving(saving)
    _draw_loop(done, trip)
    _draw_steps([*done[-_BEFORE:], *later[:_AFTER]], trip)
    _draw_deeds(deeds)
    evidence = HISTORY.last(evidence_key(config, trip))
    whole = Told(trip, saving, evidence, followed(done), [*done, *later], deeds)
    st.download_button(
        "Save as a report", lambda: report(whole), f"incident-{trip.id}.html", "text/html", key="report",
        icon=":material/download:", on_click="ignore",
    )  # fmt: skip


def _draw_standing(board: Board, trip: Trip, *, acting: bool) -> None:
    tile = next((tile for tile in board.tiles if tile.agent == trip.agent), None)
    with st.container(horizontal=True, vertical_alignment="center", key="standing"):
        if tile is not None:
            look = LOOKS[tile.standing]
            st.badge(look.word, icon=look.icon, color=look.color)
            st.text(f"now · {many(tile.held, 'message')} held · {many(tile.denied, 'action')} denied")
        link(Name.AGENTS, "The agent", ":material/smart_toy:", agent=trip.agent)
        if not acting:
            return
        silent = memory().silent_since is not None
        if tile is not None and tile.stopped:
            _button("Resume", trip.agent, ":material/play_arrow:", silent)
        _button("Kill", trip.agent, ":material/dangerous:", silent)


def _button(verb: str, agent: str, icon: str, disabled: bool) -> None:
    if st.button(f"{verb}…", key=f"incident-{verb}", icon=icon, disabled=disabled):
        memory().asked = Asked(verb, agent)
        st.rerun()  # of the whole page, which owns the dialog


def _draw_saving(saving: Spared) -> None:
    st.header("What was spared", anchor=False)
    shown = {
        "Actions": f"about {count(saving.actions)}",
        "Tokens": f"about {count(saving.tokens)}",
        "Money": f"about {money(saving.usd)}".replace("$", "\\$"),
    }
    for column, (label, value) in zip(st.columns(len(shown)), shown.items(), strict=True):
        column.metric(label, value, border=True)
    st.caption(
        f"An estimate: its pace in the last {lasted(BEFORE_S)} before the trip, for the {lasted(saving.minutes * 60)} "
        "it stayed stopped."
    )
    if saving.unpriced:
        st.caption(
            f"{count(saving.unpriced)} tokens before the trip have no known price and are left out of the money."
        )


def _draw_loop(before: Rows, trip: Trip) -> None:
    if len(before) > 1:
        st.header("The loop", anchor=False)
        st.caption("What followed what, and how often, before the trip.")
        st.graphviz_chart(loop_graph(before, trip))


def _draw_steps(rows: Rows, trip: Trip) -> None:
    st.header("Before and after", anchor=False)
    if not rows:
        st.caption("None of its actions around the trip is stored yet.")
        return
    st.dataframe([_step(row, trip) for row in rows], hide_index=True, key="steps")


def _step(row: Mapping[str, Any], trip: Trip) -> dict[str, Any]:
    return {
        "When (UTC)": moment(row["at"]),
        "": side(row, trip),
        "Action": row["action"],
        "Operation": visible(row["operation"], 80),
        "Target": visible(row["target"], 80),
        "Ended": "well" if row["ok"] else f"failed: {visible(row['error_type'], 60)}",
        "Tokens": int(row["tokens"]),
        "Took": seconds(float(row["duration_s"])),
    }


def _draw_deeds(deeds: Rows) -> None:
    st.header("Who was told, and what was done", anchor=False)
    if not deeds:
        st.caption("Nothing is in the audit log's copy yet.")
        return
    st.dataframe([deed(row) for row in deeds], hide_index=True, key="deeds")


def deed(row: Mapping[str, Any]) -> dict[str, Any]:
    """An entry of the audit log as a row to read."""
    return {
        "When (UTC)": moment(row["at"]),
        "What": what(row),
        "By": visible(row["actor"], 80),
        "Reason": visible(row["reason"]),
    }
