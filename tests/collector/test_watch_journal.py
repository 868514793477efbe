"""The journal against a model, kills and torn ends included."""

import errno
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.watch.journal import START, Journal, JournalBroken, Note, digest, entries
from fusebox import happenings
from fusebox.clock import ManualClock
from fusebox.errors import ConfigError


def note(number: int) -> Note:
    return Note("trip", "detector:cycle", f"agent{number}", f"reason {number} ü\n", payload={"n": number})


def checked(folder: Path) -> list[dict[str, Any]]:
    """All entries, after the chain was verified."""
    found, prev = list(entries(folder)), START
    for number, entry in enumerate(found):
        assert entry["seq"] == number
        assert entry["prev"] == prev
        assert entry["hash"] == (prev := digest(entry))
    return found


Step = st.one_of(
    st.tuples(st.just("append"), st.integers(1, 4)),
    st.tuples(st.just("restart"), st.just(0)),
    st.tuples(st.just("tear"), st.integers(1, 80)),
)


@settings(max_examples=60, deadline=None)
@given(steps=st.lists(Step, max_size=12))
def test_every_acknowledged_entry_survives_restarts_and_torn_ends(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int]]
) -> None:
    folder, clock, expected = tmp_path_factory.mktemp("journal"), ManualClock(), 0
    journal = Journal(folder, clock)
    for step, argument in steps:
        if step == "append":
            for _ in range(argument):
                assert journal.append(note(expected)) == expected
                expected += 1
            continue
        journal.close()
        if step == "tear":
            with (
                sorted(folder.glob("*.jsonl"))[-1].open("ab") if any(folder.iterdir()) else open(os.devnull, "ab") as f
            ):
                f.write(b'{"seq": 99, "half": "an entry", "and": "so on and so on and so on and so on"'[:argument])
        journal = Journal(folder, clock)
    journal.close()
    assert [entry["payload"]["n"] for entry in checked(folder)] == list(range(expected))


def test_a_torn_end_is_cut_off_loudly(tmp_path: Path, clock: ManualClock) -> None:
    Journal(tmp_path, clock).append(note(0))
    (file,) = tmp_path.glob("*.jsonl")
    with file.open("ab") as f:
        f.write(b'{"seq": 1, "wr')
    before = happenings.counts()["journal_repaired"]
    assert Journal(tmp_path, clock).append(note(1)) == 1
    assert happenings.counts()["journal_repaired"] == before + 1
    assert len(checked(tmp_path)) == 2


def test_a_changed_last_entry_is_no_torn_end(tmp_path: Path, clock: ManualClock) -> None:
    Journal(tmp_path, clock).append(note(0))
    (file,) = tmp_path.glob("*.jsonl")
    file.write_bytes(file.read_bytes().replace(b"agent0", b"agent1"))
    with pytest.raises(ConfigError, match="damaged"):
        Journal(tmp_path, clock)


def test_a_failed_sync_refuses_and_the_next_append_uses_another_file(
    tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(tmp_path, clock)
    journal.append(note(0))
    with monkeypatch.context() as patched:
        patched.setattr(os, "fdatasync", _fail)
        with pytest.raises(JournalBroken, match="cannot be written"):
            journal.append(note(1))
        journal.owe(note(1))
        assert not journal.settle()
    assert journal.append(note(2)) == 2
    journal.close()
    assert [entry["payload"]["n"] for entry in checked(tmp_path)] == [0, 1, 2]
    assert len(list(tmp_path.glob("*.jsonl"))) == 2


def _fail(_fd: int) -> None:
    raise OSError(errno.EIO, "input/output error")
