"""What a page says that is empty because nobody has connected an agent yet: how to begin."""

from __future__ import annotations

import streamlit as st

from fusebox.config import Config


def draw_start(config: Config, title: str, appear: str) -> None:
    """``appear`` says what will come by itself."""
    with st.container(border=True, key="empty"):
        st.header(title, anchor=False)
        st.caption(f"{appear} with the first span of an agent. To see some at work:")
        st.code("fusebox demo", language="bash")
        st.caption("To connect an agent of yours, start it on this machine in the same folder, or tell it:")
        st.code(f"export FUSEBOX_DATA_DIR={config.data_dir.absolute()}", language="bash", wrap_lines=True)
