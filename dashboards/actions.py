"""Kill, resume and changes of mode: asked on a tile, confirmed with a reason in a dialog, followed by their Receipts.

The dialog belongs to the whole page and not to the part that refreshes every second: what is typed into it stays.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

import streamlit as st

from dashboards import data
from dashboards.board import LOOKS
from dashboards.data import Order
from dashboards.filters import typed_token
from dashboards.oidc import Role
from dashboards.people import may, reading
from dashboards.state import Asked, memory
from dashboards.text import visible
from fusebox.clock import Clock
from fusebox.config import Config
from fusebox.control import ControlRefused
from fusebox.errors import ControlUnavailable

Perform = Callable[[Config, str, str, str, str], Order]
"""``perform(config, token, agent, reason, second)``; ``second`` is the token of an operator who agrees, or empty."""


@dataclass(frozen=True, slots=True)
class Verb:
    """One thing a person can order: what it will do, to one agent or to every one, and how."""

    effect: str
    perform: Perform
    of_all: str = ""


def _kill(config: Config, token: str, agent: str, reason: str, second: str) -> Order:  # noqa: ARG001
    return data.kill(config, token, agent, reason)


def _observe(config: Config, token: str, agent: str, reason: str, second: str) -> Order:  # noqa: ARG001
    return data.mode(config, token, agent, "observe_only", reason)


def _enforce(config: Config, token: str, agent: str, reason: str, second: str) -> Order:  # noqa: ARG001
    return data.mode(config, token, agent, "normal", reason)


VERBS: Final = {
    "Kill": Verb(
        "Nothing more goes out: messages, model calls and tool calls are refused at once, and stay refused through "
        "restarts until somebody resumes. Messages for it are held, none is lost.",
        _kill,
        "Nothing more goes out of any agent: messages, model calls and tool calls are refused at once, and stay "
        "refused through restarts until somebody resumes. Messages are held, none is lost.",
    ),
    "Resume": Verb(
        "Its kills are lifted and its circuit is half open: one held message is tried, and when it succeeds the others "
        "follow at a measured pace.",
        data.resume,
        "Every kill is lifted, whoever ordered it: those of single agents, workflows and tools, too. Every open "
        "circuit is half open: each agent tries one held message, and when it succeeds its others follow.",
    ),
    "Observe": Verb(
        "Observe only: detectors go on reporting, but they no longer open this circuit. A kill still works.", _observe
    ),
    "Enforce": Verb("Detectors open this circuit again when they find something.", _enforce),
}


def draw_dialog(config: Config, clock: Clock) -> None:
    """Show the dialog of what was asked, until it is confirmed or closed, or whoever asked may order no more."""
    asked = memory().asked
    if not may(config, clock, Role.OPERATOR):
        _forget_question()
    elif asked is not None:
        title = f"{asked.verb} {'one agent' if asked.agent else 'every agent'}?"
        st.dialog(title, on_dismiss=_forget_question)(_confirm)(config, clock, asked)


def _forget_question() -> None:
    memory().asked = None


def _confirm(config: Config, clock: Clock, asked: Asked) -> None:
    if asked.agent:
        st.code(visible(asked.agent), language=None, wrap_lines=True)
        st.caption(VERBS[asked.verb].effect)
    else:
        st.caption(VERBS[asked.verb].of_all)
        st.text(_now())
    with st.form("confirm", border=False, enter_to_submit=False):
        reason = st.text_input("Reason (recorded with your name)", key="reason", max_chars=200).strip()
        token = memory().token or typed_token("Your operator token (asked once)")
        second = _typed_second() if _takes_two(asked) else ""
        sure = bool(asked.agent) or st.checkbox("I mean every agent of this installation", key="sure")
        label = f"{asked.verb} {'this agent' if asked.agent else 'every agent'}"
        submitted = st.form_submit_button(label, type="primary", key="confirmed")
    if submitted and not reason:
        st.error("Say why. The reason is kept in the audit log.")
    elif submitted and not sure:
        st.error("Tick the box: this concerns every agent.")
    elif submitted and not token:
        st.error("Enter your operator token: `fusebox operators add NAME` makes one.")
    elif submitted and not may(config, clock, Role.OPERATOR):
        st.error("You are no operator here any more. Nothing was done.")
    elif submitted:
        _perform(config, token, asked, reason, second)


def _now() -> str:
    """How many agents stand how, for who is about to change that for all of them."""
    board = memory().board
    tally = board.tally() if board else {}
    return "Now: " + ", ".join(
        f"{number} {LOOKS[standing].word.lower()}" for standing, number in tally.items() if number
    )


def _takes_two(asked: Asked) -> bool:
    """True when it frees an agent that the registry marks as high-risk."""
    board = memory().board
    tiles = board.tiles if board else ()
    return asked.verb == "Resume" and any(tile.risky for tile in tiles if asked.agent in ("", tile.agent))


def _typed_second() -> str:
    """A second person types theirs; it is kept nowhere."""
    label = "Token of a second operator, who agrees (it is high-risk)"
    return st.text_input(label, type="password", key="second-token", autocomplete="off").strip()


def _perform(config: Config, token: str, asked: Asked, reason: str, second: str) -> None:
    try:
        order = VERBS[asked.verb].perform(config, token, asked.agent, reason, second)
    except ControlRefused as error:
        if error.status == HTTPStatus.UNAUTHORIZED and not second:
            memory().token = ""  # a reader's, from the SQL console, or one that was withdrawn: ask for another
        st.error("watch refused this order. Nothing was done.")
        st.text(visible(error))
    except ControlUnavailable as error:
        st.error("It is not known whether this was done. Look at the board before you order it again.")
        st.text(visible(error))
    else:
        memory().token = token
        memory().orders.appendleft(order)
        _forget_question()
        st.rerun()


def draw_orders(config: Config) -> None:
    """What was ordered in this session, and which processes have confirmed it."""
    remembered = memory()
    for place, order in enumerate(remembered.orders):
        remembered.orders[place] = current = _follow(config, order)
        with st.container(border=True, key=f"order-{place}"):
            _draw_order(current)
    if remembered.orders:
        st.button("Clear these", key="clear-orders", type="tertiary", on_click=remembered.orders.clear)


def _follow(config: Config, order: Order) -> Order:
    if not order.missing or order.forgotten:
        return order
    try:
        return data.receipts(config, reading(config), order)
    except (ControlUnavailable, ControlRefused):
        return order  # the banner above says that watch is silent; what arrived so far stays true


def _draw_order(order: Order) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.badge(order.title, icon=":material/gavel:", color="gray")
        st.text(visible(order.agent, 80) if order.agent else "every agent")
    st.caption(_progress(order))
    if order.missing and not order.forgotten:
        st.text("waiting for " + ", ".join(visible(process, 40) for process in order.missing[:10]))


def _progress(order: Order) -> str:
    if not order.expected:
        return "Recorded. No process is connected now; each learns it before its first action."
    done = len(order.expected) - len(order.missing)
    if order.forgotten:
        return (
            f"Recorded. {done} of {len(order.expected)} processes had confirmed when watch started anew. "
            "It tells all of them again how things stand; the board shows it."
        )
    return f"{done} of {len(order.expected)} processes have confirmed."
