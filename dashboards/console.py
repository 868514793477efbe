"""The SQL console: a person's own question, asked with that person's token, so limited and audited by *keep* as theirs.

The statement stands in the address: sending the address to a colleague sends the question, never the answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from decimal import Decimal
from itertools import groupby
from typing import Any, Final

import streamlit as st

from collector import queries
from dashboards import data, history
from dashboards.ask import ask
from dashboards.history import KeepUnavailable
from dashboards.sheet import draw_download
from dashboards.state import memory
from dashboards.text import visible
from fusebox.clock import Clock
from fusebox.config import Config

STATEMENT: Final = "sql"
ROWS: Final = 1_000
_CELL: Final = 500
_PLOTTED: Final = 2


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a statement."""

    rows: Sequence[Mapping[str, Any]]
    complaint: str = ""


def draw_console(config: Config, clock: Clock) -> None:
    """Examples, the statement, its answer as a table and a plot, and the tables there are."""
    st.caption("Read only, limited in time, memory and rows; every statement is kept in the audit log with your name.")
    with st.container(horizontal=True, key="examples"):
        for place, (title, statement) in enumerate(queries.EXAMPLES.items()):
            st.button(title, key=f"example-{place}", type="tertiary", on_click=_put, args=(statement,))
    left, right = st.columns([3, 1])
    with left:
        _draw_statement(config)
    with right, st.expander("Tables and columns", icon=":material/schema:"):
        _draw_schema(config, clock)


def _put(statement: str) -> None:
    st.session_state[STATEMENT] = statement


def _draw_statement(config: Config) -> None:
    with st.form("console", border=False, enter_to_submit=False):
        statement = st.text_area("Statement", key=STATEMENT, height=160, bind="query-params", max_chars=20_000).strip()
        asked = st.form_submit_button("Run", type="primary", icon=":material/play_arrow:", key="run-sql")
    if asked and statement:
        memory().console = history.submit(_run, config, memory().token, statement)
    pending = memory().console
    if pending is not None:
        _draw_pending(pending)


@st.fragment(run_every=1.0)
def _draw_pending(pending: Future[Answer]) -> None:
    if not pending.done():
        st.caption("Running…")
        return
    answer = pending.result()
    if answer.complaint:
        st.error("The database refused this statement or could not finish it.")
        st.code(visible(answer.complaint, 2_000), language=None, wrap_lines=True)
        return
    _draw_answer(answer.rows)


def _draw_answer(rows: Sequence[Mapping[str, Any]]) -> None:
    if not rows:
        st.info("No rows.")
        return
    shown = [{visible(name, 60): _shown(value) for name, value in row.items()} for row in rows]
    st.caption(f"{len(rows)} rows" + (f", the first {ROWS} of them" if len(rows) == ROWS else ""))
    st.dataframe(shown, hide_index=True, key="answer")
    draw_download(shown, "answer")
    numbers = [name for name, value in shown[0].items() if isinstance(value, int | float)]
    first = next(iter(shown[0]))
    if len(rows) > 1 and first not in numbers and numbers:
        st.bar_chart(shown, x=first, y=numbers[:_PLOTTED], x_label="", y_label="")


def _shown(value: Any) -> Any:
    if value is None or isinstance(value, int | float):
        return value
    if hasattr(value, "isoformat"):
        return value.isoformat(sep=" ")
    return float(value) if isinstance(value, Decimal) else visible(value, _CELL)


def _run(config: Config, token: str, statement: str) -> Answer:
    try:
        return Answer(data.select(config, token, statement, ROWS))
    except KeepUnavailable as error:
        return Answer((), str(error))


@st.fragment(run_every=5.0)
def _draw_schema(config: Config, clock: Clock) -> None:
    rows = ask(config, clock, "columns")
    for table, columns in groupby(rows or (), key=lambda row: row["table"]):
        st.caption(f"`{table}`")
        st.text(", ".join(f"{row['name']} {row['type']}" for row in columns))
