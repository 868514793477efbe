"""Cache: verdicts of one policy revision, for as long as the agent's risk class allows.

A new revision empties it. What a policy cannot tell apart has one key (:meth:`Questions.key`), so an answer from here
is what the policy would say, unless it looks at the time or at data that changes behind it: for that, the lifetimes.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Final

from fusebox.records import Verdict
from fusebox.registry import Risk
from governance.policy.question import Key

LIFETIMES_S: Final[Mapping[Risk, float]] = {Risk.LOW: 60.0, Risk.NORMAL: 10.0, Risk.HIGH: 0.0}
"""Seconds that a verdict stands without being asked for again."""
MAX_VERDICTS: Final = 10_000
_MAX_KEY: Final = 4_000


class Verdicts:
    """Thread-safe, bounded: the oldest goes first."""

    def __init__(self) -> None:
        self._found: dict[Key, tuple[float, Verdict]] = {}
        self._revision = ""
        self._lock = threading.Lock()

    def get(self, key: Key, now: float) -> Verdict | None:
        """The verdict, while it stands at monotonic time ``now``."""
        found = self._found.get(key)
        return found[1] if found is not None and now < found[0] else None

    def put(self, key: Key, verdict: Verdict, risk: Risk, now: float) -> None:
        """Keep a verdict."""
        lifetime = LIFETIMES_S[risk]
        with self._lock:
            if verdict.revision != self._revision:
                self._found, self._revision = {}, verdict.revision
            if lifetime and sum(map(len, key)) <= _MAX_KEY:
                self._found.pop(key, None)
                self._found[key] = (now + lifetime, verdict)
                if len(self._found) > MAX_VERDICTS:
                    del self._found[next(iter(self._found))]
