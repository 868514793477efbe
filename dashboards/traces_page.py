"""The page "Traces": find one, see its tree and its course in time across queues, and what any span says of itself.

The tree is read without attributes; those of one span are read when it is chosen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import streamlit as st

from dashboards.ask import ask, ask_ahead
from dashboards.columns import CHOOSE, COUNT, SECONDS
from dashboards.filters import Period, choose, typed
from dashboards.launch import INK
from dashboards.links import Name, link
from dashboards.live import draw_completeness, refresh
from dashboards.oidc import Role
from dashboards.people import may
from dashboards.standing import standing
from dashboards.start import draw_start
from dashboards.state import memory
from dashboards.text import moment, seconds, visible
from dashboards.waterfall import Branch, grow, linked, waterfall
from fusebox.clock import Clock
from fusebox.config import Config

Rows = Sequence[Mapping[str, Any]]
TRACE: Final = "trace"
FOUND: Final = "traces"
EVERY_S: Final = 5.0
DRAWN: Final = 500


def draw(config: Config, clock: Clock) -> None:
    """The whole page, for one session."""
    st.title("Traces", anchor=False)
    if memory().chosen:
        st.session_state[TRACE], memory().chosen = memory().chosen, ""
    filters, period = _filters()
    trace = typed("Trace id", TRACE, 400, "chosen below, or pasted")
    if trace:
        st.button("Back to the list", icon=":material/arrow_back:", type="tertiary", on_click=_close)
        _draw_trace(config, clock, trace)
    else:
        _draw_found(config, clock, period, filters)


def _filters() -> tuple[dict[str, Any], Period]:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        filters = {
            "agent": typed("Agent", "agent"),
            "workflow": typed("Workflow", "workflow"),
            "words": typed("Words", "words", 240, "operation, target, error"),
            "failed": st.toggle("Only with failures", key="failed", bind="query-params"),
        }
        return filters, choose()


def _close() -> None:
    st.session_state[TRACE] = ""


def _open(trace: str) -> None:
    memory().chosen = trace
    st.rerun()  # of the whole page, which owns the field


@st.fragment(run_every=EVERY_S)
def _draw_found(config: Config, clock: Clock, period: Period, filters: dict[str, Any]) -> None:
    ask_ahead(config, clock, period, "traces_found", **filters)
    _draw_state(config, clock)
    rows = standing(FOUND, ask(config, clock, "traces_found", period, **filters))
    if rows is None:
        return
    if not rows:
        _draw_none(config, period, filters)
        return
    st.caption(f"The newest that match, among 20,000 actions. {CHOOSE} to see the trace.")
    chosen = st.dataframe(
        [_found(row) for row in rows], hide_index=True, key=FOUND, on_select="rerun", selection_mode="single-row",
        column_config={"Took": SECONDS, "Tokens": COUNT},
    )  # fmt: skip
    for place in chosen["selection"]["rows"][:1]:
        _open(str(rows[place]["trace_id"]))


def _draw_none(config: Config, period: Period, filters: dict[str, Any]) -> None:
    board = memory().board
    if any(filters.values()):
        st.info(f"No trace of the last {period.label} matches.", icon=":material/search_off:")
    elif board is not None and not board.tiles:
        draw_start(config, "No trace yet", "Traces appear here by themselves")
    else:
        st.info(f"No agent has acted in the last {period.label}. Choose a longer period.", icon=":material/bedtime:")


def _found(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "Began (UTC)": moment(row["first"]),
        "Took": float(row["last"]) - float(row["first"]),
        "Agents": visible(", ".join(sorted(row["agents"])), 120),
        "Workflow": visible(row["about"], 60),
        "Actions": int(row["actions"]),
        "Failed": int(row["errors"]),
        "Tokens": int(row["tokens"]),
        "Trace": visible(row["trace_id"], 40),
    }


def _draw_state(config: Config, clock: Clock) -> None:
    """What is missing; a token that is no longer good ends the session here, before anything stored is shown."""
    board = refresh(config, clock)
    if board is not None:
        draw_completeness(board, clock)


@st.fragment(run_every=EVERY_S)
def _draw_trace(config: Config, clock: Clock, trace: str) -> None:
    ask_ahead(config, clock, None, "trace_spans", trace_id=trace)
    _draw_state(config, clock)
    tree = f"tree-{trace}"
    rows = standing(tree, ask(config, clock, "trace_spans", trace_id=trace))
    if rows is None:
        return
    branches = grow(rows)
    if not branches:
        st.info("No span of this trace is stored. It may be on its way, or older than what is kept.")
        return
    st.altair_chart(waterfall(branches[:DRAWN], INK.get(st.context.theme.type or "", INK["light"])))
    if len(branches) > DRAWN:
        st.caption(f"The picture shows the first {DRAWN} of {len(branches)} spans; the table has them all.")
    chosen = st.dataframe(
        [_branch(branch) for branch in branches], hide_index=True, key=tree, on_select="rerun",
        selection_mode="single-row",
    )  # fmt: skip
    _draw_linked(linked(branches, trace))
    places = chosen["selection"]["rows"]
    if places:
        _draw_span(config, clock, trace, branches[places[0]])
    else:
        st.caption(f"{CHOOSE} to see the span's attributes, and why it came about.")


def _branch(branch: Branch) -> dict[str, Any]:
    return {
        "Span": "\u2007\u2007" * branch.depth + visible(branch.name, 100),
        "Service": visible(branch.service, 60),
        "Kind": visible(branch.kind.removeprefix("SPAN_KIND_").title(), 20),
        "Began after": seconds(branch.offset),
        "Took": seconds(branch.duration),
        "Ended": "failed" if branch.failed else "well",
        "Says": visible(branch.message, 120),
    }


def _draw_linked(traces: Sequence[str]) -> None:
    if not traces:
        return
    st.caption("Messages link it to other traces:")
    with st.container(horizontal=True):
        for other in traces:
            if st.button(f"`{other}`", key=f"to-{other}", icon=":material/link:", type="tertiary"):
                _open(other)


def _draw_span(config: Config, clock: Clock, trace: str, branch: Branch) -> None:
    st.header("Span", anchor=False)
    st.code(f"fusebox why {branch.span}", language="bash")
    link(Name.WHY, "Why it came about", ":material/route:", id=branch.span)
    if not may(config, clock, Role.AUDITOR):
        st.caption("Its attributes, prompts among them where they are captured, are shown to auditors.")
        return
    found = ask(config, clock, "span", trace_id=trace, span_id=branch.span)
    for row in found or ():
        attributes = sorted(dict(row["attributes"]).items())
        st.dataframe(
            [{"Attribute": visible(name, 80), "Value": visible(value, 2_000)} for name, value in attributes],
            hide_index=True, key=f"span-{branch.span}",
        )  # fmt: skip
