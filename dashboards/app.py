"""What ``streamlit run`` runs for each session."""

from pathlib import Path

import streamlit as st

from dashboards import page, why_page
from fusebox.clock import system_clock
from fusebox.config import load_config


def circuits() -> None:
    """The first page."""
    page.draw(load_config(), system_clock())


def causes() -> None:
    """From an effect to its causes, and the other way."""
    why_page.draw(load_config(), system_clock())


st.set_page_config(page_title="Fusebox", page_icon=Path(__file__).with_name("icon.svg"), layout="wide")
st.navigation(
    [
        st.Page(circuits, title="Circuits", icon=":material/grid_view:", default=True),
        st.Page(causes, title="Why", icon=":material/account_tree:", url_path="why"),
    ],
    position="top",
).run()
