"""The page "Health": does what agents say arrive, is it stored, and do processes hear what they are ordered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

import streamlit as st

from dashboards import data
from dashboards.ask import ask, ask_ahead
from dashboards.board import Look
from dashboards.details import draw_details
from dashboards.filters import Period, choose
from dashboards.history import HISTORY
from dashboards.links import Name, link
from dashboards.live import draw_freshness, refresh
from dashboards.text import ago, count, lasted, moment, visible
from dashboards.view import Board
from fusebox.clock import Clock
from fusebox.config import Config
from fusebox.version import __version__

Row = Mapping[str, Any]
EVERY_S: Final = 2.0
_SPOOL: Final = "fusebox_spool_bytes"
_OLDEST: Final = "fusebox_spool_oldest_seconds"
_QUARANTINED: Final = "fusebox_spool_quarantined"
_REFUSED: Final = "otelcol_receiver_refused_spans_total"
_WELL: Final = Look("is well", ":material/check_circle:", "green")
_FAILING: Final = Look("is not well", ":material/error:", "red")


def draw(config: Config, clock: Clock) -> None:
    """The whole page, for one session."""
    st.title("Health", anchor=False)
    period = choose()
    _draw(config, clock, period)
    draw_details()


@st.fragment(run_every=EVERY_S)
def _draw(config: Config, clock: Clock, period: Period) -> None:
    ask_ahead(config, clock, period, "span_gaps", "dead_letters_by_reason", "written", "versions")
    board = refresh(config, clock)
    if board is None:
        return
    draw_freshness(board, clock)
    _draw_roles(config, clock)
    _draw_flow(board)
    _draw_spool(config, clock)
    _draw_awaited(board)
    _draw_counters(board)
    _draw_gaps(ask(config, clock, "span_gaps", period))
    _draw_letters(ask(config, clock, "dead_letters_by_reason", period))
    _draw_tables(ask(config, clock, "written", period), ask(config, clock, "versions", period))


def _draw_roles(config: Config, clock: Clock) -> None:
    rows = HISTORY.rows((config, "roles"), partial(data.roles, config), clock.wall(), EVERY_S) or ()
    with st.container(horizontal=True, key="roles"):
        for row in rows:
            look = _FAILING if row["trouble"] else _WELL
            st.badge(f"{row['role']} {look.word}", icon=look.icon, color=look.color)
    for row in rows:
        if row["trouble"]:
            st.text(f"{row['role']}: {visible(row['trouble'])}")


def _draw_flow(board: Board) -> None:
    shown = {
        "Judged up to": ago(board.time - board.watermark) if board.watermark else "nothing yet",
        "Stored up to": ago(board.time - board.stored) if board.stored else "not known",
        "Processes": str(len(board.processes)),
        "Alerts waiting": str(board.alerts.get("pending", 0)),
        "Alerts not delivered": str(board.alerts.get("failed", 0)),
    }
    for column, (label, value) in zip(st.columns(len(shown)), shown.items(), strict=True):
        column.metric(label, value, border=True)


def _draw_spool(config: Config, clock: Clock) -> None:
    """What waits before the database, and what never got that far."""
    ask_role = partial(_figures, config, "receive")
    found = (HISTORY.rows((config, "spool"), ask_role, clock.wall(), EVERY_S) or [{}])[0]
    shown = {
        "Bytes in the spool": (_SPOOL, count),
        "Oldest not stored yet": (_OLDEST, lasted),
        "Damaged segments": (_QUARANTINED, count),
        "Spans refused": (_REFUSED, count),
    }
    for column, (label, (name, read)) in zip(st.columns(len(shown)), shown.items(), strict=True):
        column.metric(label, read(found[name]) if name in found else "not known", border=True)


def _figures(config: Config, role: str) -> list[dict[str, Any]]:
    return [data.figures(config, role)]


def _draw_awaited(board: Board) -> None:
    st.header("Receipts outstanding", anchor=False)
    if not board.awaited:
        st.caption("Every process has confirmed every Command.")
        return
    st.dataframe(
        [
            {
                "Command": each.order, "For": visible(each.scope, 80), "Sent": ago(each.age),
                "State": "OVERDUE: it may still act" if each.overdue else "on its way",
                "Not confirmed by": visible(", ".join(each.missing)),
            }
            for each in board.awaited
        ],
        hide_index=True, key="awaited",
    )  # fmt: skip


def _draw_counters(board: Board) -> None:
    if board.counters:
        with st.expander("What watch met since it started", icon=":material/list:"):
            rows = [{"What": visible(name, 80), "Times": number} for name, number in sorted(board.counters.items())]
            st.dataframe(rows, hide_index=True, key="counters")


def _draw_gaps(rows: Sequence[Row] | None) -> None:
    if rows is None:
        return
    st.header("Gaps", anchor=False)
    if not rows:
        st.caption("No numbered span is missing.")
        return
    st.dataframe(
        [
            {
                "Service": visible(row["service"], 80), "Emitter": visible(row["emitter"], 60),
                "Stored": int(row["stored"]), "Missing": int(row["missing"]), "Given up by it": int(row["dropped"]),
                "Last (UTC)": moment(row["last"]),
            }
            for row in rows
        ],
        hide_index=True, key="gaps",
    )  # fmt: skip


def _draw_letters(rows: Sequence[Row] | None) -> None:
    if rows is None:
        return
    st.header("Dead letters", anchor=False)
    if not rows:
        st.caption("The database took everything it was given.")
        return
    st.dataframe(
        [
            {
                "Reason": visible(row["reason"]), "Letters": int(row["letters"]), "Bytes": int(row["bytes"]),
                "Last (UTC)": moment(row["last"]),
            }
            for row in rows
        ],
        hide_index=True, key="letters",
    )  # fmt: skip
    st.caption("When the cause is mended: `fusebox collector replay-dead`.")
    link(Name.AUDIT, "Earlier replays", ":material/fact_check:", kind="replay_dead")


def _draw_tables(rows: Sequence[Row] | None, versions: Sequence[Row] | None) -> None:
    if rows:
        with st.expander("What is stored", icon=":material/database:"):
            shown = [
                {"Table": visible(row["table"], 60), "Rows": int(row["rows"]), "Bytes": count(float(row["bytes"] or 0))}
                for row in rows
            ]
            st.dataframe(shown, hide_index=True, key="tables")
    engine = f" · ClickHouse {visible(versions[0]['clickhouse'], 30)}" if versions else ""
    st.caption(f"Fusebox {__version__}{engine}")
