"""Ways from one page to another. A page's filters stand in its address, so what is seen can be sent to somebody."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

import streamlit as st
from streamlit.navigation.page import Page

_KEY: Final = "fusebox-pages"


class Name(StrEnum):
    """The pages, as they stand in the address."""

    BOARD = "board"
    INCIDENT = "incident"
    APPROVALS = "approvals"
    AGENTS = "agents"
    TRACES = "traces"
    WHY = "why"
    SPEND = "spend"
    AUDIT = "audit"
    HEALTH = "health"


def remember(pages: Mapping[Name, Page]) -> None:
    """Keep the pages of this run, which links need."""
    st.session_state[_KEY] = pages


def link(name: Name, label: str, icon: str, **filters: str) -> None:
    """Draw a link to another page, if this person has it. ``label`` and ``icon`` are ours: they are read as markup."""
    page = st.session_state[_KEY].get(name)
    if page is not None:
        st.page_link(page, label=label, icon=icon, query_params=filters)
