"""The laboratory's own instruments: a check that cannot fail proves nothing."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fusebox.errors import PublishTimeout, Unroutable
from tests.faults.notes import Notes
from tests.faults.oracle import ALLOWANCE_S, Oracle, Parcel, digest
from tests.faults.tally import Tally
from tests.faults.workers import ROOT

WRITER = """
import os, signal, sys
from pathlib import Path
from tests.faults.notes import Notes

notes = Notes(Path(sys.argv[1]))
for n in range(1000):
    notes.write("started", f"p{n}")
os.kill(os.getpid(), signal.SIGKILL)
"""


class Book:
    """A notes file in which the test writes what several processes would have."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.notes = Notes(path)
        self.oracle = Oracle(self.notes)

    def confirmed(self) -> Parcel:
        """A parcel whose publish returned."""
        parcel = self.oracle.issue(text="x")
        with self.oracle.publishing(parcel, 5):
            pass
        return parcel

    def note(self, pid: int, kind: str, subject: str, detail: str = "") -> None:
        with self._path.open("a") as file:
            file.write(f'["{kind}", {pid}, "{subject}", "{detail}"]\n')

    def handle(self, pid: int, parcel: Parcel, *kinds: str) -> None:
        for kind in kinds:
            self.note(pid, kind, parcel.id, digest(parcel.body) if kind == "started" else "")


@pytest.fixture
def book(tmp_path: Path) -> Iterator[Book]:
    book = Book(tmp_path / "notes.jsonl")
    yield book
    book.notes.close()


def kinds(oracle: Oracle) -> list[str]:
    return [each.partition(":")[0] for each in oracle.verdict()]


def test_an_ordinary_life_is_right(book: Book) -> None:
    book.handle(1, book.confirmed(), "started", "finished", "completed")
    assert book.oracle.verdict() == []


def test_a_confirmed_parcel_that_was_not_handled_to_its_end_is_lost(book: Book) -> None:
    never, half = book.confirmed(), book.confirmed()
    book.handle(1, half, "started")
    assert kinds(book.oracle) == ["lost", "lost"]
    book.handle(1, half, "finished")
    assert book.oracle.lost() == [never.id]


def test_a_parcel_that_was_never_confirmed_is_not_missed_and_may_arrive(book: Book) -> None:
    parcel = book.oracle.issue(text="x")
    with book.oracle.publishing(parcel, 5):
        raise PublishTimeout
    assert book.oracle.verdict() == []
    book.handle(1, parcel, "started", "finished", "completed")
    assert book.oracle.verdict() == []
    assert book.oracle.errors == {"PublishTimeout": 1}


def test_a_parcel_that_another_process_confirmed_is_missed(book: Book) -> None:
    book.note(7, "confirmed", book.oracle.issue(text="x").id)
    assert kinds(book.oracle) == ["lost"]


def test_a_handler_that_runs_after_it_completed_is_a_rerun_even_when_its_process_is_gone(book: Book) -> None:
    parcel = book.confirmed()
    book.handle(1, parcel, "started", "finished", "completed")
    book.note(0, "ended", "", "1")
    book.handle(2, parcel, "started")
    assert kinds(book.oracle) == ["rerun"]


def test_a_second_completion_is_a_rerun(book: Book) -> None:
    book.handle(1, book.confirmed(), "started", "finished", "completed", "completed")
    assert kinds(book.oracle) == ["rerun"]


def test_a_handler_may_run_again_only_when_its_process_died(book: Book) -> None:
    parcel, other = book.confirmed(), book.confirmed()
    book.handle(1, parcel, "started")
    book.note(0, "ended", "", "1")
    book.handle(2, parcel, "started", "finished", "completed")
    book.handle(2, other, "started")
    assert book.oracle.violations == []
    book.handle(3, other, "started", "finished", "completed")
    assert kinds(book.oracle) == ["doubled"]


def test_a_handler_that_fails_in_a_living_process_may_not_run_again_there(book: Book) -> None:
    book.handle(1, book.confirmed(), "started", "started", "finished", "completed")
    assert kinds(book.oracle) == ["doubled"]


def test_a_death_between_the_last_line_and_its_record_is_counted_apart(book: Book) -> None:
    parcel = book.confirmed()
    book.handle(1, parcel, "started", "finished")
    book.note(0, "ended", "", "1")
    book.handle(2, parcel, "started", "finished", "completed")
    assert book.oracle.verdict() == []
    assert book.oracle.unrecorded == 1


@pytest.mark.parametrize("error", [None, PublishTimeout("late")])
def test_a_publish_beyond_its_deadline_is_overlong_whether_it_returned_or_raised(
    book: Book, error: PublishTimeout | None
) -> None:
    parcel = book.oracle.issue(text="x")
    with book.oracle.publishing(parcel, -ALLOWANCE_S):  # as if its deadline had been long ago
        if error:
            raise error
    assert kinds(book.oracle)[0] == "overlong"


def test_an_error_that_no_later_try_heals_is_wrong(book: Book) -> None:
    with book.oracle.publishing(book.oracle.issue(text="x"), 5):
        raise Unroutable("nobody")
    assert kinds(book.oracle) == ["refused"]


def test_a_parcel_that_was_never_issued_or_was_changed_is_forged(book: Book) -> None:
    parcel = book.confirmed()
    book.note(1, "started", parcel.id, digest(b"another body"))
    book.note(1, "started", "p999999", digest(b""))
    assert kinds(book.oracle)[:2] == ["forged", "forged"]


@pytest.mark.parametrize("event", ["message_dead", "message_held"])
def test_a_parcel_that_is_dead_lettered_or_held_has_strayed(book: Book, event: str) -> None:
    book.note(1, "happening", event, "a line")
    book.oracle.read()
    assert kinds(book.oracle) == ["stray"]


def test_what_a_process_noted_before_sigkill_is_all_there(tmp_path: Path) -> None:
    path = tmp_path / "notes.jsonl"
    notes = Notes(path)
    ran = subprocess.run([sys.executable, "-c", WRITER, str(path)], cwd=ROOT, timeout=60, check=False)
    assert ran.returncode == -signal.SIGKILL
    assert [note.subject for note in notes.read()] == [f"p{n}" for n in range(1000)]
    notes.close()


def test_half_a_line_waits_for_its_other_half(tmp_path: Path) -> None:
    path = tmp_path / "notes.jsonl"
    notes = Notes(path)
    with path.open("a") as file:
        file.write('["started", 1, "p0", "d"]\n["star')
        file.flush()
        assert len(list(notes.read())) == 1
        file.write('ted", 1, "p1", "d"]\n')
    assert [note.subject for note in notes.read()] == ["p1"]
    notes.close()


def test_a_fault_that_struck_and_did_nothing_is_named() -> None:
    tally = Tally()
    for seen in (True, False):
        tally.struck("memory alarm")
        tally.played("memory alarm", seen=seen, seconds=1.0)
    tally.struck("fork")
    assert tally.unseen() == ["fork", "memory alarm"]
    assert tally.cycles == 3
