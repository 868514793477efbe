"""What ``streamlit run`` runs for each session. Later pages are added to the list."""

from pathlib import Path

import streamlit as st

from dashboards.page import draw
from fusebox.clock import system_clock
from fusebox.config import load_config


def circuits() -> None:
    """The first page."""
    draw(load_config(), system_clock())


st.set_page_config(page_title="Fusebox", page_icon=Path(__file__).with_name("icon.svg"), layout="wide")
st.navigation([st.Page(circuits, title="Circuits", icon=":material/grid_view:", default=True)], position="top").run()
