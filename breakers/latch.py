"""The kill latch: a set of kills, a set of lifted kill ids and a set of vouched agents, which only grow.

An action is stopped when a kill whose id is not lifted covers it: everything, its tenant, its agent, its workflow, its
tool. Because the sets only grow, the latch is a join: the same records in any order, any number of times, over any
number of restarts and processes, give the same latch. A lift that arrives before its kill works: that id never latches.
Nothing expires, and no clock takes part.

A vouch says that a signed snapshot has once told this latch all about an agent: on the strength of it the agent may act
on its last word while *watch* is away. It lives and dies with the kills beside it. A latch vouches for
:data:`MAX_VOUCHED` agents: where each run of something is an agent of its own, every process would read about all that
ever were. One more waits for its snapshot each time.

A lift names a kill by its id; one that *watch* knows by an agent's word alone it names by scope and id
(:attr:`Kill.exactly`), so that whoever lies about the scope of somebody else's kill has lifted nothing of theirs.

Invariants (those of the file are in :mod:`breakers.latch_file`)

* A call returns once its record is durable. A kill acts in memory *before* it is written; a lift only *after*.
* What was latched in memory stays latched, whatever happens to the file; a replaced or deleted file is written anew
  from memory.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Lock
from typing import Final

from breakers.latch_file import LatchFile, Record
from fusebox import happenings
from fusebox.command import ALL, KINDS, names_someone
from fusebox.errors import BadCommand
from fusebox.records import Action, ActionKind

VOUCHES_FULL: Final = happenings.declare(
    "latch_vouches_full",
    logging.WARNING,
    "the latch file vouches for as many agents as it may: others need watch each time they start",
)
MAX_VOUCHED: Final = 20_000


@dataclass(frozen=True, slots=True)
class Kill:
    """One kill; see :class:`fusebox.command.Command` for its scope."""

    id: str
    scope: str
    reason: str = ""
    operator: str = ""
    time: float = 0.0

    @property
    def exactly(self) -> str:
        """How a lift names this kill and none of the same id with another scope; an id has no space."""
        return f"{self.scope} {self.id}"


@dataclass(frozen=True, slots=True)
class _Latched:
    """Kills in force by what they name: every action is looked up here, so no key is put together for it."""

    everything: Kill | None
    tenants: Mapping[str, Kill]
    agents: Mapping[str, Kill]
    workflows: Mapping[str, Kill]
    tools: Mapping[str, Kill]

    @classmethod
    def of(cls, kills: Iterable[Kill]) -> _Latched:
        named: dict[str, dict[str, Kill]] = {kind: {} for kind in (ALL, *KINDS)}
        for kill in kills:
            kind, _, name = kill.scope.partition(":")
            named[kind][name] = kill
        return cls(
            named[ALL].get(""), named["tenant"], named["agent"], named["workflow"], named["tool"]
        )  # fmt: skip


class Latch:
    """See the module. Thread-safe; :meth:`killed` and :meth:`stops` do no I/O and take no lock.

    Args:
        path: the file, or None for a latch that lives in memory only.
        tenant: of the agents that :meth:`killed` is asked about.

    Raises:
        OSError: the file cannot be read or written.
    """

    def __init__(self, path: Path | None = None, *, tenant: str = "default") -> None:
        self._file = LatchFile(path) if path is not None else None
        self._path, self._tenant = path, tenant
        self._lock = Lock()
        self._kills: dict[str, Kill] = {}
        self._lifted: set[str] = set()
        self._latched: _Latched | None = None
        self._unwritten: list[Record] = []
        self._vouched: set[str] = set()
        self._full = False
        self.refresh()

    def killed(self, agent: str) -> Kill | None:
        """The kill that covers ``agent`` and so all it does, if any."""
        latched = self._latched
        if latched is None:
            return None
        return latched.everything or latched.tenants.get(self._tenant) or latched.agents.get(agent)

    def stops(self, action: Action) -> Kill | None:
        """The kill that covers ``action``, if any."""
        latched = self._latched
        if latched is None:
            return None
        return (
            latched.everything
            or latched.tenants.get(action.tenant)
            or latched.agents.get(action.agent)
            or latched.workflows.get(action.workflow)
            or (latched.tools.get(action.operation) if action.kind is ActionKind.TOOL_CALL else None)
        )

    def kills(self) -> dict[str, Kill]:
        """Kills in force, by id."""
        with self._lock:
            return dict(self._kills)

    def lift_of(self, kill: Kill) -> str:
        """What this latch has lifted it by, or ``""``."""
        return next((lift for lift in (kill.id, kill.exactly) if lift in self._lifted), "")

    def lifted(self) -> frozenset[str]:
        """Kill ids that never latch (again)."""
        with self._lock:
            return frozenset(lift for lift in self._lifted if " " not in lift)

    def kill(self, kill_id: str, scope: str, *, reason: str = "", operator: str = "", time: float = 0.0) -> bool:
        """Latch; False when the kill was known or is lifted already. Acts even where the file cannot be written.

        Raises:
            BadCommand: ``scope`` names nobody.
            OSError: the kill is in force in this process, but not on disk; say it again.
        """
        if not names_someone(scope):
            raise BadCommand(f"scope {scope!r} names nobody; write all, agent:<id>, tenant:…, workflow:… or tool:…")
        kill = Kill(kill_id, scope, reason, operator, time)
        with self._lock:
            new = kill_id not in self._kills and not self.lift_of(kill)
            if new:
                self._kills[kill_id] = kill
                self._index()
                self._unwritten.append({"op": "kill", **asdict(kill)})
            self._write()
            return new

    def lift(self, ids: Iterable[str]) -> bool:
        """Lift kills, known or not, by id or :attr:`Kill.exactly`; True when any was not lifted before.

        Raises:
            OSError: it could not be written, so nothing is lifted.
        """
        with self._lock:
            new = sorted(set(ids) - self._lifted)
            if not new:
                return False
            record: Record = {"op": "lift", "ids": new}
            self._write(record)
            self._take(record)
            self._index()
            return True

    def vouch(self, agent: str) -> bool:
        """Note that a snapshot has told all about ``agent``; False when that was known, or there is no room.

        Raises:
            OSError: it could not be written.
        """
        with self._lock:
            if agent in self._vouched or self._is_full():
                return False
            record: Record = {"op": "vouch", "agent": agent}
            self._write(record)
            self._take(record)
            return True

    def _is_full(self) -> bool:
        """Told once."""
        full = len(self._vouched) >= MAX_VOUCHED
        if full and not self._full:
            happenings.emit(VOUCHES_FULL, file=str(self._path))
        self._full = full
        return full

    def vouched(self, agent: str) -> bool:
        """True when a snapshot has told this latch about ``agent``, in whichever process."""
        return agent in self._vouched

    def refresh(self) -> bool:
        """Take in what other processes have appended; True when there was anything. Cheap when there was not."""
        with self._lock:
            return self._learn(self._file.news()) if self._file is not None else False

    # --- with the lock held ----------------------------------------------------------------------------------------
    def _learn(self, records: list[Record]) -> bool:
        for record in records:
            self._take(record)
        if records:
            self._index()
        return bool(records)

    def _take(self, record: Record) -> None:
        if record["op"] == "lift":
            self._lifted.update(record["ids"])
            for lift in record["ids"]:
                kill = self._kills.get(lift.rpartition(" ")[2])
                if kill and self.lift_of(kill):
                    del self._kills[kill.id]
        elif record["op"] == "vouch":
            self._vouched.add(record["agent"])
        else:
            kill = Kill(**{k: v for k, v in record.items() if k != "op"})
            if not self.lift_of(kill):
                self._kills.setdefault(kill.id, kill)

    def _index(self) -> None:
        """Swap what :meth:`killed` and :meth:`stops` read."""
        self._latched = _Latched.of(self._kills.values()) if self._kills else None

    def _write(self, *more: Record) -> None:
        """Append what is not on disk yet."""
        if self._file is not None and (self._unwritten or more):
            with self._file.turn() as fd:
                if self._file.is_another(fd):
                    self._unwritten = self._everything()
                self._learn(self._file.read(fd))
                self._file.append(fd, [*self._unwritten, *more])
        self._unwritten.clear()

    def _everything(self) -> list[Record]:
        lifts: list[Record] = [{"op": "lift", "ids": sorted(self._lifted)}] if self._lifted else []
        kills: list[Record] = [{"op": "kill", **asdict(kill)} for kill in self._kills.values()]
        return lifts + kills + [{"op": "vouch", "agent": agent} for agent in sorted(self._vouched)]
