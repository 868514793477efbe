"""Contexts: reads and writes the contexts of one tenant, in any state store."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from fusebox import happenings
from fusebox.errors import ContextConflict, ContextFull, ContextLost, ContextTampered
from fusebox.store import Store
from governance.context import steps
from governance.context.entry import FACT, Entry, History
from governance.context.seal import seal, unseal

_TRIES: Final = 100

FORGOTTEN: Final = happenings.declare(
    "context_forgotten", logging.INFO, "the oldest entries of a workflow's context made room for a new one"
)
LOST: Final = happenings.declare(
    "context_lost", logging.ERROR, "a workflow's context holds less than a message says was written"
)
TAMPERED: Final = happenings.declare(
    "context_tampered", logging.ERROR, "a workflow's context was changed by somebody without the key"
)


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much a workflow may remember, and for how long."""

    max_entries: int = 1_000
    max_bytes: int = 1 << 20
    keep_s: int = 604_800


class Contexts:
    """The contexts of one tenant. Thread-safe.

    Args:
        store: where they are; only a shared one is seen by other processes.
        tenant: part of every key and every seal.
        key: gives the secret that seals; asked at each use, so that a key may come after the process started.
        bounds: of every workflow.
    """

    def __init__(self, store: Store, tenant: str, key: Callable[[], bytes], bounds: Bounds) -> None:
        self._store, self._tenant, self._key, self._bounds = store, tenant, key, bounds

    def read(self, workflow: str, known: int = 0) -> History:
        """Everything that is kept of a workflow.

        Args:
            known: number of an entry that must have been written.

        Raises:
            StoreUnavailable: the store did not answer.
            ContextLost: ``known`` is not there any more, nor anything that came after it.
            ContextTampered: a value is not what was written.
            ConfigError: there is no key.
        """
        key, row = self._key(), self._store.read(self._place(workflow))
        try:
            newest, first = int(row.get("n", "0")), int(row.get("first", "1"))
            self._expect(workflow, newest, known)
            entries = [self._open(key, workflow, row[f"e:{n}"], n) for n in range(first, newest + 1)]
            facts = {name[2:]: self._open(key, workflow, row[name]) for name in row if name.startswith("f:")}
        except (KeyError, ValueError) as error:
            raise _tampered(workflow, f"{error} is not as it was written") from error
        self._agree(workflow, row, entries, facts)
        return History(tuple(entries), facts, first - 1, newest)

    def write(self, workflow: str, entry: Entry, *, version: int = 0, known: int = 0) -> Entry:
        """Add an entry; one of type ``fact`` gives the fact its value if its version is still ``version``.

        Returns:
            The entry with its number.

        Raises:
            ContextConflict: the fact has another version, or too many agents write at once.
            ContextFull: the entry, or all facts together, would be larger than ``max_bytes``.
            BadMessage: it has no JSON form, or no proper name.
            StoreUnavailable, ContextLost, ConfigError: as in :meth:`read`.
        """
        key, text, newest = self._key(), entry.dump(), known
        fact = entry.name if entry.type == FACT else ""
        for _ in range(_TRIES):
            sealed = seal(key, self._tenant, workflow, newest + 1, text)
            word, newest, dropped = self._step(workflow, newest + 1, sealed, fact, version)
            self._expect(workflow, newest, known)
            if word == steps.WRITTEN:
                if dropped:
                    happenings.emit(FORGOTTEN, count=dropped, workflow=workflow)
                return Entry.load(newest, text)
            if word == steps.CONFLICT:
                raise ContextConflict(f"{workflow}: fact {fact!r} has changed since version {version}; read it again")
            if word == steps.FULL:
                raise ContextFull(f"{workflow}: {len(sealed)} bytes more than fit; see context_max_bytes")
        raise ContextConflict(f"{workflow}: {_TRIES} other entries came first; try again")

    def _step(self, workflow: str, number: int, sealed: str, fact: str, version: int) -> tuple[str, int, int]:
        most, room = str(self._bounds.max_entries), str(self._bounds.max_bytes)
        args = (str(number), sealed, fact, str(version), most, room)
        word, newest, dropped = self._store.run(steps.WRITE, self._place(workflow), *args, ttl=self._bounds.keep_s)
        return str(word), int(newest), int(dropped)

    def _place(self, workflow: str) -> str:
        return f"fusebox:context:{quote(self._tenant, safe='')}:{quote(workflow, safe='')}"

    def _expect(self, workflow: str, newest: int, known: int) -> None:
        if newest >= known:
            return
        happenings.emit(LOST, workflow=workflow, newest=newest, known=known)
        where = "lost, expired or restored" if self._store.shared else "in another process; set redis_url"
        raise ContextLost(f"{workflow}: entry {known} was written and the newest here is {newest}: {where}")

    def _open(self, key: bytes, workflow: str, sealed: str, number: int | None = None) -> Entry:
        opened = unseal(key, self._tenant, workflow, sealed)
        if opened is None or number not in (None, opened[0]):
            raise ValueError(f"entry {number}" if number else "a fact")
        return Entry.load(*opened)

    def _agree(self, workflow: str, row: Mapping[str, str], entries: list[Entry], facts: Mapping[str, Entry]) -> None:
        """Entries and facts tell the same story (invariants 1 and 3)."""
        newest = {entry.name: entry for entry in entries if entry.type == FACT}
        first, last = (entries[0].number, entries[-1].number) if entries else (1, 0)
        for name, fact in facts.items():
            older = fact.number < first and name not in newest
            if fact.name != name or not (older or newest.get(name) == fact):
                raise _tampered(workflow, f"fact {name!r} is not what was put last")
        if newest.keys() - facts or sum(name.startswith("e:") for name in row) != last - first + 1:
            raise _tampered(workflow, "a fact was removed, or an entry added")


def _tampered(workflow: str, why: str) -> ContextTampered:
    happenings.emit(TAMPERED, workflow=workflow, why=why)
    return ContextTampered(f"{workflow}: {why}; somebody without context_key wrote to the state store")
