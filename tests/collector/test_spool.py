"""The spool as its users see it: durable, ordered, bounded, and never in need of a person."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from collector.spool import Reader, SpoolFailed, SpoolFull, Writer, quarantined, recent
from collector.spool.record import HEADER
from fusebox import happenings
from fusebox.clock import ManualClock
from fusebox.errors import ConfigError, DataDirInUse
from tests.fixtures.agents import eventually
from tests.need import PATIENCE_S

MIB = 1 << 20
GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def writer(folder: Path) -> Iterator[Writer]:
    opened = Writer(folder, 64 * MIB, segment_bytes=2000)
    yield opened
    opened.close()


def payloads(reader: Reader, max_records: int = 10_000, max_bytes: int = MIB) -> list[bytes]:
    return [record.payload for record in reader.read(max_records, max_bytes)]


def counted(name: str) -> int:
    return happenings.counts()[name]


def test_records_come_out_in_order_and_once(folder: Path, writer: Writer) -> None:
    sent = [f"record {i}".encode() * (i % 50) for i in range(300)]
    numbers = [writer.append(payload) for payload in sent]
    reader = Reader(folder, "keep")
    assert numbers == sorted(set(numbers))
    assert payloads(reader) == sent
    assert payloads(reader) == []
    assert writer.append(b"one more") > numbers[-1]
    assert payloads(reader) == [b"one more"]


def test_a_read_is_bounded_but_never_starves(folder: Path, writer: Writer) -> None:
    for _ in range(3):
        writer.append(b"x" * 1000)
    reader = Reader(folder, "keep")
    assert len(payloads(reader, max_records=1)) == 1
    assert len(payloads(reader, max_bytes=10)) == 1
    assert reader.lag() == 1000 + HEADER
    assert len(payloads(reader)) == 1
    assert reader.lag() == 0


def test_a_reader_goes_on_behind_its_last_commit(folder: Path, writer: Writer) -> None:
    numbers = [writer.append(b"%d" % i) for i in range(100)]
    first = Reader(folder, "watch")
    first.read(60, MIB)
    first.commit(numbers[49])
    first.commit(numbers[9])
    assert payloads(Reader(folder, "watch")) == [b"%d" % i for i in range(50, 100)]


def test_a_reader_may_come_before_the_writer(folder: Path) -> None:
    reader = Reader(folder, "early")
    assert reader.read(1, 1) == []
    assert reader.lag() == 0
    writer = Writer(folder, MIB)
    writer.append(b"hello")
    assert payloads(reader) == [b"hello"]
    writer.close()


def test_a_reader_that_has_read_everything_lags_nothing_after_a_restart(folder: Path, writer: Writer) -> None:
    Reader(folder, "keep").commit(writer.append(b"read before"))
    restarted = Reader(folder, "keep")
    assert restarted.lag() == 0
    writer.append(b"new")
    assert restarted.lag() > 0
    assert payloads(restarted) == [b"new"]
    assert restarted.lag() == 0


def test_names_that_leave_the_folder_are_refused(folder: Path) -> None:
    with pytest.raises(ConfigError, match="reader name"):
        Reader(folder, "../escape")


def test_segments_are_deleted_once_everybody_passed_them(folder: Path, writer: Writer) -> None:
    numbers = [writer.append(b"x" * 500) for _ in range(40)]
    full = writer.size()
    Reader(folder, "keep").commit(numbers[-1])
    writer.append(b"x" * 500)
    assert writer.size() > full, "watch never read anything, so nothing may go"
    Reader(folder, "watch").commit(numbers[-1])
    for _ in range(10):
        numbers.append(writer.append(b"x" * 500))
    assert writer.size() < full / 2
    late = Reader(folder, "late")
    assert [r.number for r in late.read(100, MIB)][-10:] == numbers[-10:]


def test_a_full_spool_refuses_and_recovers_when_read(folder: Path) -> None:
    writer = Writer(folder, 10_000)
    written = [writer.append(b"x" * 900) for _ in range(10)]
    assert writer.trouble() == ""
    with pytest.raises(SpoolFull, match="spool_max_bytes"):
        writer.append(b"x" * 900)
    assert "spool_max_bytes" in writer.trouble()
    assert writer.size() <= 10_000
    for name in ("keep", "watch"):
        reader = Reader(folder, name)
        assert [r.number for r in reader.read(100, MIB)] == written
        reader.commit(written[-1])
    assert writer.trouble() == "", "nobody has to send anything for it to notice"
    assert writer.append(b"x" * 900) > written[-1]
    writer.close()
    assert "closed" in writer.trouble()


def test_only_one_process_writes(folder: Path, writer: Writer) -> None:
    with pytest.raises(DataDirInUse, match=str(os.getpid())):
        Writer(folder, MIB)
    writer.close()
    Writer(folder, MIB).close()


def test_a_closed_writer_refuses(folder: Path, writer: Writer) -> None:
    writer.append(b"kept")
    writer.close()
    writer.close()
    with pytest.raises(SpoolFailed, match="closed"):
        writer.append(b"late")
    assert payloads(Reader(folder, "keep")) == [b"kept"]


def test_numbers_are_never_given_twice(folder: Path) -> None:
    """Even when every segment is gone, a reader's cursor must not hide what comes next."""
    writer = Writer(folder, MIB)
    number = writer.append(b"old")
    writer.close()
    Reader(folder, "keep").commit(number)
    for segment in folder.glob("*.seg"):
        segment.unlink()
    (folder / "durable").unlink()
    writer = Writer(folder, MIB)
    assert writer.append(b"new") > number
    assert payloads(Reader(folder, "keep")) == [b"new"]
    writer.close()


