"""An approval in words: as a row of a table, as a title. Nothing here draws."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from dashboards.text import lasted, moment, visible

Row = Mapping[str, Any]
PENDING: Final = "pending"


def title(row: Row) -> str:
    """One line: who wants what, and how it stands."""
    return f"{visible(row['request']['agent'], 60)} · {visible(_wish(row), 120)} · {row['stage']}"


def _wish(row: Row) -> str:
    request = row["request"]
    return f"{request['operation']}" + (f" on {request['target']}" if request["target"] else "")


def waiting(row: Row, now: float) -> dict[str, str]:
    """A row of the table of what waits."""
    return {
        "Agent": visible(row["request"]["agent"], 80),
        "Wants to": visible(_wish(row)),
        "Because": visible(row["request"]["reason"]),
        "Asked (UTC)": moment(row["asked_at"]),
        "Time left": lasted(row["expires_at"] - now),
        "Stands": visible(row["reason"]),
        "Id": row["id"],
    }


def over(row: Row) -> dict[str, str]:
    """A row of the table of what was answered, or is over."""
    return {
        "Stage": row["stage"],
        "Agent": visible(row["request"]["agent"], 80),
        "Wanted to": visible(_wish(row)),
        "Said": visible(row["reason"]),
        "Asked (UTC)": moment(row["asked_at"]),
        "Id": row["id"],
    }


def facts(row: Row) -> list[tuple[str, str]]:
    """What a person reads before the arguments, name and value."""
    request = row["request"]
    told = [
        ("Agent", request["agent"]), ("Wants to", f"{request['kind']} {request['operation']}"),
        ("On", request["target"]), ("Because", f"{request['guard']}: {request['reason']}"),
        ("Takes", request["contract"]), ("Workflow", request["workflow"]), ("Trace", request["trace_id"]),
        ("Expires", f"{moment(row['expires_at'])} UTC"), ("Stands", row["reason"]), ("Digest", row["digest"]),
    ]  # fmt: skip
    return [(name, value) for name, value in told if value]
