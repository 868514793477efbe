"""How busy the agents are: sums as seen live, and tokens per minute of each from the database."""

from __future__ import annotations

from typing import Final

import streamlit as st

from dashboards import history
from dashboards.state import memory
from dashboards.text import count, money, visible
from fusebox.config import Config

EVERY_S: Final = 10.0
MINUTES: Final = 30
HEIGHT: Final = 150


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
def draw_tokens(config: Config) -> None:
    """Tokens per minute of the agents that use most, for the last half hour."""
    st.subheader("Tokens per minute", anchor=False)
    try:
        points = history.tokens_by_minute(config, memory().token, MINUTES)
    except history.KeepUnavailable as error:
        st.caption("keep does not answer, so there is no history to draw. The rates on the tiles come from watch.")
        st.text(visible(error))
        return
    if not points:
        st.caption(f"No tokens were used in the last {MINUTES} minutes.")
        return
    st.line_chart(points, x="minute", y="tokens", color="agent", x_label="", y_label="tokens")
