"""What one browser session remembers. The operator's token lives here and nowhere else.

Everything is in Streamlit's session state, in the server's memory: a reload of the page forgets it, and with it the
token. Nothing is written to disk, a cookie or the address.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Final

import streamlit as st

from collector.why import Direction, Why
from dashboards.data import Order
from dashboards.view import Board

HISTORY: Final = 180
ORDERS: Final = 5
_KEY: Final = "fusebox"


@dataclass(frozen=True, slots=True)
class Asked:
    """What a person wants to do and has not confirmed. ``agent`` is empty for every agent."""

    verb: str
    agent: str = ""


@dataclass(slots=True)
class Memory:
    """One session.

    ``board`` is the last answer of *watch* and ``read_at`` (Unix seconds) when it came; ``silent_since`` is set while
    *watch* does not answer. ``rates`` are sums over all agents at each reading: actions, tokens, US dollars a minute.
    ``console`` is the statement being run, ``chosen`` the trace that was clicked in a list.
    """

    token: str = field(default="", repr=False)
    role: int = 0
    """The role for which the page was drawn, see :class:`dashboards.oidc.Role`."""
    notice: str = ""
    you: str = ""
    """The name under which *watch* knows this session's token."""
    board: Board | None = None
    read_at: float = 0.0
    silent_since: float | None = None
    rates: deque[tuple[float, float, float]] = field(default_factory=lambda: deque(maxlen=HISTORY))
    orders: deque[Order] = field(default_factory=lambda: deque(maxlen=ORDERS))
    asked: Asked | None = None
    console: Future[Any] | None = None
    chosen: str = ""
    why: Why | None = None
    """The last answer on the page "Why", and what was asked."""
    why_asked: tuple[str, Direction] | None = None

    @property
    def stored(self) -> float:
        """The database's watermark as the board last said it (Unix seconds); 0: not known."""
        return self.board.stored if self.board else 0.0

    def remember(self, board: Board, you: str, at: float) -> None:
        """Take in a fresh answer of *watch*."""
        self.you = you
        self.board, self.read_at, self.silent_since = board, at, None
        tiles = board.tiles
        self.rates.append((sum(t.actions for t in tiles), sum(t.tokens for t in tiles), sum(t.cost for t in tiles)))

    def missed(self, at: float) -> None:
        """*watch* did not answer at ``at``; what was known stays."""
        if self.silent_since is None:
            self.silent_since = at


def memory() -> Memory:
    """This session's memory."""
    if _KEY not in st.session_state:
        st.session_state[_KEY] = Memory()
    found: Memory = st.session_state[_KEY]
    return found


def forget(notice: str = "") -> None:
    """Sign out; ``notice`` is shown above the next login form."""
    st.session_state.clear()
    st.session_state[_KEY] = Memory(notice=notice)
