"""Batches keep their promises: a record that was promised in one batch never appears in another."""

from __future__ import annotations

import tempfile
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from collector.keep.batch import Batch, Batches, BatchSettings, Promises
from collector.keep.errors import EngineDown
from collector.keep.keeper import Keeper, Linger
from collector.spool.record import Record
from fusebox import happenings
from fusebox.clock import ManualClock
from tests.fixtures.collector import until

_SETTINGS = BatchSettings(max_records=4, max_bytes=100, linger=0.0)


class Disk:
    """What survives a crash: records and the cursor."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.cursor = 0
        self.astray = False


class Source:
    """A reader of it, as the spool's: goes on behind the cursor."""

    def __init__(self, disk: Disk) -> None:
        self._disk, self._position, self.astray = disk, disk.cursor, disk.astray

    def read(self, max_records: int, max_bytes: int) -> list[Record]:
        found: list[Record] = []
        for record in self._disk.records:
            if (
                record.number > self._position
                and len(found) < max_records
                and sum(len(r.payload) for r in found) < max_bytes
            ):
                found.append(record)
        self._position = found[-1].number if found else self._position
        return found

    def commit(self, number: int) -> None:
        self._disk.cursor = max(self._disk.cursor, number)
        self._position = max(self._position, number)

    def lag(self) -> int:
        return sum(len(r.payload) for r in self._disk.records if r.number > self._position)


