"""Fusebox's own events: one call writes the log line and bumps the counter, so neither is ever forgotten.

Every kind is declared below with the sentence that documents it; a role shows the counters at ``/metrics`` and
``fusebox doctor``. Log lines are JSON with control characters escaped: one happening, one line.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from threading import Lock
from typing import Final

log = logging.getLogger("fusebox")


@dataclass(frozen=True, slots=True)
class Kind:
    """A declared happening: its name, its log level and what it means for a reader."""

    name: str
    level: int
    meaning: str


_KINDS: dict[str, Kind] = {}
_counts: Counter[str] = Counter()
_lock = Lock()
_rehearsing: ContextVar[bool] = ContextVar("rehearsing", default=False)


def declare(name: str, level: int, meaning: str) -> Kind:
    """Declare a kind once, at module load."""
    if name in _KINDS:
        raise ValueError(f"happening {name!r} is declared twice")
    _KINDS[name] = kind = Kind(name, level, meaning)
    return kind


@contextmanager
def rehearsal() -> Iterator[None]:
    """What happens inside, in this context, is a trial of our own: logged to debug alone, and not counted."""
    token = _rehearsing.set(True)
    try:
        yield
    finally:
        _rehearsing.reset(token)


def emit(kind: Kind, /, *, count: int = 1, **fields: object) -> None:
    """Count ``kind`` and log it with ``fields``."""
    if _rehearsing.get():
        log.debug("%s", json.dumps({"event": kind.name, "rehearsal": True, **fields}, default=str))
        return
    with _lock:
        _counts[kind.name] += count
    if log.isEnabledFor(kind.level):
        log.log(kind.level, "%s", json.dumps({"event": kind.name, **fields}, default=str))


def counts() -> dict[str, int]:
    """How often each declared kind happened in this process, zeros included."""
    with _lock:
        return {name: _counts[name] for name in sorted(_KINDS)}


def kinds() -> tuple[Kind, ...]:
    """All declared kinds, by name."""
    return tuple(_KINDS[name] for name in sorted(_KINDS))


GUARD_FAILED: Final = declare("guard_failed", logging.ERROR, "a guard raised; the action was denied")
SPANS_DROPPED: Final = declare("spans_dropped", logging.WARNING, "telemetry buffer full or undeliverable at exit")
SPANS_EXPORTED: Final = declare("spans_exported", logging.DEBUG, "spans delivered to the collector")
EXPORT_FAILED: Final = declare("export_failed", logging.INFO, "the collector did not take a batch; it is kept")
COMMAND_REJECTED: Final = declare("command_rejected", logging.WARNING, "a Command failed verification")
COMMAND_STALE: Final = declare(
    "command_stale", logging.INFO, "a genuine Command came outside its window and was not obeyed; kills have none"
)
