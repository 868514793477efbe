"""The page "Audit": what was decided, by whom and why; and a console for questions of one's own, in SQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import streamlit as st

from dashboards.ask import ask, ask_ahead
from dashboards.columns import CHOOSE
from dashboards.console import draw_console
from dashboards.filters import Period, choose, typed
from dashboards.links import Name, link
from dashboards.live import draw_completeness, refresh
from dashboards.sheet import draw_download
from dashboards.standing import standing
from dashboards.text import many, moment, tag, visible
from fusebox.clock import Clock
from fusebox.config import Config

Rows = Sequence[Mapping[str, Any]]
EVERY_S: Final = 5.0


def draw(config: Config, clock: Clock) -> None:
    """The whole page, for one session."""
    st.title("Audit", anchor=False)
    entries, console = st.tabs(["Entries", "SQL"], key="tab", bind="query-params")
    with entries:
        _draw_entries(config, clock)
    with console:
        draw_console(config, clock)


def _draw_entries(config: Config, clock: Clock) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        filters = {
            "kind": typed("Kind", "kind", 160, "all but sql"),
            "actor": typed("By whom", "actor", 180),
            "subject": typed("About", "subject", 180),
            "words": typed("Words", "said", 220),
        }
        period = choose()
    _draw(config, clock, period, filters)


@st.fragment(run_every=EVERY_S)
def _draw(config: Config, clock: Clock, period: Period, filters: Mapping[str, str]) -> None:
    ask_ahead(config, clock, period, "audit_found", **filters)
    ask_ahead(config, clock, period, "audit_kinds")
    board = refresh(config, clock)
    if board is not None:
        draw_completeness(board, clock)
    _draw_verified(ask(config, clock, "ask_unverified"))
    kinds = ask(config, clock, "audit_kinds", period)
    if kinds:
        st.text(" · ".join(f"{visible(row['kind'], 40)} {row['entries']}" for row in kinds))
    key = f"entries-{tag(repr((period, filters)))}"
    rows = standing(key, ask(config, clock, "audit_found", period, **filters))
    if rows is None:
        return
    if not rows:
        st.info(f"No entry of the last {period.label} matches.", icon=":material/search_off:")
        return
    shown = [_entry(row) for row in rows]
    chosen = st.dataframe(
        shown, hide_index=True, key=key, on_select="rerun", selection_mode="single-row",
        column_config={"Reason": st.column_config.TextColumn(width="large")},
    )  # fmt: skip
    draw_download(shown, "audit")
    st.caption(f"{CHOOSE} to read all of an entry; the list stands still meanwhile.")
    for place in chosen["selection"]["rows"][:1]:
        _draw_entry(rows[place])


def _draw_verified(rows: Rows | None) -> None:
    """Up to where somebody has verified each writer's log, and what the copy lacks of it."""
    for row in rows or ():
        writer = visible(row["writer"], 40)
        if row["missing"]:
            st.text(f"{writer}: {int(row['missing'])} numbers are missing from this copy; ask the journal itself")
        if row["unverified"]:
            reached = int(row["verified_to"])
            done = f"verified to number {reached}" if reached >= 0 else "nothing verified yet"
            left = many(int(row["unverified"]), "entry", "entries")
            st.text(f"{writer}: {done}; {left} to go, since {moment(row['since'])}")
        else:
            st.text(f"{writer}: verified to its newest number, {int(row['newest'])}")
    if rows:
        st.caption("`fusebox audit verify` checks the journal and moves these marks.")


def _entry(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "When (UTC)": moment(row["at"]),
        "Kind": visible(row["kind"], 40),
        "By": visible(row["actor"], 80),
        "About": visible(row["subject"], 80),
        "Reason": visible(row["reason"]),
        "Writer": visible(row["writer"], 40),
        "Number": int(row["seq"]),
    }


def _draw_entry(row: Mapping[str, Any]) -> None:
    st.code(visible(row["payload"], 20_000), language="json", wrap_lines=True)
    with st.container(horizontal=True):
        link(Name.WHY, "Why", ":material/route:", id=f"{row['writer']}:{int(row['seq'])}")
        if row["trace_id"]:
            link(Name.TRACES, "Its trace", ":material/account_tree:", trace=str(row["trace_id"]))
        link(Name.AGENTS, "The agent", ":material/smart_toy:", agent=str(row["subject"]))
