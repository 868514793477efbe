"""The board as it goes out. Who asks plainly gets the one of now; who says which one they have may get one that is
a moment old, made once for all of them: a dashboard asks every second for each person who looks at it."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import orjson

from fusebox.clock import Clock

LASTING_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One board: its name, what it says, and when it was made (monotonic seconds)."""

    tag: str
    said: bytes
    at: float

    def to(self, you: str) -> bytes:
        """The answer to whoever asked."""
        return b'{"you":' + orjson.dumps(you) + b"," + self.said[1:]


class Shown:
    """The newest board; thread-safe. ``view`` makes one."""

    def __init__(self, view: Callable[[], dict[str, Any]], clock: Clock) -> None:
        self._view, self._clock = view, clock
        self._lock = threading.Lock()
        self._last: Snapshot | None = None

    def fresh(self) -> Snapshot:
        """The board of now."""
        with self._lock:
            return self._make()

    def recent(self) -> Snapshot:
        """The last one, if it is of this second."""
        with self._lock:
            last = self._last
            return last if last and self._clock.monotonic() - last.at < LASTING_S else self._make()

    def forget(self) -> None:
        """Somebody has ordered something: they look whether it was done."""
        with self._lock:
            self._last = None

    def _make(self) -> Snapshot:
        at = self._clock.monotonic()
        self._last = Snapshot(f'"{secrets.token_hex(8)}"', orjson.dumps(self._view()), at)
        return self._last