def test_threads_share_one_sync(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While one sync runs, the appends of all other threads gather for the next one."""
    writer = Writer(folder, 64 * MIB)
    syncs, entered, release = [], threading.Event(), threading.Event()
    real = os.fdatasync

    def slow(fd: int) -> None:
        syncs.append(fd)
        entered.set()
        assert release.wait(10)
        real(fd)

    monkeypatch.setattr(os, "fdatasync", slow)
    threads = [threading.Thread(target=writer.append, args=(b"%d" % i,)) for i in range(20)]
    threads[0].start()
    assert entered.wait(10)
    for thread in threads[1:]:
        thread.start()
    while writer.size() < 20 * HEADER + 30:  # 10 one-digit and 10 two-digit payloads
        assert any(t.is_alive() for t in threads)
    assert payloads(Reader(folder, "keep")) == [], "nobody reads what is not synced"
    release.set()
    for thread in threads:
        thread.join(10)
    assert len(syncs) == 2
    assert sorted(payloads(Reader(folder, "keep")), key=int) == [b"%d" % i for i in range(20)]
    writer.close()


def test_a_failed_sync_is_not_repeated_and_not_acknowledged(
    folder: Path, writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer.append(b"before")
    synced: list[int] = []
    real = os.fdatasync

    def failing(fd: int) -> None:
        synced.append(os.fstat(fd).st_ino)
        if len(synced) == 1:
            raise OSError(5, "Input/output error")
        real(fd)

    monkeypatch.setattr(os, "fdatasync", failing)
    with pytest.raises(SpoolFailed, match="Input/output error"):
        writer.append(b"refused")
    assert "Input/output error" in writer.trouble()
    writer.append(b"after")
    assert writer.trouble() == ""
    assert len(set(synced)) == 2, "the next append must use another file"
    assert payloads(Reader(folder, "keep")) == [b"before", b"after"]
    writer.close()
    reopened = Writer(folder, MIB)
    assert payloads(Reader(folder, "watch")) == [b"before", b"after"]
    reopened.close()


def test_a_disk_that_does_not_answer_shows_while_the_record_waits(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, answers, real = ManualClock(), threading.Event(), os.fdatasync
    writer = Writer(folder, 64 * MIB, clock=clock)
    monkeypatch.setattr(os, "fdatasync", lambda fd: (answers.wait(PATIENCE_S), real(fd)))
    appending = threading.Thread(target=writer.append, args=(b"waits",))
    appending.start()
    eventually(lambda: writer._syncing, what="the disk has it")
    assert writer.trouble() == ""
    clock.advance(11)
    assert "does not answer for 11 s" in writer.trouble()
    answers.set()
    appending.join(PATIENCE_S)
    assert writer.trouble() == ""
    writer.close()


def test_when_the_failed_part_cannot_be_cut_the_writer_refuses_until_reopened(
    folder: Path, writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer.append(b"before")

    def broken(*_: object) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", broken)
        patch.setattr(os, "ftruncate", broken)
        with pytest.raises(SpoolFailed):
            writer.append(b"refused")
    with pytest.raises(SpoolFailed, match="restart receive"):
        writer.append(b"also refused")
    writer.close()
    reopened = Writer(folder, MIB)
    reopened.append(b"after")
    assert payloads(Reader(folder, "keep"))[0] == b"before"
    assert payloads(Reader(folder, "watch"))[-1] == b"after"
    reopened.close()


def test_what_goes_into_a_segment_that_somebody_deleted_is_not_acknowledged(folder: Path, writer: Writer) -> None:
    """As by an administrator who makes room: *receive* has the file open, so every write and sync succeeds."""
    writer.append(b"deleted by somebody")
    for segment in folder.glob("*.seg"):
        segment.unlink()
    with pytest.raises(SpoolFailed, match="deleted"):
        writer.append(b"refused")
    writer.append(b"after")
    assert payloads(Reader(folder, "keep")) == [b"after"]


def test_a_folder_that_cannot_be_used_is_a_reason_to_come_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its disk became read-only, say: segments that everybody passed cannot be deleted."""

    def read_only(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    writer = Writer(folder, MIB, readers=("keep",), segment_bytes=100)
    keep = Reader(folder, "keep")
    keep.commit(writer.append(b"x" * 100))
    keep.commit(writer.append(b"x" * 100))
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", read_only)
        with pytest.raises(SpoolFailed, match="Read-only"):
            writer.append(b"refused")
        assert "Read-only" in writer.trouble()
    writer.append(b"after")
    assert writer.trouble() == ""
    writer.close()


def test_a_short_write_leaves_nothing_behind(folder: Path, writer: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    """As with a full disk: the kernel takes a part of the record, then no more."""
    writer.append(b"before")
    with monkeypatch.context() as patch:
        patch.setattr(os, "writev", lambda fd, parts: os.write(fd, parts[0][:9]))
        with pytest.raises(SpoolFull, match="make room"):
            writer.append(b"refused")
        assert "make room" in writer.trouble()
    writer.append(b"after")
    assert writer.trouble() == ""
    damaged = counted("spool_damaged")
    assert payloads(Reader(folder, "keep")) == [b"before", b"after"]
    assert counted("spool_damaged") == damaged


def test_a_torn_tail_is_cut_off_without_alarm(folder: Path, writer: Writer) -> None:
    writer.append(b"safe")
    writer.close()
    with next(folder.glob("*.seg")).open("ab") as file:
        file.write(b"\xf5SPL half a reco")
    damaged, torn = counted("spool_damaged"), counted("spool_torn")
    reopened = Writer(folder, MIB)
    reopened.append(b"next")
    assert payloads(Reader(folder, "keep")) == [b"safe", b"next"]
    assert (counted("spool_damaged"), counted("spool_torn")) == (damaged, torn + 1)
    reopened.close()


def test_damage_in_the_middle_costs_only_what_is_damaged(folder: Path) -> None:
    writer = Writer(folder, 64 * MIB)
    for i in range(10):
        writer.append(b"%d" % i * 100)
    path = next(folder.glob("*.seg"))
    data = bytearray(path.read_bytes())
    data[3 * (100 + HEADER) + HEADER + 50] ^= 1
    path.write_bytes(data)
    lost = counted("spool_records_lost")
    assert payloads(Reader(folder, "keep")) == [b"%d" % i * 100 for i in range(10) if i != 3]
    assert counted("spool_records_lost") == lost + 1
    assert [p.name for p in (folder / "quarantine").iterdir()] == [path.name]
    writer.close()


def test_a_payload_that_looks_like_a_record_is_never_taken_for_one(folder: Path) -> None:
    writer = Writer(folder, 64 * MIB)
    writer.append(b"innocent")
    path = next(folder.glob("*.seg"))
    writer.append(b"-" * 10 + path.read_bytes()[: HEADER + 8].replace(b"innocent", b"forgedxx"))
    writer.append(b"after")
    data = bytearray(path.read_bytes())
    data[HEADER + 8] ^= 1
    path.write_bytes(data)
    assert payloads(Reader(folder, "keep")) == [b"innocent", b"after"]
    writer.close()


def test_a_damaged_cursor_starts_at_the_oldest_record(folder: Path, writer: Writer) -> None:
    numbers = [writer.append(b"%d" % i) for i in range(5)]
    Reader(folder, "keep").commit(numbers[-1])
    (folder / "cursors" / "keep").write_bytes(b"\xff\x00garbage")
    assert len(payloads(Reader(folder, "keep"))) == 5


def test_a_damaged_mark_is_not_believed(folder: Path, writer: Writer) -> None:
    number = writer.append(b"before")
    writer.close()
    (folder / "durable").write_bytes(b"\xff" * 16)
    assert Reader(folder, "keep").read(1, 1) == []
    reopened = Writer(folder, MIB)
    assert reopened.append(b"after") == number + 1
    assert payloads(Reader(folder, "keep")) == [b"before", b"after"]
    reopened.close()


def test_recent_tells_what_was_just_received(folder: Path, writer: Writer) -> None:
    numbers = [writer.append(b"%d" % i) for i in range(5)]
    Reader(folder, "keep").commit(numbers[-1])
    writer.close()
    assert [record.payload for record in recent(folder)] == [b"0", b"1", b"2", b"3", b"4"]


def test_a_mark_that_cannot_be_moved_leaves_nobody_waiting(
    folder: Path, writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    syncing, go = threading.Event(), threading.Event()
    sync = os.fdatasync

    def slow_sync(fd: int) -> None:
        syncing.set()
        assert go.wait(10)
        sync(fd)

    def fail(*_: object) -> int:
        raise OSError(5, "input/output error")

    outcomes: list[object] = []

    def append(payload: bytes) -> None:
        try:
            outcomes.append(writer.append(payload))
        except SpoolFailed as error:
            outcomes.append(error)

    with monkeypatch.context() as patched:
        patched.setattr(os, "fdatasync", slow_sync)
        patched.setattr(os, "pwrite", fail)
        threads = [threading.Thread(target=append, args=(b"%d" % n,)) for n in range(3)]
        for thread in threads:
            thread.start()
            assert syncing.wait(10)
        go.set()
        for thread in threads:
            thread.join(5)
        assert not any(thread.is_alive() for thread in threads)
    assert len(outcomes) == 3
    assert all(isinstance(outcome, SpoolFailed) for outcome in outcomes)
    writer.append(b"after")
    assert payloads(Reader(folder, "keep"))[-1] == b"after"


def test_a_spool_that_is_not_emptied_in_time_refuses_and_resumes_by_itself(folder: Path) -> None:
    clock = ManualClock(time.time())
    writer = Writer(folder, 64 * MIB, max_age_s=1600.0, clock=clock)
    number = writer.append(b"waits")
    clock.advance(1500)
    fresh = writer.append(b"in a segment of its own, which is why the age of the first is known")
    _, second = sorted(folder.glob("*.seg"))
    os.utime(second, (clock.wall(), clock.wall()))  # the kernel does not know of the clock of this test
    full = counted("spool_full")
    clock.advance(110)
    with pytest.raises(SpoolFull, match="spool_max_age_s"):
        writer.append(b"refused")
    assert "spool_max_age_s" in writer.trouble()
    assert counted("spool_full") == full + 1
    assert 1600 < writer.oldest() < 1700
    reader = Reader(folder, "keep")
    assert payloads(reader)[0] == b"waits"
    reader.commit(number)
    with pytest.raises(SpoolFull):
        writer.append(b"the disk is looked at once a second")
    clock.advance(1)
    assert writer.trouble() == ""
    assert writer.append(b"taken") > fresh
    assert 110 < writer.oldest() < 200
    writer.close()


def test_what_only_watch_holds_on_to_is_no_reason_to_refuse(folder: Path) -> None:
    clock = ManualClock(time.time())
    writer = Writer(folder, 64 * MIB, max_age_s=1600.0, clock=clock)
    Reader(folder, "keep").commit(writer.append(b"stored"))
    clock.advance(10_000)
    assert writer.oldest() == 0
    writer.append(b"taken")
    writer.close()


def test_a_repaired_segment_is_as_old_as_it_was(folder: Path, writer: Writer) -> None:
    for _ in range(10):
        writer.append(b"x" * 500)
    writer.close()
    first, second, *_ = sorted(folder.glob("*.seg"))
    os.utime(first, (1000, 1000))
    shutil.copy(second, first.with_name(first.name.replace("-", "9-", 1)[1:]))
    misplaced = counted("spool_misplaced")
    reopened = Writer(folder, MIB)
    assert counted("spool_misplaced") > misplaced
    assert reopened.oldest() > 10**9
    reopened.close()


def test_a_quarantined_segment_is_counted_once_and_the_folder_is_bounded(folder: Path) -> None:
    before = counted("spool_quarantined")
    for generation in range(12):
        writer = Writer(folder, 64 * MIB)
        writer.append(b"%d" % generation)
        writer.close()
        with sorted(folder.glob("*.seg"))[-1].open("r+b") as file:
            file.write(b"?")
    Writer(folder, 64 * MIB).close()
    Writer(folder, 64 * MIB).close()
    assert counted("spool_quarantined") == before + 12
    assert len(quarantined(folder)) == 8


def test_a_segment_damaged_at_many_places_is_counted_once_also_when_it_is_not_kept(folder: Path) -> None:
    writer = Writer(folder, 64 * MIB, segment_bytes=2000)
    for _ in range(12 * 20):
        writer.append(b"x" * 80)
    for file in sorted(folder.glob("*.seg"))[:11]:
        data = bytearray(file.read_bytes())
        for place in (150, 700, 1500):
            data[place] ^= 255
        file.write_bytes(data)
    before = counted("spool_quarantined")
    assert len(payloads(Reader(folder, "keep"))) == 12 * 20 - 11 * 3, "what is not kept aside is read all the same"
    assert counted("spool_quarantined") == before + 11
    assert len(quarantined(folder)) == 8
    writer.close()


def test_the_spool_of_an_earlier_release_is_read_and_continued(folder: Path) -> None:
    """``golden/`` holds spools as releases wrote them; a change of format that cannot read one needs a new name."""
    shutil.copytree(GOLDEN / "spool-0.1", folder)
    written = [b"record %d " % number * (number % 4 + 1) for number in range(20)]
    damaged = counted("spool_damaged")
    writer = Writer(folder, MIB)
    assert payloads(Reader(folder, "watch")) == written
    assert payloads(Reader(folder, "keep")) == written[5:]
    assert writer.append(b"goes on") == 21
    assert payloads(Reader(folder, "keep"))[-1] == b"goes on"
    assert counted("spool_damaged") == damaged
    writer.close()
