"""What changed in the configuration: each role says what it starts with, *watch* journals what is different.

An entry ``config`` has the role as subject, who started it as actor, and in its payload the ``digest`` of everything
that holds now and the ``diff``: ``{name, before, after}``, null for what is not there, :data:`MAX_DIFF` at most (then
``more`` says how many further ones there are). What held before is in ``<role>.journaled.json`` beside what the role
wrote (:mod:`collector.configured`), and is trusted only while its hash is the last journaled digest: else the entry
says ``known: false`` and every value is new.

What a role started with while *watch* was away is journaled when *watch* is back; of several starts the last.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from collector.audit.entry import Note
from collector.audit.journal import Journal, JournalBroken
from collector.configured import FOLDER, digest
from fusebox.rundir import write_atomic

Json = dict[str, Any]
MAX_DIFF: Final = 200
_JOURNALED: Final = ".journaled.json"


class Changes:
    """Compares what roles say with what the journal says of them."""

    def __init__(self, data_dir: Path, journal: Journal) -> None:
        self._folder, self._journal = data_dir / FOLDER, journal
        self._digests: dict[str, str] = {}
        self._seen: dict[Path, int] = {}

    def learn(self, entry: Json) -> None:
        """Take in one entry of the journal."""
        if entry["kind"] == "config":
            self._digests[entry["subject"]] = entry["payload"]["digest"]

    def check(self) -> None:
        """Write down what changed. A broken journal waits for next time."""
        for path in sorted(self._folder.glob("*.json")):
            if not path.name.endswith(_JOURNALED):
                self._look(path)

    def _look(self, path: Path) -> None:
        try:
            changed = path.stat().st_mtime_ns
            if self._seen.get(path) == changed:
                return
            said = json.loads(path.read_text())
            self._compare(path.stem, said["values"], str(said["user"]))
        except (OSError, ValueError, KeyError, TypeError, JournalBroken):
            return  # it is being replaced, or cannot be journaled: next time
        self._seen[path] = changed

    def _compare(self, role: str, values: dict[str, str], user: str) -> None:
        now, last = digest(values), self._digests.get(role)
        if now == last:
            return
        before = self._before(role, last)
        diff = _diff(before or {}, values)
        payload: Json = {"digest": now, "known": before is not None or last is None, "diff": diff[:MAX_DIFF]}
        if len(diff) > MAX_DIFF:
            payload["more"] = len(diff) - MAX_DIFF
        reason = "first start" if last is None else f"{len(diff)} values changed"
        self._journal.append(Note("config", f"user:{user}", role, reason, payload=payload))
        self._digests[role] = now
        write_atomic(self._folder / f"{role}{_JOURNALED}", json.dumps(values))

    def _before(self, role: str, last: str | None) -> dict[str, str] | None:
        """What was journaled last, unless it is lost or somebody changed it."""
        try:
            values = json.loads((self._folder / f"{role}{_JOURNALED}").read_text())
            return values if digest(values) == last else None
        except (OSError, ValueError, TypeError):
            return None


def _diff(before: dict[str, str], now: dict[str, str]) -> list[Json]:
    return [
        {"name": name, "before": before.get(name), "after": now.get(name)}
        for name in sorted(before.keys() | now.keys())
        if before.get(name) != now.get(name)
    ]
