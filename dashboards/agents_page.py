"""The page "Agents": who is at work; and one agent in detail, with its detectors' scores beside their limits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

import streamlit as st

from dashboards.agent_charts import draw_done, draw_scores
from dashboards.ask import ask, ask_ahead
from dashboards.board import LOOKS
from dashboards.columns import COUNT, SECONDS, SHARE, USD
from dashboards.filters import Period, choose, chosen
from dashboards.links import Name, link
from dashboards.live import await_board, draw_completeness, refresh
from dashboards.start import draw_start
from dashboards.state import memory
from dashboards.text import count, lasted, moment, visible
from dashboards.view import Board, Tile
from fusebox.clock import Clock
from fusebox.config import Config

Rows = Sequence[Mapping[str, Any]]
Shape = Callable[[Mapping[str, Any]], dict[str, Any]]
EVERY_S: Final = 5.0
AGENT: Final = "agent"
_IN_STEPS: Final = ("agent_course", "agent_scores")
_OF_ONE: Final = ("agent_operations", "agent_partners", "agent_readers")
_COLUMNS: Final = {
    "Actions": COUNT, "Model calls": COUNT, "Tool calls": COUNT, "Published": COUNT, "Failed": SHARE, "Median": SECONDS,
    "95 %": SECONDS, "Tokens": COUNT, "Cost": USD, "Number": COUNT, "Messages": COUNT,
}  # fmt: skip


def draw(config: Config, clock: Clock) -> None:
    """The whole page, for one session."""
    st.title("Agents", anchor=False)
    board = memory().board
    if board is None:
        await_board(config, clock)
        return
    names = _names(board)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        agent = _choose(names)
        period = choose()
    _draw(config, clock, period, agent, names)


def _names(board: Board) -> frozenset[str]:
    return frozenset(tile.agent for tile in board.tiles)


def _choose(agents: frozenset[str]) -> str:
    """One of the board's, or the one in the address: history may know an agent that the board has forgotten."""
    names = agents | {st.query_params.get(AGENT, "")} - {""}
    titles = {name: visible(name, 80) for name in sorted(names)}
    return chosen("Agent", AGENT, titles, index=None, placeholder="All of them", width=400)


@st.fragment(run_every=EVERY_S)
def _draw(config: Config, clock: Clock, period: Period, agent: str, names: frozenset[str]) -> None:
    if agent:
        ask_ahead(config, clock, period, *_IN_STEPS, agent=agent, step=period.step_s)
        ask_ahead(config, clock, period, *_OF_ONE, agent=agent)
    else:
        ask_ahead(config, clock, period, "agents_active")
    board = refresh(config, clock)
    if board is None:
        return
    if _names(board) != names:
        st.rerun()  # of the whole page, which owns the choice among them
    draw_completeness(board, clock)
    if agent:
        _draw_one(config, clock, period, board, agent)
    else:
        _draw_all(config, clock, period, board)


def _draw_all(config: Config, clock: Clock, period: Period, board: Board) -> None:
    found = ask(config, clock, "agents_active", period)
    if found is None:
        return
    active = {row["agent"]: row for row in found}
    if not active and not board.tiles:
        draw_start(config, "No agent has spoken yet", "Agents appear here by themselves")
        return
    tiles = {tile.agent: tile for tile in board.tiles}
    names = list(active) + sorted(set(tiles) - set(active))
    rows = [_summary(name, tiles.get(name), active.get(name)) for name in names]
    st.dataframe(rows, hide_index=True, key="agents", column_config=_COLUMNS)


def _summary(agent: str, tile: Tile | None, row: Mapping[str, Any] | None) -> dict[str, Any]:
    actions = int(row["actions"]) if row else 0
    return {
        "Agent": visible(agent, 80),
        "State": LOOKS[tile.standing].word if tile else "not on the board",
        "Belongs to": visible(tile.belongs, 80) if tile else "",
        "Actions": actions,
        "Model calls": int(row["model_calls"]) if row else 0,
        "Tool calls": int(row["tool_calls"]) if row else 0,
        "Published": int(row["published"]) if row else 0,
        "Failed": row["errors"] / actions if row else None,
        "Median": row["p50_s"] if row else None,
        "95 %": row["p95_s"] if row else None,
        "Tokens": int(row["tokens"]) if row else 0,
        "Cost": float(row["cost_usd"]) if row else None,
        "Last seen (UTC)": moment(row["last"]) if row else "",
    }


def _draw_one(config: Config, clock: Clock, period: Period, board: Board, agent: str) -> None:
    tile = next((tile for tile in board.tiles if tile.agent == agent), None)
    if tile is not None:
        _draw_standing(tile, clock)
    with st.container(horizontal=True):
        link(Name.TRACES, "Its traces", ":material/account_tree:", agent=agent, period=period.label)
        link(Name.AUDIT, "Its audit entries", ":material/fact_check:", subject=agent, period=period.label)
    done = ask(config, clock, "agent_course", period, agent=agent, step=period.step_s)
    if done:
        draw_done(done, period)
    scores = ask(config, clock, "agent_scores", period, agent=agent, step=period.step_s)
    if scores:
        draw_scores(scores, board.thresholds)
    _draw_table("What it does", ask(config, clock, "agent_operations", period, agent=agent), _operation, period)
    for title, query, column in (
        ("Whose messages it handled", "agent_partners", "From"), ("Who handled its own", "agent_readers", "By"),
    ):  # fmt: skip
        _draw_table(title, ask(config, clock, query, period, agent=agent), partial(_partner, column=column), period)


def _draw_standing(tile: Tile, clock: Clock) -> None:
    look = LOOKS[tile.standing]
    with st.container(horizontal=True, vertical_alignment="center"):
        st.badge(look.word, icon=look.icon, color=look.color)
        st.text(visible(tile.reason) if tile.reason else "Nothing to report")
        if tile.since:
            st.caption(f"for {lasted(clock.now() - tile.since)}")
    shown = {
        "Actions per minute": count(tile.actions),
        "Tokens per minute": count(tile.tokens),
        "Cost per minute": tile.spent.replace("$", "\\$"),
        "Held messages": str(tile.held),
    }
    for column, (label, value) in zip(st.columns(len(shown)), shown.items(), strict=True):
        column.metric(label, value, border=True)


def _draw_table(title: str, rows: Rows | None, shape: Shape, period: Period) -> None:
    if rows is None:
        return
    st.header(title, anchor=False)
    if rows:
        st.dataframe(list(map(shape, rows)), hide_index=True, key=title, column_config={**_COLUMNS, "Failed": COUNT})
    else:
        st.caption(f"Nothing in the last {period.label}.")


def _operation(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "Action": row["action"],
        "Operation": visible(row["operation"], 120),
        "Number": int(row["actions"]),
        "Failed": int(row["errors"]),
        "Median": row["p50_s"],
        "95 %": row["p95_s"],
        "Last (UTC)": moment(row["last"]),
    }


def _partner(row: Mapping[str, Any], column: str) -> dict[str, Any]:
    return {
        column: visible(row["partner"], 80),
        "Topic": visible(row["operation"], 120),
        "Messages": int(row["messages"]),
        "Last (UTC)": moment(row["last"]),
    }
