"""The journal against a model, kills and torn ends included; and what it does when it is not what was written."""

import errno
import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.audit import checkpoint
from collector.audit.entry import START, Note, decode
from collector.audit.files import entries, lines
from collector.audit.journal import Journal, JournalBroken
from collector.audit.keys import CommandSigner, key_id
from collector.audit.signing import JournalSettings
from fusebox import happenings
from fusebox.clock import ManualClock
from fusebox.config import Config
from fusebox.errors import ConfigError
from tests.collector.audit_bench import verified
from tests.fixtures.agents import eventually


def note(number: int) -> Note:
    return Note("trip", "detector:cycle", f"agent{number}", f"reason {number} ü\n", payload={"n": number})


def checked(folder: Path) -> list[dict[str, Any]]:
    """All trips, after the chain was verified."""
    assert verified(folder).json()["problems"] == []
    return [entry for entry in entries(folder) if entry["kind"] == "trip"]


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("watch/0*.jsonl"))


Step = st.one_of(
    st.tuples(st.just("append"), st.integers(1, 4)),
    st.tuples(st.just("restart"), st.just(0)),
    st.tuples(st.just("tear"), st.integers(1, 80)),
)


@settings(max_examples=25)
@given(steps=st.lists(Step, max_size=12))
def test_every_acknowledged_entry_survives_restarts_and_torn_ends(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int]]
) -> None:
    folder, clock, expected = tmp_path_factory.mktemp("journal"), ManualClock(), 0
    journal = Journal(folder, clock)
    for step, argument in steps:
        if step == "append":
            for _ in range(argument):
                journal.append(note(expected))
                expected += 1
            continue
        journal.close()
        if step == "tear" and files(folder):
            with files(folder)[-1].open("ab") as f:
                f.write(b'{"seq": 99, "half": "an entry", "and": "so on and so on and so on and so on"'[:argument])
        journal = Journal(folder, clock)
    journal.close()
    assert [entry["payload"]["n"] for entry in checked(folder)] == list(range(expected))


def test_a_torn_end_is_cut_off_loudly_and_the_record_says_so(tmp_path: Path, clock: ManualClock) -> None:
    first = Journal(tmp_path, clock)
    first.append(note(0))
    first.close()
    with files(tmp_path)[0].open("ab") as f:
        f.write(b'{"seq": 1, "wr')
    before = happenings.counts()["journal_repaired"]
    journal = Journal(tmp_path, clock)
    assert happenings.counts()["journal_repaired"] == before + 1
    journal.append(note(1))
    journal.close()
    assert len(checked(tmp_path)) == 2
    (said,) = [entry for entry in entries(tmp_path) if entry["kind"] == "recovered"]
    assert said["payload"] == {"unsigned_from": 1, "unsigned_to": 1, "torn_bytes": 14}


