"""Rows of a named query, kept for a while, with the states in which there are none: loading, unreachable, empty."""

from __future__ import annotations

from collections.abc import Callable
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
FIRST_S: Final = 3.0
"""How long a page that has nothing to show yet waits for an answer."""


def ask_ahead(config: Config, clock: Clock, period: Period, *names: str) -> None:
    """Put these questions now, all at once, which :func:`ask` will wait for one after the other."""
    for name in names:
        key, question = _question(config, clock, name, period, {})
        memory().history.ask(key, question, clock.wall(), LASTING_S)


def ask(config: Config, clock: Clock, name: str, period: Period | None = None, **parameters: Any) -> Rows | None:
    """The answer to the query ``name``; None when there is none (yet), which is then said on the page.

    Args:
        period: up to now, for the query's ``since`` and ``until``. The answer of ten seconds ago is shown while it is
            asked anew.
        parameters: the query's others, without the tenant.
    """
    key, question = _question(config, clock, name, period, parameters)
    place = st.empty()
    place.caption("Reading…")
    try:
        rows = memory().history.rows(key, question, clock.wall(), LASTING_S, FIRST_S)
    except KeepUnavailable:
        place.warning(
            f"keep does not answer, or not this question. Start it with `{data.START}`; what was stored is not lost.",
            icon=":material/database_off:",
        )
        return None
    if rows is not None:
        place.empty()
    return rows


def _question(
    config: Config, clock: Clock, name: str, period: Period | None, parameters: dict[str, Any]
) -> tuple[str, Callable[[], Rows]]:
    """What the answer is remembered by, and how it is got."""
    key = f"{name} {period.label if period else ''} {sorted(parameters.items())}"
    if period:
        now = clock.now()
        times = {"since": now - period.length_s, "until": now}
        parameters = parameters | {each: time for each, time in times.items() if each in QUERIES[name].parameters}
    return key, partial(history.run, config, name, **parameters)
