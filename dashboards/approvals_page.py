"""The page "Approvals": what agents want to do and may not before a person agrees, and the form to answer it.

What is shown are the exact arguments, each character of them visible; never somebody's summary. The form answers the
digest of what it shows. The list refreshes by itself; what a person reads does so only when others have answered or
asked, and what they type stays. Arguments are shown to whoever may answer: also somebody whom the provider signed in
has to show an operator's token first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import streamlit as st

from dashboards import data
from dashboards.approval_rows import PENDING, Row, facts, over, title, waiting
from dashboards.filters import chosen, typed_token
from dashboards.oidc import Role
from dashboards.people import may
from dashboards.state import forget, memory
from dashboards.text import many, visible
from fusebox.clock import Clock
from fusebox.config import Config
from fusebox.control import ControlRefused
from fusebox.errors import ControlUnavailable
from fusebox.spelled import exactly, readable

EVERY_S: Final = 2.0
CHOSEN: Final = "approval"
_UNAUTHORISED: Final = 401
_DONE: Final = "fusebox-answered"


def draw(config: Config, clock: Clock) -> None:
    """The whole page, for one session."""
    st.title("Approvals", anchor=False)
    if not memory().token:
        _ask_for_token()
        return
    drawn: list[Sequence[Row] | None] = []
    _draw_lists(config, clock, drawn)
    if not drawn[0]:
        return
    id = _choose(drawn[0])
    if st.session_state.get(_DONE) != id:
        st.session_state.pop(_DONE, None)
    if id:
        _draw_one(config, clock, id)


def _ask_for_token() -> None:
    with st.form("operator", enter_to_submit=False):
        token = typed_token("Your operator token (asked once)")
        if st.form_submit_button("Show what waits", key="show-approvals") and token:
            memory().token = token
            st.rerun()


@st.fragment(run_every=EVERY_S)
def _draw_lists(config: Config, clock: Clock, drawn: list[Sequence[Row] | None]) -> None:
    """What there is, of which one can be chosen below; ``drawn`` takes what the page was drawn with."""
    if not may(config, clock, Role.OPERATOR):
        st.rerun()
    rows = _read(config)
    if not drawn:
        drawn.append(rows)
    if rows is None:
        return
    if _live(rows) != _live(drawn[0] or ()):
        st.rerun()  # of the whole page, which owns the choice
    pending = [row for row in rows if row["stage"] == PENDING]
    st.header(many(len(pending), "waits", "wait") if pending else "Nothing waits for a person", anchor=False)
    if pending:
        st.dataframe([waiting(row, clock.wall()) for row in pending], hide_index=True, key="waiting")
    if not rows:
        st.caption("What an agent may do only after a person agreed (`hold = true` in its grant) waits here.")
    others = [row for row in rows if row["stage"] != PENDING]
    if others:
        with st.expander(f"{len(others)} that were answered, or are over"):
            st.dataframe([over(row) for row in others], hide_index=True, key="over")


def _read(config: Config) -> Sequence[Row] | None:
    """All approvals, without their arguments; None when *watch* does not say."""
    try:
        return data.approvals(config, memory().token)
    except ControlUnavailable as error:
        told = f"watch does not answer, or cannot read them now. If it does not run, start it with `{data.START}`."
        st.warning(told, icon=":material/cloud_off:")
        st.text(visible(error))
    except ControlRefused as error:
        if error.status == _UNAUTHORISED:
            _withdraw(config)
        st.error("watch refused to say.")
        st.text(visible(error))
    return None


def _withdraw(config: Config) -> None:
    """The token is not an operator's: who has nothing else is signed out."""
    if config.oidc_file is None:
        forget("Your token is no longer accepted. Ask for a new one, or sign in again.")
    memory().token = ""
    st.rerun()


def _live(rows: Sequence[Row]) -> dict[str, int]:
    """What can be answered or taken back, and how often each has changed."""
    return {row["id"]: row["version"] for row in rows if row["live"]}


def _choose(rows: Sequence[Row]) -> str:
    """Of what is live; and what the address names, whatever became of it."""
    wanted = st.query_params.get(CHOSEN, "")
    titles = {row["id"]: title(row) for row in rows if row["live"] or row["id"] == wanted}
    if not titles:
        return ""
    return chosen("Read and answer", CHOSEN, titles, index=None, placeholder="Choose one", width=700)


def _draw_one(config: Config, clock: Clock, id: str) -> None:
    try:
        row = data.approval(config, memory().token, id)
    except (ControlUnavailable, ControlRefused) as error:
        st.error("It cannot be read.")
        st.text(visible(error))
        return
    if _DONE in st.session_state:
        waits = " It takes one more person." if row["stage"] == PENDING else ""
        st.success(f"Recorded: it is {row['stage']}.{waits}", icon=":material/gavel:")
    with st.container(border=True, gap="xsmall", key="approval-detail"):
        for name, value in facts(row):
            with st.container(horizontal=True, gap="small"):
                st.caption(name, width=90)
                st.text(exactly(value), width="stretch")
        st.caption("Arguments, all of them:")
        st.code(readable(row["request"]["arguments"]), language="json", wrap_lines=True)
    if row["live"]:
        _draw_form(config, clock, row)


def _draw_form(config: Config, clock: Clock, row: Row) -> None:
    """Each has a form of its own: a click on what was read never answers what was chosen since."""
    id = row["id"]
    with st.form(f"answer-{id}", border=False, enter_to_submit=False):
        reason = st.text_input("Reason (recorded with your name)", key=f"reason-{id}", max_chars=500).strip()
        with st.container(horizontal=True):
            denied = st.form_submit_button("Deny", key=f"deny-{id}", icon=":material/block:")
            approved = st.form_submit_button("Approve exactly this", key=f"approve-{id}", icon=":material/check:")
    if not (approved or denied):
        return
    if not reason:
        st.error("Say why. The reason is kept in the audit log.")
        return
    if not may(config, clock, Role.OPERATOR):
        st.error("You are no operator here any more. Nothing was done.")
        return
    _answer(config, row, approve=approved, reason=reason)


def _answer(config: Config, row: Row, *, approve: bool, reason: str) -> None:
    try:
        data.answer(config, memory().token, row["id"], row["digest"], approve, reason)
    except ControlRefused as error:
        st.error("Your answer does not count.")
        st.text(visible(error))
    except ControlUnavailable as error:
        st.error("watch did not take it. Look at it again before you answer again.")
        st.text(visible(error))
    else:
        st.session_state[_DONE] = row["id"]
        st.rerun()
