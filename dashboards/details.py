"""Beneath the board: the kills in force and the processes that listen for Commands."""

from __future__ import annotations

from typing import Final

import streamlit as st

from dashboards.state import memory
from dashboards.text import ago, visible
from dashboards.view import Board, Reported
from fusebox.command import ALL

EVERY_S: Final = 2.0


@st.fragment(run_every=EVERY_S)
def draw_details() -> None:
    """Kills in force and connected processes, as the board last said."""
    board = memory().board
    if board is not None:
        _draw_latches(board)
        _draw_processes(board)


def _draw_latches(board: Board) -> None:
    if not (board.latches or board.reported):
        return
    st.header("Kills in force", anchor=False)
    rows = [
        {
            "Who": _who(latch.scope),
            "Since": ago(board.time - latch.time),
            "Operator": visible(latch.operator, 60),
            "Reason": visible(latch.reason),
        }
        for latch in board.latches
    ] + [
        {
            "Who": who,
            "Since": "",
            "Operator": "watch does not know",
            "Reason": visible(f"it holds in {each.process}; a resume lifts it"),
        }
        for each in board.reported
        for who in _held(each)
    ]
    st.dataframe(rows, hide_index=True, key="latches")


def _held(reported: Reported) -> list[str]:
    """Whom it holds, and that there are more than those that were named."""
    return [*map(_who, reported.scopes), *([f"{reported.more} more"] if reported.more else [])]


def _who(scope: str) -> str:
    return "every agent" if scope == ALL else visible(scope.removeprefix("agent:"), 80)


def _draw_processes(board: Board) -> None:
    st.header("Processes", anchor=False)
    if not board.processes:
        st.caption("No agent process is connected for Commands. Spans alone make an agent visible, not stoppable.")
        return
    rows = [
        {
            "Process": visible(process.process, 60),
            "Host": visible(process.host, 60),
            "Pid": process.pid,
            "Agents": visible(", ".join(process.agents)),
            "Last heard": ago(board.time - process.seen),
        }
        for process in board.processes
    ]
    st.dataframe(rows, hide_index=True, key="processes")
