"""What a killed agent still does: nothing, whatever is done to its process, host, clock, network and shared state.

A *story* is a set of faults and when they strike: before the kill is ordered, in the same moment, or once it is
confirmed, which is when every living process that was due a Receipt has sent it. Calls are counted from then on, in
every process of the agent; all of them must have tried, and after the resume all of them must work again. A process
that was started behind a pulled cable was not due: it is counted from its first refusal.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from benchmarks.killing import Site, Tireless, until

AGENT: Final = "bench-killed"
HOUR: Final = 3600.0
RESTART, PROCESS, HOST, FLUSH, BACKUP, NETWORK = "restart", "new process", "new host", "flush", "old backup", "network"
FAST, SLOW = "clock +1 h", "clock -1 h"
FAULTS: Final = (NETWORK, FAST, SLOW, FLUSH, BACKUP, RESTART, PROCESS, HOST)
TIMINGS: Final = ("before", "during", "after")
_WATCHED_S: Final = 0.2


@dataclass(frozen=True, slots=True)
class Story:
    """Which faults, and when."""

    faults: tuple[str, ...]
    timing: str

    def __str__(self) -> str:
        return f"{' + '.join(self.faults)} ({self.timing})"


def every_story() -> Iterator[Story]:
    """All combinations (a clock is wrong in one direction only), each at every timing; the simple ones first."""
    for count in range(1, len(FAULTS)):
        for faults in itertools.combinations(FAULTS, count):
            if not {FAST, SLOW} <= set(faults):
                yield from (Story(faults, timing) for timing in TIMINGS)


class Stage:
    """Plays stories on one site."""

    def __init__(self, site: Site) -> None:
        self._site, self._home = site, site.host("host-0")
        self._hosts = itertools.count(1)
        self._main = site.start(AGENT, self._home)
        self._others: list[Tireless] = []
        self._offset, self._cut = 0.0, False
        self._unheard: set[Tireless] = set()
        self._deeds: dict[str, Callable[[], None]] = {
            NETWORK: lambda: self._network(cut=True), FAST: lambda: self._clock(HOUR), SLOW: lambda: self._clock(-HOUR),
            FLUSH: site.redis.flush, BACKUP: site.redis.restore, RESTART: self._restart,
            PROCESS: lambda: self._others.append(self._begin(self._home)),
            HOST: lambda: self._others.append(self._begin(site.host(f"host-{next(self._hosts)}"))),
        }  # fmt: skip
        self._main.awaited("A", 0.0)
        until(lambda: site.leased(self._main), "watch knows the process")
        site.redis.back_up()

    @property
    def _everybody(self) -> list[Tireless]:
        return [self._main, *self._others]

    def play(self, story: Story) -> int:
        """Calls made after the kill."""
        try:
            return self._play(story)
        except TimeoutError as error:
            raise TimeoutError(f"{story}: {error}") from error

    def _play(self, story: Story) -> int:
        ordered = time.monotonic()
        since = self._confirmed_kill(story)
        if story.timing == "after":
            self._strike(story)
        self._watch(since, ordered)
        self._network(cut=False)
        calls = self._watch(since, ordered)
        self._end()
        return calls

    def _confirmed_kill(self, story: Story) -> float:
        """Kill, with the faults before it or in the same moment; when it was confirmed."""
        strike = threading.Thread(target=self._strike, args=(story,))
        if story.timing != "after":
            strike.start()
        if story.timing == "before":
            strike.join()
        answer = self._site.kill(AGENT)
        if story.timing != "after":
            strike.join()
            self._network(cut=False)  # who is cut off confirms nothing
        return self._site.confirmed(answer)

    def _watch(self, since: float, ordered: float) -> int:
        """Let everybody try; the calls they made although they knew."""
        now = time.monotonic()
        for process in self._everybody:
            process.awaited("R", now)
        time.sleep(_WATCHED_S)
        return sum(len(process.noted("A", self._knew(process, since, ordered))) for process in self._everybody)

    def _knew(self, process: Tireless, since: float, ordered: float) -> float:
        return max(since, process.awaited("R", ordered)) if process in self._unheard else since

    def _end(self) -> None:
        """Heal all, resume, and see that everybody works again."""
        self._clock(0.0)
        self._site.resume(AGENT)
        resumed = time.monotonic()
        for process in self._everybody:
            process.awaited("A", resumed)
        for process in self._others:
            self._site.end(process)
        self._others.clear()
        self._unheard.clear()

    # --- deeds ------------------------------------------------------------------------------------------------------
    def _strike(self, story: Story) -> None:
        for fault in story.faults:
            self._deeds[fault]()

    def _network(self, *, cut: bool) -> None:
        self._cut = cut
        self._site.pull_cables(cut)

    def _clock(self, offset: float) -> None:
        self._offset = offset
        for process in self._everybody:
            process.clock(offset)

    def _begin(self, settings: dict[str, str]) -> Tireless:
        self._site.pull_cables(self._cut)  # a fresh host's too
        started = self._site.start(AGENT, settings, self._offset)
        until(lambda: started.noted("A", 0.0) or started.noted("R", 0.0), "the new process tries")
        if self._cut:
            self._unheard.add(started)
        else:
            until(lambda: self._site.leased(started), "watch knows the new process")
        return started

    def _restart(self) -> None:
        self._site.end(self._main)
        self._main = self._begin(self._home)
