"""The page "Approvals": what agents want to do and may not before a person agrees, and the form to answer it.

What is shown are the exact arguments, each character of them visible; never somebody's summary. The form answers the
digest of what it shows. The list refreshes by itself; what a person reads and types into does not. Arguments are shown
to whoever may answer: also somebody whom the provider signed in has to show an operator's token first.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import streamlit as st

from dashboards import data
from dashboards.filters import chosen, typed_token
from dashboards.oidc import Role
from dashboards.people import may
from dashboards.state import forget, memory
from dashboards.text import lasted, many, moment, visible, whole
from fusebox.clock import Clock
from fusebox.config import Config
from fusebox.control import ControlRefused
from fusebox.errors import ControlUnavailable

Row = Mapping[str, Any]
EVERY_S: Final = 2.0
CHOSEN: Final = "approval"
_PENDING: Final = "pending"
_UNAUTHORISED: Final = 401
_DONE: Final = "fusebox-answered"


def draw(config: Config, clock: Clock) -> None:
    """The whole page, for one session."""
    st.title("Approvals", anchor=False)
    if not memory().token:
        _ask_for_token()
        return
    _draw_lists(config, clock)
    rows = _read(config)
    if rows is None:
        return
    id = _choose([row for row in rows if row["live"]])
    if done := st.session_state.pop(_DONE, ""):
        st.success(done, icon=":material/gavel:")
    if id:
        _draw_one(config, clock, id)


def _ask_for_token() -> None:
    with st.form("operator", enter_to_submit=False):
        token = typed_token("Your operator token (asked once)")
        if st.form_submit_button("Show what waits", key="show-approvals") and token:
            memory().token = token
            st.rerun()


@st.fragment(run_every=EVERY_S)
def _draw_lists(config: Config, clock: Clock) -> None:
    if not may(config, clock, Role.OPERATOR):
        st.rerun()
    rows = _read(config)
    if rows is None:
        return
    waiting = [row for row in rows if row["stage"] == _PENDING]
    st.subheader(many(len(waiting), "waits", "wait") if waiting else "Nothing waits for a person", anchor=False)
    if waiting:
        st.dataframe([_waiting(row, clock.wall()) for row in waiting], hide_index=True, key="waiting")
    others = [row for row in rows if row["stage"] != _PENDING]
    if others:
        with st.expander(f"{len(others)} that were answered, or are over"):
            st.dataframe([_over(row) for row in others], hide_index=True, key="over")


def _read(config: Config) -> Sequence[Row] | None:
    """All approvals, without their arguments; None when *watch* does not say."""
    try:
        return data.approvals(config, memory().token)
    except ControlUnavailable:
        st.warning(f"watch does not answer. Start it with `{data.START}`.", icon=":material/cloud_off:")
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


def _choose(live: Sequence[Row]) -> str:
    titles = {row["id"]: _title(row) for row in live}
    return chosen("Read and answer", CHOSEN, titles, index=None, placeholder="Choose one", width=700)


def _draw_one(config: Config, clock: Clock, id: str) -> None:
    try:
        row = data.approval(config, memory().token, id)
    except (ControlUnavailable, ControlRefused) as error:
        st.error("It cannot be read.")
        st.text(visible(error))
        return
    with st.container(border=True, gap="xsmall", key="approval-detail"):
        for name, value in _facts(row):
            with st.container(horizontal=True, gap="small"):
                st.caption(name, width=90)
                st.text(whole(value), width="stretch")
        st.caption("Arguments, all of them:")
        st.code(_arguments(row), language="json", wrap_lines=True)
    if row["live"]:
        _draw_form(config, clock, row)


def _draw_form(config: Config, clock: Clock, row: Row) -> None:
    with st.form("answer", border=False, enter_to_submit=False):
        reason = st.text_input("Reason (recorded with your name)", key="answer-reason", max_chars=500).strip()
        with st.container(horizontal=True):
            denied = st.form_submit_button("Deny", key="deny", icon=":material/block:")
            approved = st.form_submit_button("Approve exactly this", key="approve", icon=":material/check:")
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
        stage = data.answer(config, memory().token, row["id"], row["digest"], approve, reason)
    except ControlRefused as error:
        st.error("Your answer does not count.")
        st.text(visible(error))
    except ControlUnavailable as error:
        st.error("watch did not take it. Look at it again before you answer again.")
        st.text(visible(error))
    else:
        waits = "It takes one more person." if stage == _PENDING else ""
        st.session_state[_DONE] = f"Recorded: it is {stage}. {waits}"
        st.rerun()


def _title(row: Row) -> str:
    return f"{visible(row['request']['agent'], 60)} · {visible(_wish(row), 120)} · {row['stage']}"


def _wish(row: Row) -> str:
    request = row["request"]
    return f"{request['operation']}" + (f" on {request['target']}" if request["target"] else "")


def _waiting(row: Row, now: float) -> dict[str, str]:
    return {
        "Agent": visible(row["request"]["agent"], 80),
        "Wants to": visible(_wish(row)),
        "Because": visible(row["request"]["reason"]),
        "Asked (UTC)": moment(row["asked_at"]),
        "Time left": lasted(row["expires_at"] - now),
        "Stands": visible(row["reason"]),
        "Id": row["id"],
    }


def _over(row: Row) -> dict[str, str]:
    return {
        "Stage": row["stage"],
        "Agent": visible(row["request"]["agent"], 80),
        "Wanted to": visible(_wish(row)),
        "Said": visible(row["reason"]),
        "Asked (UTC)": moment(row["asked_at"]),
        "Id": row["id"],
    }


def _facts(row: Row) -> list[tuple[str, str]]:
    request = row["request"]
    facts = [
        ("Agent", request["agent"]), ("Wants to", f"{request['kind']} {request['operation']}"),
        ("On", request["target"]), ("Because", f"{request['guard']}: {request['reason']}"),
        ("Takes", request["contract"]), ("Workflow", request["workflow"]), ("Trace", request["trace_id"]),
        ("Expires", f"{moment(row['expires_at'])} UTC"), ("Stands", row["reason"]), ("Digest", row["digest"]),
    ]  # fmt: skip
    return [(name, value) for name, value in facts if value]


def _arguments(row: Row) -> str:
    """Every character of the arguments, on lines of their own; those that could hide are written out."""
    text = json.dumps(json.loads(row["request"]["arguments"]), indent=2, ensure_ascii=False)
    return "\n".join(map(whole, text.split("\n")))
