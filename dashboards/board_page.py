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
from dashboards.start import draw_start
from dashboards.state import Asked, memory
from dashboards.trips import draw_trips
from dashboards.view import Board
from fusebox.clock import Clock
from fusebox.config import Config

EVERY_S: Final = 1.0


def draw(config: Config, clock: Clock) -> None:
    """The whole page, for one session."""
    silent = memory().silent_since is not None
    _draw_header(silent, acting=may(config, clock, Role.OPERATOR))
    draw_dialog(config, clock)
    _draw_live(config, clock, silent)
    draw_trips(config, clock)
    draw_tokens(config, clock)
    draw_details()


def _draw_header(silent: bool, *, acting: bool) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom", key="header"):
        st.title("Fusebox", anchor=False)
        st.text_input("Find an agent, owner or team", key=FIND, icon=":material/search:", bind="query-params")
        if acting:
            _button("Kill", ":material/dangerous:", silent)
            _button("Resume", ":material/play_arrow:", silent)


def _button(verb: str, icon: str, silent: bool) -> None:
    key = f"{verb.lower()}-all"
    st.button(f"{verb} all…", key=key, icon=icon, on_click=_ask_all, args=(verb,), disabled=silent)


def _ask_all(verb: str) -> None:
    memory().asked = Asked(verb)


@st.fragment(run_every=EVERY_S)
def _draw_live(config: Config, clock: Clock, silent: bool) -> None:
    """The board; ``silent`` is whether *watch* was when the page's buttons were drawn."""
    board = refresh(config, clock)
    if (memory().silent_since is not None) is not silent and memory().asked is None:
        st.rerun()  # of the whole page, which owns them; never over what a dialog has just said
    if board is None:
        return
    draw_freshness(board, clock)
    draw_orders(config)
    with st.container(key="stale" if memory().silent_since is not None else "fresh"):
        _draw_now(config, board, acting=may(config, clock, Role.OPERATOR))


def _draw_now(config: Config, board: Board, *, acting: bool) -> None:
    if not board.tiles:
        draw_start(config, "No agent has spoken yet", "Circuits appear here by themselves")
    else:
        draw_summary(board)
        with st.container(key="rates"):
            draw_rates()
        draw_board(board, acting=acting)
