"""The door: nothing is shown before *watch* has accepted an operator's token, or the provider told who somebody is."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Final

import httpx
import streamlit as st

from dashboards import data
from dashboards.oidc import load_oidc
from dashboards.people import Person, claimed, end_sign_in, person
from dashboards.state import forget, memory
from dashboards.text import visible
from fusebox import happenings
from fusebox.clock import Clock
from fusebox.config import Config
from fusebox.control import ControlRefused
from fusebox.errors import ConfigError, ControlUnavailable
from fusebox.rundir import url_of

UNREACHABLE: Final = happenings.declare(
    "oidc_provider_unreachable", logging.ERROR, "the identity provider does not answer, so nobody can sign in"
)


def signed_in(config: Config, clock: Clock) -> Person | None:
    """Whoever this session belongs to; None, and a login is drawn, when nothing may be shown to it."""
    who = person(config, clock)
    if who is not None:
        memory().role = who.role
        return who
    _, middle, _ = st.columns([1, 2, 1])
    with middle:
        st.title("Fusebox", anchor=False)
        st.caption("The circuits of your agents, and the switch that cuts them.")
        _hint(config)
        if config.oidc_file is None:
            _draw_token(config, clock)
        else:
            _draw_provider(config.oidc_file, clock)
    return None


def draw_sign_out(who: Person, clock: Clock) -> None:
    """Who is signed in and the way out, on every page."""
    with st.container(horizontal=True, horizontal_alignment="right", vertical_alignment="center", key="person"):
        st.text(visible(f"{who.name} · {who.role.name.lower()}", 80), width="content")
        st.button("Sign out", key="sign-out", type="tertiary", icon=":material/logout:", on_click=_leave, args=(clock,))


def _leave(clock: Clock) -> None:
    forget()
    if claimed():
        end_sign_in(clock)
        st.logout()


def _draw_token(config: Config, clock: Clock) -> None:
    with st.form("login"):
        token = st.text_input("Operator token", type="password", key="token", autocomplete="current-password")
        entered = st.form_submit_button("Sign in", type="primary", key="sign-in")
    _where(config)
    if entered and _accepted(config, clock, token.strip()):
        st.rerun()


def _draw_provider(file: Path, clock: Clock) -> None:
    """The way to the provider; for whom it sent back, why that was not enough."""
    try:
        load_oidc(file)
    except ConfigError as error:
        st.error("Nobody can sign in until this is mended.")
        st.text(visible(error))
        return
    if name := claimed():
        st.warning("You are signed in, but you have no role here, or it is half a day ago.", icon=":material/block:")
        st.text(visible(name, 100))
        st.caption("Roles are given in the file that `oidc_file` names.")
        st.button("Sign out", key="sign-out", on_click=_leave, args=(clock,))
    st.button("Sign in", type="primary", key="sign-in", icon=":material/login:", on_click=_go, args=(file,))
    st.caption("If the provider sends you back here and you are not signed in, the dashboard's log says why.")


def _go(file: Path) -> None:
    """To the provider, if it answers: Streamlit would leave the person on an empty page."""
    try:
        httpx.get(load_oidc(file).metadata_url, timeout=data.TIMEOUT_S).raise_for_status()
    except (httpx.HTTPError, ConfigError) as error:
        happenings.emit(UNREACHABLE, error=str(error))
        memory().notice = "The identity provider does not answer, so nobody can sign in. Try again later."
    else:
        st.login()


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
        board, you = data.board(config, token)
    except ControlRefused as error:
        st.error("This token was refused.")
        st.text(visible(error))
    except ControlUnavailable:
        st.error(f"watch does not answer. Start it with `{data.START}` and try again.")
    else:
        forget()
        memory().token = token
        memory().remember(board, you, clock.wall())
        return True
    return False
