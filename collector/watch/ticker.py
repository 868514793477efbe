"""Ticker: the chores that *watch* does four times a second. One that fails hinders no other, and shows in health.

One that hangs hinders those behind it, and shows as well.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Final

from fusebox import happenings

TICK_S: Final = 0.25
STUCK_S: Final = 30.0

CHORE_FAILED: Final = happenings.declare(
    "watch_chore_failed", logging.ERROR, "one of watch's chores raises, and is tried four times a second"
)


class Ticker:
    """Does chores on a thread of its own; a :class:`fusebox.lifecycle.Service`.

    Args:
        chores: what is done, in this order, by a name for people.
    """

    def __init__(self, chores: Mapping[str, Callable[[], object]]) -> None:
        self._chores = chores
        self._failing: dict[str, str] = {}
        self._doing: tuple[str, float] | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch-ticker", daemon=True)

    @property
    def failing(self) -> dict[str, str]:
        """What each chore raised that did not work the last time; and which one does not end."""
        doing = self._doing
        seconds = time.monotonic() - doing[1] if doing else 0.0
        stuck = {doing[0]: f"under way for {seconds:.0f} s"} if doing and seconds > STUCK_S else {}
        return self._failing | stuck

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout: float = 10.0) -> None:
        """Legal before start and twice."""
        self._stopping.set()
        if self._thread.ident:
            self._thread.join(timeout)

    def _run(self) -> None:
        while not self._stopping.wait(TICK_S):
            for name, chore in self._chores.items():
                self._do(name, chore)

    def _do(self, name: str, chore: Callable[[], object]) -> None:
        self._doing = (name, time.monotonic())
        try:
            chore()
        except Exception as error:  # whatever it was, the others are due
            told = repr(error)
            if self._failing.get(name) != told:  # once, not four times a second
                happenings.emit(CHORE_FAILED, chore=name, error=told)
            self._failing = {**self._failing, name: told}
        else:
            self._failing = {other: told for other, told in self._failing.items() if other != name}
        self._doing = None
