"""Tables of which a row can be chosen: while one is, the table stands still.

Streamlit knows a chosen row by its place. A list that went on would put another row there, under the eyes of whoever
reads what the chosen one says; and one that is not drawn for a moment would forget what was chosen.
"""

from __future__ import annotations

from typing import Final

import streamlit as st

from dashboards.history import Rows

_KEY: Final = "fusebox-standing"


def standing(key: str, rows: Rows | None) -> Rows | None:
    """What the table ``key`` shows: ``rows``, or those of which one is chosen.

    Args:
        key: names the table, and all that decides what is listed in it.
        rows: those of now; None while nobody knows them.
    """
    table = st.session_state.get(key)
    if not (table and table["selection"]["rows"]):
        st.session_state[_KEY] = key, rows
    kept: tuple[str, Rows | None] = st.session_state.get(_KEY, ("", rows))
    return kept[1] if kept[0] == key else rows
