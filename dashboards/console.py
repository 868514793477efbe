"""The SQL console: a person's own question, asked with that person's token, so limited and audited by *keep* as theirs.

The statement stands in the address: sending the address to a colleague sends the question, never the answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import groupby
from typing import Any, Final

import streamlit as st

from collector import queries
from dashboards import data, history, saved
from dashboards.ask import ask
from dashboards.filters import typed_token
from dashboards.history import KeepUnavailable
from dashboards.oidc import Role
from dashboards.people import Person, may, person
from dashboards.sheet import draw_download
from dashboards.state import memory
from dashboards.text import visible
from fusebox.clock import Clock
from fusebox.config import Config

STATEMENT: Final = "sql"
ROWS: Final = 1_000
_CELL: Final = 500
_FEWEST: Final = 2


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a statement; ``token`` is the one that it was asked with."""

    rows: Sequence[Mapping[str, Any]]
    complaint: str = ""
    token: str = field(default="", repr=False)


def draw_console(config: Config, clock: Clock) -> None:
    """Examples, the statement, its answer as a table and a plot, and the tables there are."""
    st.caption("Read only, limited in time, memory and rows; every statement is kept in the audit log with your name.")
    with st.container(horizontal=True, key="examples"):
        for place, (title, statement) in enumerate(queries.EXAMPLES.items()):
            st.button(title, key=f"example-{place}", type="tertiary", on_click=_put, args=(statement,))
    left, right = st.columns([3, 1])
    with left:
        _draw_statement(config, clock)
    with right:
        _draw_saved(config, clock)
        with st.expander("Tables and columns", icon=":material/schema:"):
            _draw_schema(config, clock)


def _put(statement: str) -> None:
    st.session_state[STATEMENT] = statement


def _draw_statement(config: Config, clock: Clock) -> None:
    with st.form("console", border=False, enter_to_submit=False):
        statement = st.text_area("Statement", key=STATEMENT, height=160, bind="query-params", max_chars=20_000).strip()
        token = memory().token or typed_token("Your own token (of `fusebox readers` or `operators`)")
        asked = st.form_submit_button("Run", type="primary", icon=":material/play_arrow:", key="run-sql")
        with st.container(horizontal=True, vertical_alignment="bottom"):
            title = st.text_input("Keep it as", key="title", max_chars=saved.TITLE, width=300).strip()
            keep = st.form_submit_button("Keep this statement", key="keep-sql")
    who = person(config, clock)
    if keep and who is not None:
        _keep(config, who, title, statement)
    if asked and not statement:
        st.error("Write a statement, or begin with an example above.")
    elif asked and may(config, clock, Role.AUDITOR):
        _ask(config, token, statement)
    pending = memory().console
    if pending is not None:
        _draw_pending(pending)


def _ask(config: Config, token: str, statement: str) -> None:
    if token:
        memory().console = history.submit(_run, config, token, statement)
    else:
        st.error("Enter your own token: a statement is asked, limited and written down in your name.")


def _draw_saved(config: Config, clock: Clock) -> None:
    """What this person keeps: a click puts it into the field."""
    who = person(config, clock)
    if who is None:
        return
    with st.expander("Kept by you", icon=":material/bookmark:"):
        kept = saved.saved(config, who)
        chosen = st.selectbox(
            "Statement", list(kept), index=None, key="kept", format_func=visible, placeholder=f"{len(kept)} kept"
        )
        if chosen is not None and chosen in kept:
            st.button("Use", key="use-kept", on_click=_put, args=(kept[chosen],))
            st.button("Forget", key="forget-kept", on_click=saved.forget, args=(config, who, chosen))


def _keep(config: Config, who: Person, title: str, statement: str) -> None:
    if not title or not statement:
        st.error("Write a statement, and a title to keep it under.")
        return
    try:
        saved.save(config, who, title, statement)
    except saved.Full:
        st.error(f"You keep {saved.MOST} statements; forget one first.")


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
    memory().token = answer.token
    _draw_answer(answer.rows)


def _draw_answer(rows: Sequence[Mapping[str, Any]]) -> None:
    if not rows:
        st.info("No rows.")
        return
    shown = [{visible(name, 60): _shown(value) for name, value in row.items()} for row in rows]
    st.caption(f"{len(rows)} rows" + (f", the first {ROWS} of them" if len(rows) == ROWS else ""))
    st.dataframe(shown, hide_index=True, key="answer")
    draw_download(shown, "answer")
    _draw_plot(shown)


def _draw_plot(shown: Sequence[Mapping[str, Any]]) -> None:
    """One number of each row over what the row is about; numbers of several units in one plot would tell nothing."""
    numbers = [name for name, value in shown[0].items() if isinstance(value, int | float)]
    names = [name for name in shown[0] if name not in numbers]
    if len(shown) < _FEWEST or not numbers or not names:
        return
    chosen = st.selectbox("Plot", numbers, key="plotted", width=300)
    points = [{"row": " · ".join(str(row[name]) for name in names), "number": row[chosen]} for row in shown]
    st.bar_chart(points, x="row", y="number", x_label="", y_label=chosen, sort=False)


def _shown(value: Any) -> Any:
    if value is None or isinstance(value, int | float):
        return value
    if hasattr(value, "isoformat"):
        return value.isoformat(sep=" ")
    return float(value) if isinstance(value, Decimal) else visible(value, _CELL)


def _run(config: Config, token: str, statement: str) -> Answer:
    try:
        return Answer(data.select(config, token, statement, ROWS), token=token)
    except KeepUnavailable as error:
        return Answer((), str(error))


@st.fragment(run_every=5.0)
def _draw_schema(config: Config, clock: Clock) -> None:
    rows = ask(config, clock, "columns")
    for table, columns in groupby(rows or (), key=lambda row: row["table"]):
        st.caption(f"`{table}`")
        st.text(", ".join(f"{row['name']} {row['type']}" for row in columns))
