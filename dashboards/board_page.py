"""The page "Board": what is drawn, in which order, and which part refreshes how often.

The parts that refresh by themselves are fragments: the board every second, the others every two.
What a person types into is outside them, so no refresh takes the text or the focus away.
"""

from __future__ import annotations

from typing import Final

import streamlit as st

from dashboards.actions import draw_dialog, draw_orders
from dashboards.board import FIND, draw_board, draw_summary
from dashboards.charts import draw_rates, draw_tokens
from dashboards.details import draw_details
from dashboards.live import draw_freshness, refresh
from dashboards.oidc import Role
from dashboards.people import may
from dashboards.state import Asked, memory
from dashboards.trips import draw_trips
from dashboards.view import Board
from fusebox.clock import Clock
from fusebox.config import Config

EVERY_S: Final = 1.0


def draw(config: Config, clock: Clock) -> None:
    """The whole page, for one session."""
    acting = may(config, clock, Role.OPERATOR)
    _draw_header(acting=acting)
    draw_dialog(config, clock)
    _draw_live(config, clock)
    draw_trips(config, clock)
    draw_tokens(config, clock)
    draw_details()


def _draw_header(*, acting: bool) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom", key="header"):
        st.title("Fusebox", anchor=False)
        st.text_input("Find an agent, owner or team", key=FIND, icon=":material/search:", bind="query-params")
        if acting:
            st.button("Kill all…", key="kill-all", icon=":material/dangerous:", on_click=_ask_all, args=("Kill",))
            st.button(
                "Resume all…", key="resume-all", icon=":material/play_arrow:", on_click=_ask_all, args=("Resume",)
            )


def _ask_all(verb: str) -> None:
    memory().asked = Asked(verb)


@st.fragment(run_every=EVERY_S)
def _draw_live(config: Config, clock: Clock) -> None:
    board = refresh(config, clock)
    if board is None:
        return
    draw_freshness(board, clock)
    draw_orders(config)
    with st.container(key="stale" if memory().silent_since is not None else "fresh"):
        _draw_now(config, board, acting=may(config, clock, Role.OPERATOR))


def _draw_now(config: Config, board: Board, *, acting: bool) -> None:
    if not board.tiles:
        _draw_empty(config)
    else:
        draw_summary(board)
        draw_rates()
        draw_board(board, acting=acting)


def _draw_empty(config: Config) -> None:
    with st.container(border=True, key="empty"):
        st.subheader("No agent has spoken yet", anchor=False)
        st.caption("Circuits appear here by themselves with the first span of an agent. To see some at work:")
        st.code("fusebox demo", language="bash")
        st.caption("To connect an agent of yours, start it on this machine in the same folder, or tell it:")
        st.code(f"export FUSEBOX_DATA_DIR={config.data_dir.absolute()}", language="bash", wrap_lines=True)
