"""The copy of the journal in ClickHouse: raw rows that verify, and what entries order of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from collector import queries
from collector.audit import copied
from collector.audit.entry import Note
from collector.audit.files import chain_files, entries
from collector.audit.journal import Journal
from collector.audit.report import Report
from collector.audit.signing import JournalSettings
from collector.audit.verify import Copy, Wish, snapshots, verify
from collector.keep import audit_copy
from collector.keep.audit_copy import AuditCopy
from collector.verbs.audit_source import rows_of
from fusebox import happenings
from fusebox.clock import ManualClock
from tests.collector.keep_bench import Bench
from tests.fixtures.agents import eventually

DAY_S = 86_400.0
ODD = "é ☂ \x00 \x1b[31m ' \\ \" \n \t \u2028 \U0001f600"


class Copied:
    """A journal, its copy, and a verification of both."""

    def __init__(self, bench: Bench, root: Path) -> None:
        self.bench, self.root, self.clock = bench, root, ManualClock()
        self.copy = AuditCopy(bench.engine, root)

    def life(self, *notes: Note, keep_s: float = 0.0) -> Journal:
        journal = Journal(self.root, self.clock, settings=JournalSettings(keep_s=keep_s))
        for note in notes:
            journal.append(note)
        return journal

    def verified(self) -> Report:
        client = self.bench.engine.writer()
        sizes = {row["writer"]: row["size"] for row in queries.run(client, "audit_sizes")}
        copy = Copy(sizes, copied.read(self.root), lambda writer, below: rows_of(client, writer, below))
        wish = Wish(snapshots(self.root), copy, self.clock.now())
        return verify(wish, lambda _entry: None, lambda _writer, lines, _count: lines).report

    def change(self, what: str) -> None:
        self.bench.engine.writer().command(f"ALTER TABLE audit_log {what} SETTINGS mutations_sync = 1")


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Copied]:
    with Bench(tmp_path) as bench:
        yield Copied(bench, tmp_path / "journal")


def odd(number: int) -> Note:
    return Note("trip", ODD, f"agent{number}", ODD, payload={"text": ODD, "n": number, "score": 0.1 * number})


def test_every_character_comes_back_and_a_changed_one_is_named(site: Copied) -> None:
    site.life(*map(odd, range(5))).close()
    assert (site.copy.step(), site.copy.step()) == (5, 0)
    assert site.verified().status == 0
    site.change("UPDATE reason = replaceOne(reason, '☂', '☀') WHERE seq = 3")
    problem = site.verified().first
    assert problem
    assert (problem.seq, problem.kind, problem.where) == (3, "edited", "copy")


def test_rows_that_are_late_are_not_taken_for_deleted_ones(site: Copied) -> None:
    journal = site.life(odd(0))
    site.copy.step()
    journal.append(odd(1))
    journal.close()
    late = site.verified()
    assert (late.status, late.problems) == (2, [])
    site.copy.step()
    site.change("DELETE WHERE seq = 1")
    deleted = site.verified()
    assert (deleted.status, [problem.kind for problem in deleted.problems]) == (1, ["deleted"])


def test_old_rows_go_when_the_journal_says_so(site: Copied) -> None:
    for number in range(3):
        site.life(odd(number)).close()
        for path in chain_files(site.root / "watch"):
            os.utime(path, (site.clock.now(), site.clock.now()))
    site.copy.step()
    site.clock.advance(40 * DAY_S)
    journal = site.life(odd(3), keep_s=30 * DAY_S)
    eventually(lambda: len(chain_files(site.root / "watch")) == 1, what="old files are gone")
    journal.close()
    assert site.verified().status == 2, "the copy is late: it still has them"
    site.copy.step()
    assert site.bench.one("SELECT min(seq) FROM audit_log") == 3
    report = site.verified()
    assert (report.status, report.chains["watch"].first) == (0, 3)


def test_an_erased_payload_goes_from_both(site: Copied) -> None:
    site.life(odd(0), odd(1)).close()
    site.copy.step()
    hash = site.bench.one("SELECT payload_hash FROM audit_log WHERE seq = 1")
    payload = {"writer": "watch", "seq": 1, "payload_hash": hash}
    site.life(Note("erasure", "operator:jo", "watch/1", "asked for", payload=payload)).close()
    site.copy.step()
    assert site.bench.rows("SELECT seq, payload FROM audit_log WHERE seq < 2 AND payload = ''") == [(1, "")]
    assert b'"n":1' not in b"".join(path.read_bytes() for path in chain_files(site.root / "watch"))
    assert site.verified().status == 0


def test_a_payload_that_was_erased_before_it_was_copied_stands_nowhere(site: Copied) -> None:
    journal = site.life(odd(0))
    payload = {"writer": "watch", "seq": 0, "payload_hash": next(entries(site.root))["payload_hash"]}
    journal.append(Note("erasure", "operator:jo", "watch/0", "asked for", payload=payload))
    journal.close()
    assert site.copy.step() == 2
    assert site.bench.rows("SELECT seq, payload FROM audit_log WHERE payload = ''") == [(0, "")]
    assert site.verified().status == 0


def test_rows_that_the_engine_remembers_and_does_not_have_are_written(site: Copied) -> None:
    """It notes an insert before its part has a name: a disk that fails between leaves a memory without rows."""
    site.life(odd(0), odd(1)).close()
    for _ in range(2):
        AuditCopy(site.bench.engine, site.root).step()
        assert site.verified().status == 0
        site.change("DELETE WHERE 1")


def test_a_line_that_no_row_can_hold_is_counted_and_stops_no_other_from_being_copied(site: Copied) -> None:
    site.life(*map(odd, range(2))).close()
    (file,) = chain_files(site.root / "watch")
    stranger = site.root / "keep" / file.name  # it comes first
    stranger.parent.mkdir()
    stranger.write_bytes(file.read_bytes().splitlines()[0].replace(b'"writer":"watch"', b'"writer":7') + b"\n")
    before = happenings.counts()["audit_line_unreadable"]
    site.copy.start()
    eventually(lambda: rows(site) == 2, what="the others are copied")
    site.copy.stop()
    assert happenings.counts()["audit_line_unreadable"] > before


def test_a_copy_that_fails_for_long_says_so_until_it_works(site: Copied, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_copy, "_STUCK_S", 0.5)
    site.life(odd(0)).close()
    site.bench.engine.writer().command("RENAME TABLE audit_log TO elsewhere")
    site.copy.start()
    eventually(lambda: "the journal is not copied" in site.copy.trouble())
    site.bench.engine.writer().command("RENAME TABLE elsewhere TO audit_log")
    eventually(lambda: not site.copy.trouble() and rows(site) == 1)
    site.copy.stop()


def rows(site: Copied) -> object:
    return site.bench.engine.writer().command("SELECT count() FROM audit_log")
