"""The outbox of a sink against a model: killed at any step, nothing is lost, and a crash costs one duplicate."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from collector.alerts.box import Box
from collector.alerts.folder import Folder
from collector.alerts.parcel import Parcel
from collector.alerts.sinks import Fate, Outcome
from collector.alerts.waiting import Grouping
from fusebox.clock import ManualClock
from tests.collector.receiver import alert

DIES = st.one_of(st.just(0), st.integers(1, 12))
"""The step at which the process is killed; 0: it is not."""


class Killed(BaseException):
    """SIGKILL, as far as the box can tell: nothing after it happens."""


class Fuse:
    """Kills at the so-manieth step from now."""

    def __init__(self) -> None:
        self.left = 0

    def burn(self) -> None:
        self.left -= 1
        if self.left == 0:
            raise Killed


class FragileFolder(Folder):
    """Dies before or after anything it does to a file."""

    def __init__(self, path: Path, fuse: Fuse) -> None:
        super().__init__(path)
        self._fuse = fuse

    def put(self, parcel: Parcel) -> None:
        self._fuse.burn()
        super().put(parcel)
        self._fuse.burn()

    def remove(self, parcel: Parcel) -> None:
        self._fuse.burn()
        super().remove(parcel)
        self._fuse.burn()


class FragileSink:
    """A receiver that is away, refuses, takes, or takes and whose answer is lost; the sender may die around each."""

    name = "fragile"

    def __init__(self, fuse: Fuse) -> None:
        self._fuse = fuse
        self.mood = "take"
        self.got: list[Parcel] = []
        self.attempted: set[str] = set()

    def deliver(self, parcel: Parcel) -> Outcome:
        self.attempted |= {each.id for each in parcel.alerts}
        self._fuse.burn()
        if self.mood in ("take", "lose the answer"):
            self.got.append(parcel)
        self._fuse.burn()
        if self.mood == "take":
            return Outcome(Fate.DELIVERED)
        return Outcome(Fate.REFUSED if self.mood == "refuse" else Fate.RETRY)

    def close(self) -> None:
        return


class OutboxMachine(RuleBasedStateMachine):
    """Puts, attempts, waits, kills."""

    @initialize()
    def begin(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="fusebox-box-"))
        self.clock, self.fuse, self.grouping = ManualClock(), Fuse(), Grouping(5.0)
        self.sink = FragileSink(self.fuse)
        self.accepted: set[str] = set()
        self.offered: set[str] = set()
        self.crashes: Counter[str] = Counter()
        """Of each alert, those after its first attempt: only they may cost a duplicate of it."""
        self.box = self.restarted()

    def restarted(self) -> Box:
        self.fuse.left = 0
        folder = FragileFolder(self.path / "box", self.fuse)
        return Box(folder, self.sink, self.grouping, self.clock, lambda *_: None)

    @rule(count=st.integers(1, 6), dies=DIES)
    def put(self, count: int, dies: int) -> None:
        self.fuse.left = dies
        for _ in range(count):
            made = alert(len(self.offered))
            self.offered.add(made.id)
            try:
                self.box.put(made)
                self.accepted.add(made.id)
            except Killed:
                self.crash()

    @rule(mood=st.sampled_from(["take", "lose the answer", "refuse", "away"]), steps=st.integers(1, 6), dies=DIES)
    def attempt(self, mood: str, steps: int, dies: int) -> None:
        self.sink.mood, self.fuse.left = mood, dies
        try:
            for _ in range(steps):
                self.box.step()
        except Killed:
            self.crash()

    @rule(seconds=st.sampled_from([1.0, 5.0, 40.0, 400.0]))
    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)

    def crash(self) -> None:
        self.crashes.update(self.sink.attempted)
        self.box = self.restarted()

    @invariant()
    def nothing_comes_that_nobody_put(self) -> None:
        if hasattr(self, "sink"):
            assert {each.id for parcel in self.sink.got for each in parcel.alerts} <= self.offered

    def teardown(self) -> None:
        if not hasattr(self, "box"):
            return
        self.sink.mood, self.fuse.left = "take", 0
        for _ in range(500):
            pause = self.box.step()
            if pause is None:
                break
            self.clock.advance(pause)
        # A receiver knows a retry by its id, so what counts is under how many ids an alert came.
        came = Counter(each.id for parcel in {p.id: p for p in self.sink.got}.values() for each in parcel.alerts)
        assert self.accepted <= came.keys()
        assert not {id: count for id, count in came.items() if count - 1 > self.crashes[id]}
        assert self.box.pending == 0
        assert not list(self.path.glob("box/*.json"))
        shutil.rmtree(self.path)


TestOutbox = OutboxMachine.TestCase
TestOutbox.settings = settings(max_examples=40, stateful_step_count=12)
