"""The page "Agents": who is at work; and one agent in detail, with its detectors' scores beside their limits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import streamlit as st

from dashboards.ask import ask
from dashboards.board import LOOKS
from dashboards.filters import Period, choose
from dashboards.links import Name, link
from dashboards.live import draw_completeness, known, refresh
from dashboards.text import count, lasted, moment, money, seconds, visible
from dashboards.view import Board, Tile
from fusebox.clock import Clock
from fusebox.config import Config

Rows = Sequence[Mapping[str, Any]]
Shape = Callable[[Mapping[str, Any]], dict[str, Any]]
EVERY_S: Final = 5.0
AGENT: Final = "agent"


def draw(config: Config, clock: Clock) -> None:
    """The whole page, for one session."""
    st.title("Agents", anchor=False)
    board = known(config, clock)
    if board is None:
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        agent = _choose(board)
        period = choose()
    _draw(config, clock, period, agent)


def _choose(board: Board) -> str:
    names = sorted(tile.agent for tile in board.tiles)
    chosen = st.selectbox(
        "Agent", names, index=None, key=AGENT, format_func=lambda name: visible(name, 80), bind="query-params",
        placeholder="All of them", width=400,
    )  # fmt: skip
    return chosen or ""


@st.fragment(run_every=EVERY_S)
def _draw(config: Config, clock: Clock, period: Period, agent: str) -> None:
    board = refresh(config, clock)
    if board is None:
        return
    draw_completeness(board)
    if agent:
        _draw_one(config, clock, period, board, agent)
    else:
        _draw_all(config, clock, period, board)


def _draw_all(config: Config, clock: Clock, period: Period, board: Board) -> None:
    rows = ask(config, clock, "agents_active", period)
    if rows is None:
        return
    active = {row["agent"]: row for row in rows}
    if not active and not board.tiles:
        st.info(f"No agent has acted in the last {period.label}.", icon=":material/bedtime:")
        return
    tiles = {tile.agent: tile for tile in board.tiles}
    names = list(active) + sorted(set(tiles) - set(active))
    st.dataframe([_summary(name, tiles.get(name), active.get(name)) for name in names], hide_index=True, key="agents")


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
        "Failed": f"{row['errors'] / actions:.1%}" if row else "",
        "Median": seconds(row["p50_s"]) if row else "",
        "95 %": seconds(row["p95_s"]) if row else "",
        "Tokens": int(row["tokens"]) if row else 0,
        "Cost": money(float(row["cost_usd"])) if row else "",
        "Last seen (UTC)": moment(row["last"]) if row else "",
    }


def _draw_one(config: Config, clock: Clock, period: Period, board: Board, agent: str) -> None:
    tile = next((tile for tile in board.tiles if tile.agent == agent), None)
    if tile is not None:
        _draw_standing(tile, clock)
    with st.container(horizontal=True):
        link(Name.TRACES, "Its traces", ":material/account_tree:", agent=agent, period=period.label)
        link(Name.AUDIT, "Its audit entries", ":material/fact_check:", subject=agent, period=period.label)
    minutes = ask(config, clock, "agent_minutes", period, agent=agent)
    if minutes:
        _draw_minutes(minutes)
    _draw_scores(config, clock, period, agent, board.thresholds)
    _draw_table("What it does", ask(config, clock, "agent_operations", period, agent=agent), _operation, period)
    _draw_table(
        "Whose messages it handled", ask(config, clock, "agent_partners", period, agent=agent), _partner, period
    )


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
        "Cost per minute": money(tile.cost).replace("$", "\\$"),
        "Held messages": str(tile.held),
    }
    for column, (label, value) in zip(st.columns(len(shown)), shown.items(), strict=True):
        column.metric(label, value, border=True)


def _draw_minutes(rows: Rows) -> None:
    tokens, usd = sum(int(row["tokens"]) for row in rows), sum(float(row["cost_usd"]) for row in rows)
    st.caption(f"In the period: {count(tokens)} tokens, {money(usd)}".replace("$", "\\$"))
    points = [
        {"minute": _when(row["minute"]), "what": what, "number": int(row[column])}
        for row in rows
        for what, column in (("actions", "actions"), ("of them failed", "errors"))
    ]
    left, middle, right = st.columns(3)
    left.caption("Actions a minute")
    left.bar_chart(points, x="minute", y="number", color="what", x_label="", y_label="", stack=False)
    middle.caption("Tokens a minute")
    used = [{"minute": _when(row["minute"]), "tokens": int(row["tokens"])} for row in rows]
    middle.bar_chart(used, x="minute", y="tokens", x_label="", y_label="")
    right.caption("Latency a minute, 95 % of actions took less (seconds)")
    latency = [{"minute": _when(row["minute"]), "seconds": float(row["p95_s"])} for row in rows]
    right.line_chart(latency, x="minute", y="seconds", x_label="", y_label="")


def _draw_scores(config: Config, clock: Clock, period: Period, agent: str, limits: Mapping[str, float]) -> None:
    rows = ask(config, clock, "agent_scores", period, agent=agent)
    if not rows:
        return
    st.caption("Its detectors' scores as a share of the limit: at 1 the circuit opens")
    points = [
        {
            "minute": _when(row["at"]),
            "detector": row["detector"],
            "share": float(row["score"]) / limits[row["detector"]],
        }
        for row in rows
        if limits.get(row["detector"])
    ]
    st.line_chart(points, x="minute", y="share", color="detector", x_label="", y_label="score / limit")


def _draw_table(title: str, rows: Rows | None, shape: Shape, period: Period) -> None:
    if rows is None:
        return
    st.subheader(title, anchor=False)
    if rows:
        st.dataframe([shape(row) for row in rows], hide_index=True, key=title)
    else:
        st.caption(f"Nothing in the last {period.label}.")


def _operation(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "Action": row["action"],
        "Operation": visible(row["operation"], 120),
        "Number": int(row["actions"]),
        "Failed": int(row["errors"]),
        "Median": seconds(row["p50_s"]),
        "95 %": seconds(row["p95_s"]),
        "Last (UTC)": moment(row["last"]),
    }


def _partner(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "From": visible(row["partner"], 80),
        "Topic": visible(row["operation"], 120),
        "Messages": int(row["messages"]),
        "Last (UTC)": moment(row["last"]),
    }


def _when(unix: float) -> datetime:
    return datetime.fromtimestamp(float(unix), UTC)
