"""A course in time as a picture. Its times are UTC, like all others on the pages.

Streamlit's own charts speak the browser's zone and twelve hours without their half of the day: beside a table that says
00:40 they said 04:40, or 12:40.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

import altair
from streamlit.delta_generator import DeltaGenerator

from dashboards.text import moment

_DAY_S: Final = 86_400


def draw_course(
    place: DeltaGenerator, points: Sequence[Mapping[str, Any]], x: str, y: str, color: str = "", *,
    mark: Literal["line", "bar"] = "line", stack: bool = False, title: str = "", step_s: float = 0,
) -> None:  # fmt: skip
    """Draw ``points`` at ``place``.

    Args:
        x: the field of the time, an aware datetime.
        y: the field of the number; ``title`` says what it counts.
        color: the field that tells lines, or parts of a bar, apart.
        step_s: seconds that a bar stands for, which is as broad; 0: a thin one.
    """
    values = [_told(point, x, point[x].timestamp(), step_s) for point in points]
    times = [point[x].timestamp() for point in points]
    days = step_s >= _DAY_S or max(times) - min(times) > _DAY_S
    axis = altair.Axis(title="UTC", format="%d %b" if days else "%H:%M", grid=False)
    chart = altair.Chart(altair.InlineData(values))
    drawn = (
        chart.mark_bar(orient="vertical") if mark == "bar" else chart.mark_line(point=altair.OverlayMarkDef(size=12))
    )
    legend = altair.Legend(title=None, orient="bottom")
    told: dict[str, Any] = {"color": altair.Color(f"{color}:N", legend=legend)} if color else {}
    told |= {"x2": "end:T"} if step_s else {}
    place.altair_chart(
        drawn.encode(
            x=altair.X("at:T", scale=altair.Scale(type="utc"), axis=axis),
            y=altair.Y(f"{y}:Q", title=title or None, stack="zero" if stack else None),
            tooltip=["when:N", *([f"{color}:N"] if color else []), f"{y}:Q"],
            **told,
        )
    )


def _told(point: Mapping[str, Any], x: str, unix: float, step_s: float) -> dict[str, Any]:
    """The point with its time as Vega reads it (milliseconds) and as people do."""
    rest = {name: value for name, value in point.items() if name != x}
    return {**rest, "at": unix * 1000, "end": (unix + step_s) * 1000, "when": f"{moment(unix)} UTC"}
