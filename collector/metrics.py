"""``/metrics`` of a role: its own happenings as counters, and the gauges it adds, in Prometheus text."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from fusebox import happenings


@dataclass(frozen=True, slots=True)
class Gauge:
    """One value of one gauge (without the prefix ``fusebox_``)."""

    name: str
    meaning: str
    value: float
    labels: dict[str, str] = field(default_factory=dict)


def render(gauges: Iterable[Gauge] = ()) -> str:
    """The exposition text; gauges of one name must follow each other."""
    counts = happenings.counts()
    lines = []
    for kind in happenings.kinds():
        name = f"fusebox_{kind.name}_total"
        lines += [*_head(name, "counter", kind.meaning), f"{name} {counts[kind.name]}"]
    previous = ""
    for gauge in gauges:
        name = f"fusebox_{gauge.name}"
        lines += [] if name == previous else _head(name, "gauge", gauge.meaning)
        lines.append(f"{name}{_labels(gauge.labels)} {gauge.value:.15g}")
        previous = name
    return "\n".join(lines) + "\n"


def _head(name: str, kind: str, meaning: str) -> list[str]:
    return [f"# HELP {name} {meaning}", f"# TYPE {name} {kind}"]


def _labels(labels: dict[str, str]) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escape(value)}"' for name, value in labels.items()) + "}"


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
