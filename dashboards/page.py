"""The page "Circuits": what is drawn, in which order, and which part refreshes how often.

The parts that refresh by themselves are fragments: the board every second, the others every two.
What a person types into is outside them, so no refresh takes the text or the focus away.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import streamlit as st

from dashboards import data
from dashboards.actions import draw_dialog, draw_orders
from dashboards.board import FIND, draw_board, draw_summary
from dashboards.charts import draw_rates, draw_tokens
from dashboards.details import draw_details
from dashboards.login import signed_in
from dashboards.state import Asked, Memory, forget, memory
from dashboards.text import ago, hour, lasted, visible
from dashboards.trips import draw_trips
from dashboards.view import Board
from fusebox.clock import Clock
from fusebox.config import Config
from fusebox.control import ControlRefused
from fusebox.errors import ControlUnavailable

EVERY_S: Final = 1.0
BEHIND_S: Final = 30.0
_STYLE: Final = Path(__file__).with_name("style.css")


def draw(config: Config, clock: Clock) -> None:
    """The whole page, for one session."""
    st.html(_STYLE)
    if not signed_in(config, clock):
        return
    _draw_header()
    draw_dialog(config)
    _draw_live(config, clock)
    draw_trips(config, clock)
    draw_tokens(config, clock)
    draw_details()


def _draw_header() -> None:
    with st.container(horizontal=True, vertical_alignment="bottom", key="header"):
        st.title("Fusebox", anchor=False)
        st.text_input("Find an agent, owner or team", key=FIND, icon=":material/search:")
        st.button("Kill all…", key="kill-all", icon=":material/dangerous:", on_click=_ask_all, args=("Kill",))
        st.button("Resume all…", key="resume-all", icon=":material/play_arrow:", on_click=_ask_all, args=("Resume",))
        st.button("Sign out", key="sign-out", type="tertiary", icon=":material/logout:", on_click=forget)


def _ask_all(verb: str) -> None:
    memory().asked = Asked(verb)


@st.fragment(run_every=EVERY_S)
def _draw_live(config: Config, clock: Clock) -> None:
    remembered = memory()
    if not _refresh(config, clock, remembered):
        st.rerun()
    if remembered.board is None:
        return
    _draw_freshness(remembered, remembered.board, clock)
    draw_orders(config)
    with st.container(key="stale" if remembered.silent_since is not None else "fresh"):
        _draw_now(config, remembered.board)


def _refresh(config: Config, clock: Clock, remembered: Memory) -> bool:
    """Read the board; False when the token is no longer good and the session was ended."""
    try:
        remembered.remember(data.board(config, remembered.token), clock.wall())
    except ControlUnavailable:
        remembered.missed(clock.wall())
    except ControlRefused:
        forget("Your token is no longer accepted. Ask for a new one, or sign in again.")
        return False
    return True


def _draw_freshness(remembered: Memory, board: Board, clock: Clock) -> None:
    if remembered.silent_since is not None:
        st.error(
            f"**watch does not answer** since {hour(remembered.silent_since)} "
            f"({lasted(clock.wall() - remembered.silent_since)}). You see the board as it was at "
            f"{hour(remembered.read_at)}. Agents keep the state they have; kills and trips cannot be ordered from here "
            f"until it is back: `{data.START}`",
            icon=":material/cloud_off:",
        )
        return
    st.caption(f"Live · {hour(remembered.read_at)}")
    if board.watermark and board.time - board.watermark > BEHIND_S:
        st.caption(f"The last span that watch has read is from {ago(board.time - board.watermark)}.")
    if board.stored and board.time - board.stored > BEHIND_S:
        st.caption(
            f"History is complete up to {ago(board.time - board.stored)}; what came later may be missing from it."
        )
    if board.incomplete:
        st.warning(
            "**What you see is incomplete.** A quiet agent may be one that is not heard.", icon=":material/warning:"
        )
        for sentence in board.incomplete:
            st.text(visible(sentence))


def _draw_now(config: Config, board: Board) -> None:
    if not board.tiles:
        _draw_empty(config)
    else:
        draw_summary(board)
        draw_rates()
        draw_board(board)


def _draw_empty(config: Config) -> None:
    with st.container(border=True, key="empty"):
        st.subheader("No agent has spoken yet", anchor=False)
        st.caption("Circuits appear here by themselves with the first span of an agent. To see some at work:")
        st.code("fusebox demo", language="bash")
        st.caption("To connect an agent of yours, start it on this machine in the same folder, or tell it:")
        st.code(f"export FUSEBOX_DATA_DIR={config.data_dir.absolute()}", language="bash", wrap_lines=True)
