"""One agent's course: what it did and used in each step of time, and its detectors' scores beside their limits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import streamlit as st

from dashboards.course import draw_course
from dashboards.filters import Period
from dashboards.text import count, money

Rows = Sequence[Mapping[str, Any]]
_LIMIT: Final = "the limit"


def draw_done(rows: Rows, period: Period) -> None:
    """Actions, tokens and latency, step by step."""
    tokens, usd = sum(int(row["tokens"]) for row in rows), sum(float(row["cost_usd"]) for row in rows)
    st.caption(f"In the period: {count(tokens)} tokens, {money(usd)}".replace("$", "\\$"))
    points = [
        {"at": _when(row["at"]), "what": what, "number": int(row[column])}
        for row in rows
        for what, column in (("actions", "actions"), ("of them failed", "errors"))
    ]
    left, middle, right = st.columns(3)
    left.caption(f"Actions every {period.step}")
    draw_course(left, points, "at", "number", "what", mark="bar", step_s=period.step_s)
    middle.caption(f"Tokens every {period.step}")
    used = [{"at": _when(row["at"]), "tokens": int(row["tokens"])} for row in rows]
    draw_course(middle, used, "at", "tokens", mark="bar", step_s=period.step_s)
    right.caption("Latency, 95 % of actions took less (seconds)")
    latency = [{"at": _when(row["at"]), "seconds": float(row["p95_s"])} for row in rows]
    draw_course(right, latency, "at", "seconds")


def draw_scores(rows: Rows, limits: Mapping[str, float]) -> None:
    """How near each detector was to opening the circuit, by ``limits``."""
    points = [
        {
            "at": _when(row["at"]),
            "detector": row["detector"],
            "share": float(row["score"]) / limits[row["detector"]],
        }
        for row in rows
        if limits.get(row["detector"])
    ]
    times = sorted({point["at"] for point in points})
    points += [{"at": time, "detector": _LIMIT, "share": 1.0} for time in {*times[:1], *times[-1:]}]
    if points:
        st.caption("Its detectors' scores as a share of the limit: at 1 the circuit opens")
        draw_course(st.container(), points, "at", "share", "detector", title="score / limit")


def _when(unix: float) -> datetime:
    return datetime.fromtimestamp(float(unix), UTC)
