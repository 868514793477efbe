"""Rows of a named query, kept for a while, with the states in which there are none: loading, unreachable, empty."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import partial
from typing import Any, Final

import streamlit as st

from collector.queries import QUERIES
from dashboards import data, history
from dashboards.filters import Period
from dashboards.history import HISTORY, KeepUnavailable, Rows
from dashboards.state import memory
from fusebox.clock import Clock
from fusebox.config import Config

LASTING_S: Final = 10.0
FIRST_S: Final = 3.0
"""How long a page that has nothing to show yet waits for an answer."""


def ask_ahead(config: Config, clock: Clock, period: Period | None, *names: str, **parameters: Any) -> None:
    """Put these questions now, all at once, which :func:`ask` will wait for one after the other.

    It is called before the board is read, which takes as long as the database does.
    """
    for name in names:
        key, question = _question(config, clock, name, period, parameters)
        HISTORY.ask(key, question, clock.wall(), LASTING_S, memory().stored)


def ask(config: Config, clock: Clock, name: str, period: Period | None = None, **parameters: Any) -> Rows | None:
    """The answer to the query ``name``; None when there is none (yet), which is then said on the page.

    Args:
        period: up to now, for the query's ``since`` and ``until``. The answer that somebody had ten seconds ago is
            shown while it is asked anew.
        parameters: the query's others, without the tenant; a list as a tuple.
    """
    key, question = _question(config, clock, name, period, parameters)
    place = st.empty()
    place.caption("Reading…")
    try:
        rows = HISTORY.rows(key, question, clock.wall(), LASTING_S, FIRST_S, memory().stored)
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
) -> tuple[Hashable, Callable[[], Rows]]:
    """What the answer is remembered by, and how it is got."""
    key: tuple[Hashable, ...] = (config, name, tuple(sorted(parameters.items())))
    if period and "since" in QUERIES[name].parameters:
        now, key = clock.now(), (*key, period)
        times = {"since": now - period.length_s, "until": now}
        parameters = parameters | {each: time for each, time in times.items() if each in QUERIES[name].parameters}
    plain = {each: list(value) if isinstance(value, tuple) else value for each, value in parameters.items()}
    return key, partial(history.run, config, name, **plain)
