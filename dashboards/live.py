"""The board as *watch* says it, read again when it is old; and how far what you see can be trusted."""

from __future__ import annotations

from typing import Final

import streamlit as st

from dashboards import data
from dashboards.people import person, reading
from dashboards.state import forget, memory
from dashboards.text import ago, hour, lasted, visible
from dashboards.view import Board
from fusebox.clock import Clock
from fusebox.config import Config
from fusebox.control import ControlRefused
from fusebox.errors import ControlUnavailable

BEHIND_S: Final = 30.0
AGAIN_S: Final = 2.0


@st.fragment(run_every=AGAIN_S)
def await_board(config: Config, clock: Clock) -> None:
    """Say that *watch* does not answer, and draw the page anew as soon as it does."""
    if refresh(config, clock) is not None:
        st.rerun()


def refresh(config: Config, clock: Clock) -> Board | None:
    """The board of now, the last one while *watch* is silent; None when there never was one.

    A token that is no longer good ends the session, a role that has changed draws the page anew.
    """
    remembered, who = memory(), person(config, clock)
    if who is None or who.role != remembered.role:
        st.rerun()
    try:
        remembered.remember(*data.board(config, reading(config)), clock.wall())
    except ControlUnavailable:
        remembered.missed(clock.wall())
    except ControlRefused as error:
        _refused(config, error)
    if remembered.board is None:
        st.error(f"**watch does not answer.** Start it with `{data.START}`.", icon=":material/cloud_off:")
    return remembered.board


def _refused(config: Config, error: ControlRefused) -> None:
    if config.oidc_file is None:
        forget("Your token is no longer accepted. Ask for a new one, or sign in again.")
        st.rerun()
    st.error(
        "watch refuses this dashboard's own token, `dashboard.token` in its data folder.", icon=":material/key_off:"
    )
    st.text(visible(error))
    st.stop()


def draw_freshness(board: Board, clock: Clock) -> None:
    """One line when all is well; what is missing, in words, when it is not."""
    if memory().silent_since is None:
        st.caption(f"Live · {hour(memory().read_at)}")
        if board.watermark and board.time - board.watermark > BEHIND_S:
            st.caption(f"The last span that watch has read is from {ago(board.time - board.watermark)}.")
    draw_completeness(board, clock)


def draw_completeness(board: Board, clock: Clock) -> None:
    """Up to when history is complete, and what is known to be missing from it; while *watch* is silent, that."""
    remembered = memory()
    if remembered.silent_since is not None:
        _draw_silence(remembered.silent_since, remembered.read_at, clock.wall())
        return
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


def _draw_silence(since: float, read_at: float, now: float) -> None:
    st.error(
        f"**watch does not answer** since {hour(since)} ({lasted(now - since)}). You see the board as it was at "
        f"{hour(read_at)}. Agents keep the state they have; kills and trips cannot be ordered from here "
        f"until it is back: `{data.START}`",
        icon=":material/cloud_off:",
    )