class PromisesModel(RuleBasedStateMachine):
    """Appends, attempts, successes and crashes at every point in between."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.disk = Disk()
        self.attempts: dict[int, str] = {}
        self.stored: set[int] = set()
        self.start()

    def start(self) -> None:
        self.batches = Batches(Source(self.disk), Promises(Path(self.folder.name)), _SETTINGS, ManualClock())

    @rule(sizes=st.lists(st.integers(0, 60), min_size=1, max_size=6), gap=st.integers(1, 3))
    def append(self, sizes: list[int], gap: int) -> None:
        for size in sizes:
            last = self.disk.records[-1].number if self.disk.records else 0
            self.disk.records.append(Record(last + gap, bytes(size)))

    @rule()
    def attempt_and_fail(self) -> None:
        self.attempt()

    @rule()
    def attempt_and_succeed(self) -> None:
        batch = self.attempt()
        if batch:
            self.stored.update(self.members(batch))
            self.batches.done(batch)

    @rule()
    def attempt_store_and_crash(self) -> None:
        """The rows are in, the cursor was not moved: the same batch must come again."""
        batch = self.attempt()
        self.start()
        if batch:
            again = self.batches.next()
            assert again is not None
            assert (again.id, again.payloads, again.formed, again.retried) == (
                batch.id,
                batch.payloads,
                batch.formed,
                True,
            )

    @rule()
    def commit_and_crash(self) -> None:
        """The cursor was moved: the promise is stale."""
        batch = self.attempt()
        if batch:
            self.stored.update(self.members(batch))
            self.disk.cursor = batch.last
        self.start()

    @rule()
    def crash(self) -> None:
        self.start()

    @rule()
    def crash_and_lose_the_cursor(self) -> None:
        """Nothing is batched anew, at most the last batch comes again as it was."""
        self.disk.cursor, self.disk.astray = 0, True
        self.start()
        self.disk.astray = False

    def attempt(self) -> Batch | None:
        batch = self.batches.next()
        for number in self.members(batch) if batch else ():
            assert self.attempts.setdefault(number, batch.id if batch else "") == (batch.id if batch else "")
        return batch

    def members(self, batch: Batch) -> list[int]:
        found = [record for record in self.disk.records if batch.first <= record.number <= batch.last]
        assert tuple(record.payload for record in found) == batch.payloads
        return [record.number for record in found]

    @invariant()
    def nothing_is_skipped(self) -> None:
        """And nothing stored twice: a record belongs to one batch, see ``attempt``."""
        assert self.stored >= {record.number for record in self.disk.records if record.number <= self.disk.cursor}

    def teardown(self) -> None:
        self.folder.cleanup()


PromisesModel.TestCase.settings = settings(max_examples=60, stateful_step_count=40)
TestPromises = PromisesModel.TestCase


def test_a_member_damaged_after_the_promise_is_left_out_under_the_same_id(tmp_path: Path) -> None:
    disk = Disk()
    disk.records = [Record(n, b"x") for n in (1, 2, 3)]
    first = Batches(Source(disk), Promises(tmp_path), _SETTINGS, ManualClock()).next()
    del disk.records[1]
    again = Batches(Source(disk), Promises(tmp_path), _SETTINGS, ManualClock()).next()
    assert first is not None
    assert again is not None
    assert (again.id, again.payloads, again.last, again.retried) == (first.id, (b"x", b"x"), 3, True)


@given(place=st.integers(0, 150), bit=st.integers(0, 7), cut=st.booleans())
def test_a_damaged_promise_stops_no_start_and_moves_no_cursor(place: int, bit: int, cut: bool) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder, disk = Path(name), Disk()
        disk.records = [Record(n, b"x") for n in (7, 8, 9)]
        made = Batches(Source(disk), Promises(folder), _SETTINGS, ManualClock()).next()
        whole = (folder / "promise.json").read_bytes()
        place %= len(whole)
        broken = whole[:place] if cut else whole[:place] + bytes([whole[place] ^ 1 << bit]) + whole[place + 1 :]
        (folder / "promise.json").write_bytes(broken)
        disk.astray = True
        again = Batches(Source(disk), Promises(folder), _SETTINGS, ManualClock()).next()
    assert disk.cursor <= 6
    assert made is not None
    assert again is not None
    assert again.payloads == made.payloads
    assert again.last == 9


def test_a_damaged_promise_is_put_aside_and_reported(tmp_path: Path) -> None:
    (tmp_path / "promise.json").write_text('{"first": 1')
    before = happenings.counts()["promise_damaged"]
    assert Promises(tmp_path).read() is None
    assert (tmp_path / "promise.damaged").read_text() == '{"first": 1'
    assert happenings.counts()["promise_damaged"] == before + 1


def test_a_promise_of_an_earlier_release_is_kept(tmp_path: Path) -> None:
    (tmp_path / "promise.json").write_text('{"first": 1, "last": 2, "id": "ab", "formed": 5}')
    assert Promises(tmp_path).read() == Batch("ab", 1, 2, 5, ())


def test_a_promise_about_another_spool_hides_none_of_this_ones_records(tmp_path: Path) -> None:
    """Somebody took the spool away and left the promise: numbers begin anew."""
    old, new = Disk(), Disk()
    old.records = [Record(n, b"old") for n in (50, 51, 52)]
    assert Batches(Source(old), Promises(tmp_path), _SETTINGS, ManualClock()).next()
    batches = Batches(Source(new), Promises(tmp_path), _SETTINGS, ManualClock())
    for number in range(1, 100):
        new.records.append(Record(number, b"new"))
        batch = batches.next()
        assert batch is not None
        assert (batch.first, batch.last, batch.payloads) == (number, number, (b"new",))
        batches.done(batch)


class _Moody:
    """An inserter whose database is away for the first attempts."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.seen: list[Batch] = []

    def write(self, batch: Batch) -> None:
        self.seen.append(batch)
        if len(self.seen) <= self.failures:
            raise EngineDown("the database is away") if len(self.seen) % 2 else RuntimeError("something else")


def test_the_loop_goes_on_with_the_same_batch_until_it_is_stored(tmp_path: Path) -> None:
    disk, moody, clock = Disk(), _Moody(2), ManualClock()
    disk.records = [Record(1, b"a"), Record(2, b"b")]
    batches = Batches(Source(disk), Promises(tmp_path), _SETTINGS, clock)
    keeper = Keeper(batches, moody, clock, 0.0)  # type: ignore[arg-type]
    keeper.start()
    until(lambda: moody.seen, "a first attempt")
    until(lambda: keeper.flow.reason, "the failure shows")
    assert keeper.trouble() == ""
    clock.advance(31)
    assert "away" in keeper.trouble() or "else" in keeper.trouble()
    until(lambda: disk.cursor == 2, "the batch is stored")
    until(lambda: keeper.trouble() == "", "the trouble is over")
    keeper.stop()
    assert len({batch.id for batch in moody.seen}) == 1
    assert [batch.retried for batch in moody.seen] == [False, True, True]


