"""The page "Why": from something that happened back to what led to it, or forward to what came of it, as a graph."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from typing import Any, Final

import streamlit as st

from collector import queries
from collector.queries import KeepUnavailable
from collector.why import Direction, NotFound, Ruling, Step, Why, dot, explain
from dashboards import data
from dashboards.filters import typed
from dashboards.links import Name, link
from dashboards.oidc import Role
from dashboards.people import may, reading
from dashboards.state import forget, memory
from dashboards.text import moment, visible
from fusebox.clock import Clock
from fusebox.config import Config
from fusebox.control import ControlRefused
from fusebox.errors import ControlUnavailable

_WAYS: Final[Mapping[str, Direction]] = {
    "What led to it": Direction.BACK,
    "What came of it": Direction.FORWARD,
}
_PROMPT: Final = 2_000


def draw(config: Config, clock: Clock) -> None:
    """The whole page, for one session."""
    st.title("Why", anchor=False)
    with st.form("why", border=False):
        id = typed("Span, trace, message, audit entry (watch:12) or row", "id", 500)
        way = st.radio(
            "Direction", list(_WAYS), horizontal=True, key="way", label_visibility="collapsed", bind="query-params"
        )
        asked = st.form_submit_button("Show", type="primary", key="why-show")
    question = (id, _WAYS[way or "What led to it"])
    if id and (asked or question != memory().why_asked) and may(config, clock, Role.AUDITOR):
        _ask(config, *question)
    if (answer := memory().why) is not None:
        _draw(answer)
    elif not id:
        _draw_where()


def _draw_where() -> None:
    """Where somebody finds an id who has none."""
    st.caption("An id stands beside what it names: choose a trace and then a span of it, or an entry of the audit log.")
    with st.container(horizontal=True):
        link(Name.TRACES, "Choose a trace", ":material/account_tree:")
        link(Name.AUDIT, "Choose an audit entry", ":material/fact_check:")


def _ask(config: Config, id: str, direction: Direction) -> None:
    """Read the answer, once *watch* has said again that this session's token is good: prompts are no public matter."""
    memory().why, memory().why_asked = None, (id, direction)
    try:
        data.board(config, reading(config))
        with closing(queries.connect(config, data.database_token(config))) as client:
            memory().why = explain(client, id, direction)
    except ControlRefused:
        forget("Your token is no longer accepted. Ask for a new one, or sign in again.")
        st.rerun()
    except ControlUnavailable:
        st.error(f"watch does not answer. Start it with `{data.START}`.", icon=":material/cloud_off:")
    except NotFound as error:
        st.info("Nothing has this id.", icon=":material/search_off:")
        st.text(visible(error))
    except KeepUnavailable:
        st.warning(f"keep does not answer. Start it with `{data.START}`.", icon=":material/database_off:")


def _draw(why: Why) -> None:
    if why.gaps:
        st.caption("This is not all:")
        for gap in why.gaps:
            st.text(visible(gap))
    st.graphviz_chart(dot(why), width="content")
    if why.steps:
        st.dataframe([_row(step) for step in why.steps], hide_index=True, key="why-steps")
    rulings = [*([why.entry] if why.entry else []), *(each for step in why.steps for each in step.rulings)]
    if rulings:
        st.header("Decided", anchor=False)
        st.dataframe([_ruling(each) for each in rulings], hide_index=True, key="why-rulings")
    _draw_prompts(why)


def _draw_prompts(why: Why) -> None:
    calls = [call for step in why.steps for call in step.model_calls]
    if calls:
        st.header("Asked and answered", anchor=False)
    for call in calls:
        st.text(visible(call.model, 100))
        if not call.prompt:
            st.caption("No prompt is stored: capture_content was off, or the agent did not say it.")
        for text in (call.prompt, call.answer):
            for line in text[:_PROMPT].splitlines():
                st.text(visible(line))


def _row(step: Step) -> dict[str, Any]:
    return {
        "When (UTC)": moment(step.start),
        "Agent": visible(step.agent, 80),
        "What": visible(step.name, 120),
        "On": visible(step.target, 120),
        "Ended": "failed" if step.failed else "well",
        "Span": step.place,
    }


def _ruling(ruling: Ruling) -> dict[str, Any]:
    return {
        "When (UTC)": moment(ruling.time),
        "What": visible(ruling.kind, 40),
        "By": visible(ruling.actor, 80),
        "About": visible(ruling.subject, 80),
        "Reason": visible(ruling.reason),
        "Entry": f"{ruling.writer}:{ruling.seq}",
    }
