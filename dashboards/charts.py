"""How busy the agents are: sums as seen live, and tokens per minute of each from the database."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

import streamlit as st

from dashboards import history
from dashboards.course import draw_course
from dashboards.history import HISTORY, KeepUnavailable
from dashboards.state import memory
from dashboards.text import count, money, visible
from fusebox.clock import Clock
from fusebox.config import Config

Rows = Sequence[Mapping[str, Any]]
EVERY_S: Final = 2.0
LASTING_S: Final = 10.0
MINUTES: Final = 30
MINUTE_S: Final = 60
HEIGHT: Final = 130
AGENTS: Final = 8
OTHERS: Final = "all others"


def draw_rates() -> None:
    """Actions, tokens and cost per minute over all agents, each with its course since this page was opened."""
    rates = memory().rates
    if not rates:
        return
    actions, tokens, cost = zip(*rates, strict=True)
    shown = {
        "Actions per minute": (count(actions[-1]), actions),
        "Tokens per minute": (count(tokens[-1]), tokens),
        "Cost per minute": (money(cost[-1]).replace("$", "\\$"), cost),
    }
    for column, (label, (value, course)) in zip(st.columns(3), shown.items(), strict=True):
        column.metric(label, value, chart_data=course, chart_type="area", border=True, height=HEIGHT)


@st.fragment(run_every=EVERY_S)
def draw_tokens(config: Config, clock: Clock) -> None:
    """Tokens per minute of the agents that use most, for the last half hour."""
    st.header("Tokens by agent", anchor=False)
    ask = partial(history.tokens_by_minute, config, clock.now() - MINUTES * MINUTE_S)
    try:
        rows = HISTORY.rows((config, "tokens"), ask, clock.wall(), LASTING_S, mark=memory().stored)
    except KeepUnavailable:
        st.caption("keep does not answer, so there is no history to draw. The rates on the tiles come from watch.")
        return
    if rows is None:
        st.caption("Reading the last half hour…")
    elif not any(row["tokens"] for row in rows):
        st.caption(f"No tokens were used in the last {MINUTES} minutes.")
    else:
        draw_course(st.container(), points(rows), "minute", "tokens", "agent", title="tokens per minute")


def points(rows: Rows) -> list[dict[str, Any]]:
    """A point for every minute and every line, zeros included, from the minute before the first tokens on."""
    names = _lines(rows)
    used: Counter[tuple[str, int]] = Counter()
    for row in rows:
        used[names[row["agent"]], int(row["minute"])] += int(row["tokens"])
    minutes = [minute for _, minute in used]
    return [
        {"minute": datetime.fromtimestamp(minute, UTC), "agent": name, "tokens": used[name, minute]}
        for name in sorted(set(names.values()))
        for minute in range(min(minutes) - MINUTE_S, max(minutes) + MINUTE_S, MINUTE_S)
    ]


def _lines(rows: Rows) -> dict[str, str]:
    """The line each agent is drawn in: its own for the :data:`AGENTS` that use most, one for all others."""
    used: Counter[str] = Counter()
    for row in rows:
        used[row["agent"]] += int(row["tokens"])
    most = {agent for agent, _ in used.most_common(AGENTS)}
    return {agent: visible(agent, 40) if agent in most else OTHERS for agent in used}
