"""The board of circuits: the worst agents as tiles, everyone else in a table."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import streamlit as st

from dashboards.links import Name, link
from dashboards.state import Asked, memory
from dashboards.text import count, lasted, many, spark, tag, visible
from dashboards.view import NORMAL, Board, Standing, Tile, matching, some_of

TILES: Final = 50
COLUMNS: Final = 3
NEAR: Final = 0.8
FIND: Final = "find"
_MODES: Final = {"observe_only": "Observe only", "disabled": "Disabled"}


@dataclass(frozen=True, slots=True)
class Look:
    """How a standing looks: never by colour alone."""

    word: str
    icon: str
    color: Literal["red", "orange", "blue", "yellow", "green"]


LOOKS: Final = {
    Standing.KILLED: Look("Killed", ":material/dangerous:", "red"),
    Standing.OPEN: Look("Open", ":material/power_off:", "orange"),
    Standing.HALF_OPEN: Look("Half open", ":material/hourglass_top:", "blue"),
    Standing.WARNING: Look("Warning", ":material/warning:", "yellow"),
    Standing.CLOSED: Look("Closed", ":material/check_circle:", "green"),
}


def draw_summary(board: Board) -> None:
    """How many agents stand how, in one row."""
    with st.container(horizontal=True, key="summary"):
        for standing, number in board.tally().items():
            if number:
                look = LOOKS[standing]
                st.badge(f"{number} {look.word.lower()}", icon=look.icon, color=look.color)
        strangers = sum(not tile.registered for tile in board.tiles)
        if strangers:
            st.badge(f"{strangers} unregistered", icon=":material/help:", color="violet")
        late = {process for each in board.awaited if each.overdue for process in each.missing}
        if late:
            told = f"{many(len(late), 'process has', 'processes have')} not confirmed a stop"
            st.badge(told, icon=":material/running_with_errors:", color="red")
    if board.alerts.get("undelivered"):
        _draw_unreached(board)


def _draw_unreached(board: Board) -> None:
    """What people should have been told and were not, so it is told here."""
    with st.container(border=True, gap="xsmall", key="unreached"):
        told = f"{many(board.alerts['undelivered'], 'alert')} reached nobody"
        st.badge(told, icon=":material/notifications_off:", color="red")
        for alert in board.unreached:
            st.text(visible(f"{alert.type}: {alert.reason}"))
        st.caption("`fusebox alerts list --undelivered` says why, `fusebox alerts ack` that somebody takes care.")


def draw_board(board: Board, *, acting: bool) -> None:
    """Every circuit: registered agents first, unregistered ones under a heading of their own; buttons if ``acting``."""
    shown = matching(board.tiles, st.session_state.get(FIND, ""))
    strangers = [tile for tile in shown if not tile.registered]
    known = [tile for tile in shown if tile.registered]
    if not shown:
        st.info("No agent, owner or team matches what you are looking for.", icon=":material/search_off:")
    trips = {trip.agent: trip.id for trip in reversed(board.trips)}
    worst = {tile.agent for tile in shown[:TILES]}
    if known:
        st.header("Circuits", anchor=False)
        _draw_group("known", known, worst, trips, board, acting=acting)
    if strangers:
        st.header("Unregistered agents", anchor=False)
        st.caption("They act, and nobody has said whose they are. Add them to `agents.toml`, or stop them.")
        _draw_group("stranger", strangers, worst, trips, board, acting=acting)


def _draw_group(
    name: str, group: Sequence[Tile], worst: Container[str], trips: Mapping[str, str], board: Board, *, acting: bool
) -> None:
    """The ``worst`` of a group as tiles, its others as a table."""
    tiles = [tile for tile in group if tile.agent in worst]
    for start in range(0, len(tiles), COLUMNS):
        for column, tile in zip(st.columns(COLUMNS), tiles[start : start + COLUMNS], strict=False):
            with column:
                _draw_tile(tile, trips.get(tile.agent, ""), board, acting=acting)
    rest = [tile for tile in group if tile.agent not in worst]
    if rest:
        st.caption(f"{len(rest)} more. Find one above to see its tile and to act on it.")
        st.dataframe([_row(tile, board.time) for tile in rest], hide_index=True, key=f"rest-{name}")


def _draw_tile(tile: Tile, trip: str, board: Board, *, acting: bool) -> None:
    name = tag(tile.agent)
    with st.container(border=True, height="stretch", gap="xsmall", key=f"tile-{tile.standing}-{name}"):
        _draw_badges(tile)
        with st.container(key=f"agent-{name}"):
            st.text(visible(tile.agent, 80))
        with st.container(key=f"said-{name}", gap=None):
            st.text(visible(tile.reason) if tile.reason else "Nothing to report")
            if tile.since:
                st.caption(f"for {lasted(board.time - tile.since)}")
            if late := board.late(tile.agent):
                st.text(f"not confirmed by {visible(some_of(late))}: it may still act there")
        if trip and tile.standing is not Standing.CLOSED:
            link(Name.INCIDENT, "What happened", ":material/emergency:", trip=trip)
        with st.container(key=f"facts-{name}"):
            st.markdown(_facts(tile))
        for number, (share, budget) in enumerate(tile.budgets):
            draw_budget(share, budget, f"{number}-{name}")
        if acting:
            _draw_buttons(tile, name)


def draw_budget(share: float, budget: str, name: str) -> None:
    """How much of it is used, in the colour that says whether that is near all of it."""
    with st.container(key=f"budget-{'near' if share >= NEAR else 'within'}-{name}"):
        st.progress(min(1.0, share), f"{share:.0%} of its {budget}".replace("$", "\\$"))


def _draw_badges(tile: Tile) -> None:
    look = LOOKS[tile.standing]
    with st.container(horizontal=True, gap="xsmall", key=f"badges-{tag(tile.agent)}"):
        st.badge(look.word, icon=look.icon, color=look.color)
        if tile.mode != NORMAL:
            st.badge(_MODES.get(tile.mode, "Unknown mode"), icon=":material/visibility:", color="violet")
        if not tile.registered:
            st.badge("Unregistered", icon=":material/help:", color="violet")


def _facts(tile: Tile) -> str:
    """Numbers and bars only: this is the one place of a tile that is markdown."""
    facts = [
        f"**{count(tile.actions)}** actions/min",
        f"**{count(tile.tokens)}** tokens/min",
        f"**{_dollars(tile.spent)}** per minute",
        f"**{tile.held}** held · **{tile.denied}** denied",
        f"{spark(tile.course)} last minute",
    ]
    return "\n".join(f"- {fact}" for fact in facts)


def _dollars(amount: str) -> str:
    return amount.replace("$", "\\$").replace("<", "\\<")


def _draw_buttons(tile: Tile, name: str) -> None:
    silent = memory().silent_since is not None
    with st.container(horizontal=True, gap="small", key=f"buttons-{name}"):
        if tile.standing is not Standing.KILLED:
            _button("Kill", tile, ":material/dangerous:", silent)
        if tile.stopped:
            _button("Resume", tile, ":material/play_arrow:", silent)
        if tile.mode == NORMAL:
            _button("Observe", tile, ":material/visibility:", silent)
        else:
            _button("Enforce", tile, ":material/shield:", silent)


def _button(verb: str, tile: Tile, icon: str, disabled: bool) -> None:
    key = f"{verb.lower()}-{tag(tile.agent)}"
    if st.button(f"{verb}…", key=key, icon=icon, disabled=disabled):
        memory().asked = Asked(verb, tile.agent)
        st.rerun()  # of the whole page, which owns the dialog


def _row(tile: Tile, now: float) -> dict[str, Any]:
    return {
        "Agent": visible(tile.agent, 80),
        "State": LOOKS[tile.standing].word,
        "For": lasted(now - tile.since) if tile.since else "",
        "Actions/min": tile.actions,
        "Tokens/min": tile.tokens,
        "$/min": tile.cost,
        "Held": tile.held,
        "Belongs to": visible(tile.belongs, 80),
        "Reason": visible(tile.reason),
    }
