"""Reach: whether what *watch* decides gets to others, by shared state and by each way that Commands leave by."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from breakers.circuit import Circuits
from collector.watch.outbound import REDIS, Outbound
from fusebox.clock import Clock
from fusebox.metrics import Gauge

APART_S: Final = 10.0
"""A board that was not agreed with for so long may say something else than *watch*."""


class Reach:
    """Looks at what hangs as well as at what refuses: a server that is stopped takes connections, and answers nothing.

    Args:
        shared: whether the board is one that other processes see.
        tell: is given which server it is, what is wrong and since when (Unix seconds), again and again while it lasts.
    """

    def __init__(
        self, circuits: Circuits, ways: Sequence[Outbound], clock: Clock, *, shared: bool,
        tell: Callable[[str, str, float], None],
    ) -> None:  # fmt: skip
        self._circuits, self._ways, self._clock, self._shared, self._tell = circuits, ways, clock, shared, tell
        self._began = clock.monotonic()
        self._since: dict[str, float] = {}

    def trouble(self) -> list[str]:
        """What does not get to others, in sentences; empty when all does."""
        return [sentence for _, sentence in self._troubles()]

    def look(self) -> None:
        """Tell people, of each server by itself: one that is away for days hides no other. Called again and again."""
        trouble = dict(reversed(self._troubles()))  # of two sentences about one server the first
        now = self._clock.now()
        self._since = {server: self._since.get(server, now) for server in trouble}
        for server, sentence in trouble.items():
            self._tell(server, sentence, self._since[server])

    def samples(self) -> Iterator[Gauge]:
        """Figures for ``/metrics``."""
        yield Gauge("watch_board_age_seconds", "how long ago watch agreed with the shared board", self._age())
        for way in self._ways:
            meaning = "1 while Commands can leave by a way, 0 while they do not"
            yield Gauge("watch_way_up", meaning, not way.trouble(), {"way": way.way})

    def _troubles(self) -> list[tuple[str, str]]:
        """By server."""
        all_of_them = [(REDIS, self._apart()), *((way.way, way.trouble()) for way in self._ways)]
        return [(server, sentence) for server, sentence in all_of_them if sentence]

    def _age(self) -> float:
        return self._circuits.since_agreed(self._began) if self._shared else 0.0

    def _apart(self) -> str:
        age = self._age()
        if age <= APART_S:
            return ""
        return f"shared state (Redis) does not answer for {age:.0f} s; circuits that are open admit no probe"
