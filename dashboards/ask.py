"""Rows of a named query, kept for a while, with the states in which there are none: loading, unreachable, empty."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

import streamlit as st

from collector.queries import QUERIES
from dashboards import data, history
from dashboards.filters import Period
from dashboards.history import KeepUnavailable, Rows
from dashboards.state import memory
from fusebox.clock import Clock
from fusebox.config import Config

LASTING_S: Final = 10.0


def ask(config: Config, clock: Clock, name: str, period: Period | None = None, **parameters: Any) -> Rows | None:
    """The answer to the query ``name``; None when there is none (yet), which is then said on the page.

    Args:
        period: up to now, for the query's ``since`` and ``until``. The answer of ten seconds ago is shown while it is
            asked anew.
        parameters: the query's others, without the tenant.
    """
    key = f"{name} {period.label if period else ''} {sorted(parameters.items())}"
    if period:
        now = clock.now()
        times = {"since": now - period.length_s, "until": now}
        parameters |= {each: time for each, time in times.items() if each in QUERIES[name].parameters}
    try:
        rows = memory().history.rows(key, partial(history.run, config, name, **parameters), clock.wall(), LASTING_S)
    except KeepUnavailable:
        st.warning(
            f"keep does not answer, or not this question. Start it with `{data.START}`; what was stored is not lost.",
            icon=":material/database_off:",
        )
        return None
    if rows is None:
        st.caption("Reading…")
    return rows
