"""What the audit log says of the spans of a walk."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any, Final

from clickhouse_connect.driver.client import Client

from collector import queries
from collector.queries import KeepUnavailable
from collector.why.model import Place, Row, Ruling
from collector.why.walk import Walk, place
from fusebox import names
from fusebox.command import ALL, agent_scope

Said = dict[Place, list[Ruling]]
_NO_AUDIT: Final = "the audit log could not be read, so no verdicts are shown"


def rulings(client: Client, found: Walk) -> tuple[Said, tuple[str, ...]]:
    """The entries for each span, and a sentence when the log cannot be read (a database that only has spans).

    What people said of an approval stands with the spans that it let pass. An entry that names no span stands with the
    first span of its trace and agent. A person's last order about an agent before the walk's first span stands with the
    first span of that agent: who let it act, or should have kept it.
    """
    rows = [row for row, _ in found.rows.values()]
    try:
        traces, approvals = sorted({row["trace_id"] for row in rows}), sorted({*map(_approval, rows)} - {""})
        about = queries.run(client, "audit_of_traces", traces=traces, approvals=approvals)
        orders = queries.run(client, "audit_orders", subjects=_subjects(rows), until=rows[0]["start"])
    except KeepUnavailable:
        return {}, (_NO_AUDIT,)
    said: Said = defaultdict(list)
    asked = {
        entry["subject"]: entry["actor"]
        for entry in about if entry["kind"] == "approval" and entry["actor"].startswith(agent_scope(""))
    }  # fmt: skip
    for entry in about:
        if (spot := _spot(entry, rows, asked)) is not None:
            said[spot].append(ruling(entry))
    for entry in orders:
        for row in _firsts(rows, entry["subject"]):
            said[place(row)].append(ruling(entry))
    return said, ()


def ruling(entry: Row) -> Ruling:
    """An entry of the audit log."""
    fields: dict[str, Any] = {name: entry[name] for name in Ruling.__slots__}
    return Ruling(**fields)


def agent_of(row: Row) -> str:
    """Whose span it is."""
    return str(row["attributes"].get(names.GEN_AI_AGENT_ID) or row["service"])


def _subjects(rows: Iterable[Row]) -> list[str]:
    agents = sorted({agent_of(row) for row in rows})
    return [ALL, *agents, *map(agent_scope, agents)]


def _spot(entry: Row, rows: list[Row], asked: dict[str, str]) -> Place | None:
    """Where an entry stands. A span may claim an approval; it counts where it was its own agent that had asked."""
    exact = f"{entry['trace_id']}:{entry['span_id']}"
    by = [row for row in rows if _approval(row) == entry["subject"] and asked.get(entry["subject"]) == _actor(row)]
    same = (row for row in rows if row["trace_id"] == entry["trace_id"])
    near = by or [row for row in same if place(row) == exact or agent_of(row) == entry["subject"]]
    return place(min(near, key=lambda row: place(row) != exact)) if near else None


def _actor(row: Row) -> str:
    return agent_scope(agent_of(row))


def _approval(row: Row) -> str:
    return str(row["attributes"].get(names.APPROVAL, ""))


def _firsts(rows: list[Row], subject: str) -> list[Row]:
    """The first span of the agent that an order was about; of an order about all, the walk's first."""
    if subject == ALL:
        return rows[:1]
    return [row for row in rows if subject in (agent_of(row), agent_scope(agent_of(row)))][:1]