def test_what_a_crash_left_is_on_record_also_when_the_disk_takes_nothing_at_first(
    tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Journal(tmp_path, clock)
    first.append(note(0))
    first.close()
    with files(tmp_path)[0].open("ab") as f:
        f.write(b'{"seq": 1, "wr')
    with monkeypatch.context() as patched:
        patched.setattr(os, "fdatasync", _fail)
        journal = Journal(tmp_path, clock)
        assert journal.owing
    journal.append(note(1))
    journal.close()
    checked(tmp_path)
    assert [entry["kind"] for entry in entries(tmp_path)] == ["trip", "recovered", "trip"]


@pytest.mark.parametrize("left", [None, b"", b"no checkpoint\n"], ids=["missing", "empty", "damaged"])
def test_an_anchor_file_that_lost_its_checkpoints_is_told(
    tmp_path: Path, clock: ManualClock, left: bytes | None
) -> None:
    anchors = tmp_path / "anchors.jsonl"
    config = Config(data_dir=tmp_path, audit_anchor_file=anchors)

    def opened() -> int:
        before = happenings.counts()["anchors_lost"]
        journal = Journal.of(config, clock, "watch")
        journal.append(note(0))
        journal.close()
        return happenings.counts()["anchors_lost"] - before

    assert [opened(), opened()] == [0, 0]
    if left is None:
        anchors.unlink()
    else:
        anchors.write_bytes(left)
    assert opened() == 1


def test_threads_that_append_at_once_share_a_sync(
    tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal, syncs, all_wait = Journal(tmp_path, clock), [0], threading.Event()
    sync = os.fdatasync

    def slow(fd: int) -> None:
        syncs[0] += 1
        assert all_wait.wait(10)
        sync(fd)

    with monkeypatch.context() as patched:
        patched.setattr(os, "fdatasync", slow)
        threads = [threading.Thread(target=journal.append, args=(note(n),)) for n in range(50)]
        for thread in threads:
            thread.start()
        while len(journal._waiting) < 49:  # all but the one that is syncing
            assert all(thread.is_alive() for thread in threads)
        all_wait.set()
        for thread in threads:
            thread.join()
    assert syncs[0] <= 3, "the first, and one for all that came meanwhile (and perhaps a checkpoint)"
    journal.close()
    assert sorted(entry["payload"]["n"] for entry in checked(tmp_path)) == list(range(50))


class TestUnsound:
    """No crash makes a journal so: nothing is recorded or resumed, kills are owed."""

    def test_a_changed_last_entry(self, tmp_path: Path, clock: ManualClock) -> None:
        journal = Journal(tmp_path, clock)
        journal.append(note(0))
        journal.close()
        whole = files(tmp_path)[0].read_bytes()
        files(tmp_path)[0].write_bytes(whole.replace(b"agent0", b"agent1"))
        self.refuses(tmp_path, clock, "as it was written")
        files(tmp_path)[0].write_bytes(whole)
        self.pays(tmp_path, clock)

    def test_an_old_backup(self, tmp_path: Path, clock: ManualClock) -> None:
        journal = Journal(tmp_path, clock)
        for number in range(3):
            journal.append(note(number))
        journal.close()
        (file,) = files(tmp_path)
        whole = file.read_bytes()
        file.write_bytes(b"".join(whole.splitlines(keepends=True)[:2]))
        self.refuses(tmp_path, clock, "as it was written")
        file.write_bytes(whole)
        self.pays(tmp_path, clock)

    def test_older_than_what_another_writer_has_seen(self, tmp_path: Path, clock: ManualClock) -> None:
        for number in range(2):
            journal = Journal(tmp_path, clock)
            journal.append(note(number))
            journal.close()
        other = Journal(tmp_path, clock, "keep")
        other.append(note(0))
        other.close()
        files(tmp_path)[-1].unlink()
        signed = tmp_path / "watch" / checkpoint.FILE
        signed.write_bytes(signed.read_bytes().splitlines(keepends=True)[0])
        self.refuses(tmp_path, clock, "2 entries were signed")

    def refuses(self, folder: Path, clock: ManualClock, why: str) -> None:
        journal = Journal(folder, clock)
        assert why in journal.unsound
        with pytest.raises(JournalBroken, match="audit verify"):
            journal.append(note(7))
        journal.owe(note(8))
        journal.close()

    def pays(self, folder: Path, clock: ManualClock) -> None:
        """Brought back: what was owed meanwhile is written."""
        clock.advance(60)
        journal = Journal(folder, clock)
        assert not journal.unsound
        assert journal.settle()
        journal.close()
        last = checked(folder)[-1]
        assert (last["payload"]["n"], last["time"]) == (8, clock.now() - 60)
        assert not (folder / "watch" / "owed.jsonl").exists()


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
    assert len(files(tmp_path)) == 2


def test_a_journal_of_an_earlier_fusebox_is_refused_with_the_way_out(tmp_path: Path, clock: ManualClock) -> None:
    (tmp_path / "watch-000000000000.jsonl").write_text("{}\n")
    with pytest.raises(ConfigError, match=r"move every watch-\*.jsonl"):
        Journal(tmp_path, clock)


class TestCheckpoints:
    def test_a_kill_is_signed_at_once_and_the_rest_in_time(self, tmp_path: Path, clock: ManualClock) -> None:
        journal = Journal(tmp_path, clock)
        journal.append(note(0))
        assert checkpoint.last(tmp_path / "watch") is None
        journal.append(Note("kill", "operator:jo", "agent:a"))
        eventually(lambda: size(tmp_path) == 2)
        journal.append(note(2))
        assert journal.unsigned_s == 0.0
        clock.advance(60)
        eventually(lambda: size(tmp_path) == 3)
        journal.close()

    def test_each_holds_the_signature_before_it_and_how_far_the_others_are(
        self, tmp_path: Path, clock: ManualClock
    ) -> None:
        watch, keep = Journal(tmp_path, clock), Journal(tmp_path, clock, "keep")
        for number in range(3):
            watch.append(note(number))
            assert watch.sign()
            keep.append(note(number))
            assert keep.sign()
        watch.close()
        keep.close()
        found = [checkpoint.parse(text) for text in checkpoint.lines(tmp_path / "watch" / checkpoint.FILE)]
        assert [each.previous for each in found] == ["", found[0].signature, found[1].signature]
        assert [each.writers.get("keep", {}).get("size") for each in found] == [None, 1, 2]
        assert verified(tmp_path).status == 0

    def test_a_signer_that_fails_stops_nobody_and_is_asked_again(self, tmp_path: Path, clock: ManualClock) -> None:
        script = command(tmp_path)
        journal = Journal(tmp_path / "j", clock, settings=JournalSettings(str(tmp_path / "signer")))
        script.write_text("raise SystemExit(1)")
        journal.append(Note("kill", "operator:jo", "agent:a"))
        assert not journal.sign()
        script.write_text(_SIGN)
        assert journal.sign()
        journal.close()
        assert not (tmp_path / "j" / "watch" / "key").exists()
        assert verified(tmp_path / "j").status == 0

    def test_a_signer_that_comes_back_with_another_key_is_on_record(self, tmp_path: Path, clock: ManualClock) -> None:
        script, root, public = command(tmp_path), tmp_path / "j", list[str]()
        for key in ("bytes(32)", "bytes([1] * 32)"):
            script.write_text(_SIGN.replace("bytes(32)", key))
            for number in range(2):
                journal = Journal(root, clock, settings=JournalSettings(str(tmp_path / "signer")))
                journal.append(note(number))
                journal.close()
            public.append(CommandSigner(str(tmp_path / "signer")).public)
        (said,) = [entry for entry in entries(root) if entry["kind"] == "key"]
        assert said["payload"] == {"public": public[1], "replaces": key_id(public[0])}
        report = verified(root, keys={key_id(each): each for each in public})
        assert report.problems == []
        assert [problem.kind for problem in verified(root).problems] == ["wrong key"], "nobody vouched for it"


_SIGN = """
import base64, sys
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
key = Ed25519PrivateKey.from_private_bytes(bytes(32))
data = key.public_key().public_bytes_raw() if sys.argv[1] == "public" else key.sign(sys.stdin.buffer.read())
print(base64.b64encode(data).decode())
"""


def command(folder: Path) -> Path:
    """An executable ``signer`` in the folder; what it runs."""
    script, run = folder / "sign.py", folder / "signer"
    script.write_text(_SIGN)
    run.write_text(f"#!/bin/sh\nexec python3 {script} $1\n")
    run.chmod(0o700)
    return script


def size(folder: Path) -> int:
    last = checkpoint.last(folder / "watch")
    return last.size if last else 0


def test_lines_are_canonical_and_flat(tmp_path: Path, clock: ManualClock) -> None:
    journal = Journal(tmp_path, clock)
    journal.append(Note("trip", "a", "b", payload={"z": 8.0, "a": [1e21, True, None, "\x1b€"]}))
    journal.close()
    (text,) = lines(tmp_path / "watch")
    assert decode(text).prev == START
    data = json.loads(text)
    assert list(data) == sorted(data)
    assert b'"payload":{"a":[1e+21,true,null,"\\u001b\xe2\x82\xac"],"z":8}' in text


def _fail(_fd: int) -> None:
    raise OSError(errno.EIO, "input/output error")
