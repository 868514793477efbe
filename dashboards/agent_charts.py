"""One agent's course: what it did and used in each minute, and its detectors' scores beside their limits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import streamlit as st

from dashboards.course import draw_course
from dashboards.text import count, money

Rows = Sequence[Mapping[str, Any]]
_LIMIT: Final = "the limit"


def draw_minutes(rows: Rows) -> None:
    """Actions, tokens and latency, minute by minute."""
    tokens, usd = sum(int(row["tokens"]) for row in rows), sum(float(row["cost_usd"]) for row in rows)
    st.caption(f"In the period: {count(tokens)} tokens, {money(usd)}".replace("$", "\\$"))
    points = [
        {"minute": _when(row["minute"]), "what": what, "number": int(row[column])}
        for row in rows
        for what, column in (("actions", "actions"), ("of them failed", "errors"))
    ]
    left, middle, right = st.columns(3)
    left.caption("Actions a minute")
    draw_course(left, points, "minute", "number", "what", mark="bar")
    middle.caption("Tokens a minute")
    used = [{"minute": _when(row["minute"]), "tokens": int(row["tokens"])} for row in rows]
    draw_course(middle, used, "minute", "tokens", mark="bar")
    right.caption("Latency a minute, 95 % of actions took less (seconds)")
    latency = [{"minute": _when(row["minute"]), "seconds": float(row["p95_s"])} for row in rows]
    draw_course(right, latency, "minute", "seconds")


def draw_scores(rows: Rows, limits: Mapping[str, float]) -> None:
    """How near each detector was to opening the circuit, by ``limits``."""
    st.caption("Its detectors' scores as a share of the limit: at 1 the circuit opens")
    points = [
        {
            "minute": _when(row["at"]),
            "detector": row["detector"],
            "share": float(row["score"]) / limits[row["detector"]],
        }
        for row in rows
        if limits.get(row["detector"])
    ]
    minutes = sorted({point["minute"] for point in points})
    points += [{"minute": minute, "detector": _LIMIT, "share": 1.0} for minute in {*minutes[:1], *minutes[-1:]}]
    if points:
        draw_course(st.container(), points, "minute", "share", "detector", title="score / limit")


def _when(unix: float) -> datetime:
    return datetime.fromtimestamp(float(unix), UTC)