def test_an_insert_that_hangs_is_no_flow(tmp_path: Path) -> None:
    disk, clock, go_on = Disk(), ManualClock(), threading.Event()
    disk.records = [Record(1, b"a")]
    hanging = threading.Event()

    class Hanging:
        def write(self, batch: Batch) -> None:
            hanging.set()
            assert go_on.wait(30)

    keeper = Keeper(Batches(Source(disk), Promises(tmp_path), _SETTINGS, clock), Hanging(), clock, 0.01)  # type: ignore[arg-type]
    keeper.start()
    assert hanging.wait(10)
    clock.advance(29)
    assert keeper.trouble() == ""
    clock.advance(2)
    assert "does not end" in keeper.trouble()
    assert keeper.lag() == 1
    disk.records.append(Record(2, b"comes meanwhile"))
    assert keeper.lag() == 16, "what waits is told while it grows"
    go_on.set()
    until(lambda: keeper.lag() == 0, "all is stored")
    until(lambda: keeper.trouble() == "", "it has ended")
    keeper.stop()


def test_a_stop_leaves_what_is_not_stored_to_the_next_process(tmp_path: Path) -> None:
    disk, moody, clock = Disk(), _Moody(10**9), ManualClock()
    disk.records = [Record(1, b"a")]
    keeper = Keeper(Batches(Source(disk), Promises(tmp_path), _SETTINGS, clock), moody, clock, 0.0)  # type: ignore[arg-type]
    keeper.start()
    until(lambda: moody.seen, "an attempt")
    keeper.stop()
    keeper.stop()
    assert disk.cursor == 0
    again = Batches(Source(disk), Promises(tmp_path), _SETTINGS, clock).next()
    assert again is not None
    assert (again.id, again.retried) == (moody.seen[0].id, True)


@pytest.mark.parametrize(("insert", "linger"), [(0.01, 0.1), (0.05, 0.15), (0.15, 0.45), (3.0, 0.5)])
def test_while_records_keep_coming_a_batch_waits_the_longer_the_slower_inserts_are(
    insert: float, linger: float
) -> None:
    clock = ManualClock()
    wait = Linger(0.1, clock.monotonic)
    assert wait.seconds == 0.1
    with wait.timed():
        clock.advance(insert)
    assert wait.seconds == pytest.approx(linger)
    clock.advance(1)
    assert wait.seconds == 0.1, "it was quiet"


@pytest.mark.parametrize(("size", "waits"), [(1 << 20, 3), (1, 5)])
def test_a_sizeable_batch_waits_only_while_more_comes(tmp_path: Path, size: int, waits: int) -> None:
    disk, clock = Disk(), ManualClock()
    batches = Batches(Source(disk), Promises(tmp_path), BatchSettings(), clock)
    linger = Linger(0.1, clock.monotonic)
    with linger.timed():
        clock.advance(3)
    disk.records = [Record(1, b"x" * size)]
    assert batches.look()
    waited = []
    for seconds in linger.steps(batches):
        waited.append(seconds)
        if len(waited) < 3:
            disk.records.append(Record(len(waited) + 1, b"x" * size))
    assert waited == pytest.approx([0.1] * waits)


def test_a_sizeable_batch_grows_for_two_seconds_at_most(tmp_path: Path) -> None:
    disk, clock = Disk(), ManualClock()
    batches = Batches(Source(disk), Promises(tmp_path), BatchSettings(), clock)
    disk.records = [Record(1, b"x" * (1 << 20))]
    assert batches.look()
    waited = []
    for seconds in Linger(0.1, clock.monotonic).steps(batches):
        waited.append(seconds)
        disk.records.append(Record(len(waited) + 1, b"x"))
    assert sum(waited) == pytest.approx(2.0)


def test_a_full_batch_waits_for_nobody_and_a_small_one_as_long_as_the_last_insert_asks(tmp_path: Path) -> None:
    disk, clock, waits = Disk(), ManualClock(), []
    disk.records = [Record(n, b"x") for n in range(1, 7)]
    batches = Batches(Source(disk), Promises(tmp_path), _SETTINGS, clock)
    keeper = Keeper(batches, _Moody(0), clock, 0.2, wait=waits.append)  # type: ignore[arg-type]
    keeper.turn()
    assert (disk.cursor, waits) == (4, []), "four are a batch"
    keeper.turn()
    assert (disk.cursor, waits) == (6, [0.2])
    keeper.turn()
    assert len(waits) == 2, "nothing is there: the spool is looked at again in a moment"
    assert waits[1] < 0.2
