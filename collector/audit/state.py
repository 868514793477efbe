"""What the log says must be in force now: kills that nobody lifted, and how each circuit last moved, its mode included.

The live state is held against it (fault: the store of latches or circuits is lost, or came back from an old backup).
A circuit in another mode than ``normal`` shows the mode as its state, in entries as on the board.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from collector.audit.entry import Entry
from collector.audit.report import LIVE, Problem

_KIND: Final = "live state"
_CLOSED: Final = "closed"
_ON_ITS_WAY: Final = {"open": ("half_open",), "half_open": ("open", "closed"), "closed": ("half_open",)}
"""What a circuit may have become since, by itself; the entry about it follows when the process reports it."""


class State:
    """Learns from entries in their order."""

    def __init__(self) -> None:
        self.kills: dict[str, tuple[int, str]] = {}
        self.circuits: dict[str, tuple[int, str]] = {}
        self.size = 0

    def learn(self, entry: Entry) -> None:
        """Take in one entry of the chain of *watch*."""
        if entry.writer != "watch":
            return
        self.size = entry.seq + 1
        if entry.kind in ("kill", "resume", "trip", "transition") and entry.payload:
            self._take(entry, json.loads(entry.payload))

    def _take(self, entry: Entry, payload: Mapping[str, Any]) -> None:
        command, moved = payload.get("command"), payload.get("transition")
        if entry.kind == "kill" and command:
            self.kills[str(command.get("id"))] = (entry.seq, str(command.get("scope")))
        elif entry.kind == "resume" and command:
            for lifted in command.get("lifts", ()):
                self.kills.pop(lifted, None)
        if moved and "agent" in moved:
            self.circuits[str(moved["agent"])] = (entry.seq, str(moved.get("after")))

    def standing(self) -> Iterator[int]:
        """Numbers of the entries that something in force comes from."""
        yield from (seq for seq, _ in self.kills.values())
        yield from (seq for seq, after in self.circuits.values() if after != _CLOSED)

    def compare_kills(self, live: Mapping[str, str]) -> Iterator[Problem]:
        """Hold kills in force (id to scope) against the log."""
        for id, (seq, scope) in self.kills.items():
            if live.get(id) != scope:
                yield Problem("watch", seq, _KIND, LIVE, f"the kill {id} of {scope} is not in force")
        for id in sorted(set(live) - set(self.kills)):
            yield Problem(
                "watch", self.size, _KIND, LIVE, f"the kill {id} of {live[id]} is in force, and no entry says so"
            )

    def compare_circuits(self, tiles: Sequence[Mapping[str, Any]]) -> Iterator[Problem]:
        """Hold the board's tiles against the log."""
        live = {str(tile["agent"]): str(tile["circuit"]) for tile in tiles}
        for agent in sorted(set(live) | set(self.circuits)):
            seq, logged = self.circuits.get(agent, (self.size, _CLOSED))
            now = live.get(agent, _CLOSED)
            if now not in (logged, *_ON_ITS_WAY.get(logged, ())):
                yield Problem("watch", seq, _KIND, LIVE, f"the circuit of {agent} is {now}, the log says {logged}")
