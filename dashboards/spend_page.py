"""The page "Tokens and cost": who spends what, on which models, for which workflows, and what of it was wasted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import streamlit as st

from dashboards.ask import ask, ask_ahead
from dashboards.board import draw_budget
from dashboards.columns import COUNT, USD
from dashboards.course import draw_course
from dashboards.filters import Period, choose
from dashboards.live import draw_completeness, refresh
from dashboards.start import draw_start
from dashboards.text import count, money, visible
from dashboards.view import Board
from fusebox.clock import Clock
from fusebox.config import Config

Row = Mapping[str, Any]
EVERY_S: Final = 5.0
_SUMS: Final = ("attempts", "tokens", "cost_usd", "wasted_tokens", "wasted_usd", "unpriced_tokens")
_DRAWN: Final = 12
AGENTS: Final = 8
OTHERS: Final = "all others"
_COLUMNS: Final = {
    "Calls": COUNT, "Tokens": COUNT, "Cost": USD, "Wasted tokens": COUNT, "Wasted": USD,
    "Tokens without a price": COUNT,
}  # fmt: skip


def draw(config: Config, clock: Clock) -> None:
    """The whole page, for one session."""
    st.title("Tokens and cost", anchor=False)
    _draw(config, clock, choose())


@st.fragment(run_every=EVERY_S)
def _draw(config: Config, clock: Clock, period: Period) -> None:
    ask_ahead(config, clock, period, "spend", "spend_by_workflow")
    board = refresh(config, clock)
    if board is None:
        return
    draw_completeness(board, clock)
    rows = ask(config, clock, "spend", period)
    if rows is None:
        return
    if not rows and not board.tiles:
        draw_start(config, "No model was called yet", "Tokens and cost appear here by themselves")
        return
    if not rows:
        st.info(f"No model was called in the last {period.label}.", icon=":material/savings:")
        return
    _draw_sums(rows)
    _draw_course(config, clock, period, agents := summed(rows, "agent"))
    draw_budgets(board)
    _draw_rows("By agent", agents, {"Agent": "agent"})
    _draw_rows("By model", summed(rows, "provider", "model"), {"Provider": "provider", "Model": "model"})
    _draw_rows("By workflow", ask(config, clock, "spend_by_workflow", period), {"Workflow": "workflow"})


def summed(rows: Sequence[Row], *names: str) -> list[Row]:
    """The rows of the query ``spend`` with one left of each ``names``, the dearest first."""
    kinds: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        kinds.setdefault(tuple(row[name] for name in names), []).append(row)
    sums = [dict(zip(names, kind, strict=True)) | _sum(of_kind) for kind, of_kind in kinds.items()]
    return sorted(sums, key=lambda row: (-row["cost_usd"], -row["tokens"]))


def _sum(rows: Sequence[Row]) -> dict[str, Any]:
    return {name: sum(row[name] for row in rows) for name in _SUMS}


def _draw_sums(rows: Sequence[Row]) -> None:
    sums = _sum(rows)
    shown = {
        "Spent": money(float(sums["cost_usd"])).replace("$", "\\$"),
        "Tokens": count(float(sums["tokens"])),
        "Wasted": money(float(sums["wasted_usd"])).replace("$", "\\$"),
        "Model calls": count(float(sums["attempts"])),
    }
    for column, (label, value) in zip(st.columns(len(shown)), shown.items(), strict=True):
        column.metric(label, value, border=True)
    if sums["unpriced_tokens"]:
        st.warning(
            f"{count(float(sums['unpriced_tokens']))} tokens have no known price, so the sums are too low. Give their "
            "models prices of your own, then `fusebox tokens reprice`.",
            icon=":material/money_off:",
        )


def _draw_course(config: Config, clock: Clock, period: Period, agents: Sequence[Row]) -> None:
    """Money over time, by those who spend most."""
    most = tuple(sorted(row["agent"] for row in agents[:AGENTS]))
    rows = ask(config, clock, "spend_course", period, step=period.step_s, agents=most)
    if rows:
        st.caption(f"US dollars every {period.step}, by agent")
        draw_course(
            st.container(), list(map(_spent, rows)), "at", "usd", "agent", mark="bar", stack=True, step_s=period.step_s
        )


def _spent(row: Row) -> dict[str, Any]:
    when = datetime.fromtimestamp(int(row["at"]), UTC)
    return {"at": when, "agent": visible(row["who"], 40) or OTHERS, "usd": float(row["cost_usd"])}


def draw_budgets(board: Board) -> None:
    """How much of each budget is used, what is nearest its end first."""
    used = sorted(((*budget, tile.agent) for tile in board.tiles for budget in tile.budgets), reverse=True)
    if not used:
        return
    st.header("Budgets", anchor=False)
    for number, (share, budget, agent) in enumerate(used[:_DRAWN]):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.text(visible(agent, 60), width=240)
            draw_budget(share, budget, f"of-{number}")


def _draw_rows(title: str, rows: Sequence[Row] | None, names: Mapping[str, str]) -> None:
    if not rows:
        return
    st.header(title, anchor=False)
    st.dataframe([_row(row, names) for row in rows], hide_index=True, key=title, column_config=_COLUMNS)


def _row(row: Row, names: Mapping[str, str]) -> dict[str, Any]:
    told = {label: visible(row[column] or "not told", 80) for label, column in names.items()}
    return told | {
        "Calls": int(row["attempts"]),
        "Tokens": int(row["tokens"]),
        "Cost": float(row["cost_usd"]),
        "Wasted tokens": int(row["wasted_tokens"]),
        "Wasted": float(row["wasted_usd"]),
        "Tokens without a price": int(row["unpriced_tokens"]),
    }
