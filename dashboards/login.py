"""The door: nothing is shown before *watch* has accepted an operator's token."""

from __future__ import annotations

import streamlit as st

from dashboards import data
from dashboards.state import forget, memory
from dashboards.text import visible
from fusebox.clock import Clock
from fusebox.config import Config
from fusebox.control import ControlRefused
from fusebox.errors import ControlUnavailable
from fusebox.rundir import url_of


def signed_in(config: Config, clock: Clock) -> bool:
    """True when this session holds a token that *watch* accepted; draws the login form otherwise."""
    if memory().token:
        return True
    _, middle, _ = st.columns([1, 2, 1])
    with middle:
        st.title("Fusebox", anchor=False)
        st.caption("The circuits of your agents, and the switch that cuts them.")
        _hint(config)
        with st.form("login"):
            token = st.text_input("Operator token", type="password", key="token", autocomplete="current-password")
            entered = st.form_submit_button("Sign in", type="primary", key="sign-in")
        _where(config)
        if entered and _accepted(config, clock, token.strip()):
            st.rerun()
    return False


def draw_sign_out() -> None:
    """The way out, on every page."""
    with st.container(horizontal=True, horizontal_alignment="right", key="person"):
        st.button("Sign out", key="sign-out", type="tertiary", icon=":material/logout:", on_click=forget)


def _hint(config: Config) -> None:
    if memory().notice:
        st.warning(memory().notice, icon=":material/logout:")
    if url_of(config, "watch", "control_url") is None:
        st.info("The collector is not running here. Start it, then sign in:", icon=":material/power:")
        st.code(data.START, language="bash")


def _where(config: Config) -> None:
    st.caption("This installation's own token is on the machine that runs it, in the file")
    st.code(str(config.data_dir.absolute() / "operator.token"), language=None, wrap_lines=True)
    st.caption("Give each person a token of their own with `fusebox operators add NAME`.")


def _accepted(config: Config, clock: Clock, token: str) -> bool:
    if not token:
        st.error("Enter a token.")
        return False
    try:
        board = data.board(config, token)
    except ControlRefused as error:
        st.error("This token was refused.")
        st.text(visible(error))
    except ControlUnavailable:
        st.error(f"watch does not answer. Start it with `{data.START}` and try again.")
    else:
        forget()
        memory().token = token
        memory().remember(board, clock.wall())
        return True
    return False
