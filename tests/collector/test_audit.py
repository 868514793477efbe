"""The audit log: its hashes are those of the standards, and what was tampered with is named at the exact entry."""

from __future__ import annotations

import csv
import hashlib
import http.server
import io
import json
import os
import random
import resource
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import orjson
import pytest
import rfc8785
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.audit_data import in_chains, in_entries
from benchmarks.audit_data.both import judge, second
from benchmarks.audit_data.logs import NOW, Log, clean, rehashed
from benchmarks.audit_data.tampering import TAMPERINGS
from collector.audit import checkpoint, retention
from collector.audit.anchors import Anchor, AnchorFailed, into_file, into_git, to_webhook
from collector.audit.canonical import canonical
from collector.audit.entry import Entry, Note, decode, erased, leaf, line, make, payload_of
from collector.audit.erasure import erase, find
from collector.audit.files import chain_files, entries
from collector.audit.journal import Journal
from collector.audit.keys import PUBLIC, plan_change, read_public
from collector.audit.merkle import Frontier, Tree, consistent, includes, node
from collector.audit.signing import JournalSettings
from collector.verbs.audit_export import safe
from fusebox import happenings
from fusebox.cli import main
from fusebox.clock import ManualClock
from fusebox.errors import ConfigError
from fusebox.webhooks import new_secret, verify
from tests.collector.audit_bench import verified
from tests.fixtures.agents import eventually

TEXT = st.text(max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3), max_leaves=8,
)  # fmt: skip
NOTES = st.builds(
    Note, TEXT, TEXT, TEXT, TEXT, TEXT, TEXT, st.dictionaries(TEXT, JSON, max_size=4)
)  # fmt: skip


class TestFormat:
    @settings(max_examples=100)
    @given(note=NOTES, seq=st.integers(0, 2**53 - 1), time=st.floats(0, 2e9))
    def test_an_entry_is_canonical_json_and_comes_back(self, note: Note, seq: int, time: float) -> None:
        entry = make(seq, "watch", time, note, payload_of(note), "0" * 64)
        text = line(entry)
        assert rfc8785.dumps(json.loads(text, parse_int=float)) == text
        assert decode(text) == entry
        assert entry.genuine

    @settings(max_examples=100)
    @given(note=NOTES)
    def test_an_erased_payload_leaves_the_hash_and_the_length(self, note: Note) -> None:
        entry = make(0, "watch", 1.0, note, payload_of(note), "0" * 64)
        text = erased(entry)
        assert len(text) == max(len(line(entry)), len(line(entry)) - len(entry.payload) + 4)
        assert decode(text) == entry._replace(payload=b"")
        assert decode(text).genuine

    @settings(max_examples=100)
    @given(note=NOTES, field=st.sampled_from(Entry._fields), junk=TEXT)
    def test_every_field_is_under_the_hash(self, note: Note, field: str, junk: str) -> None:
        entry = make(3, "watch", 1.0, note, payload_of(note), "0" * 64)
        value: Any = getattr(entry, field)
        other: Any = value + 1 if isinstance(value, int) else value + (b"x" if isinstance(value, bytes) else f"{junk}x")
        assert not entry._replace(**{field: other}).genuine

    @given(value=JSON)
    def test_canonical_is_rfc_8785(self, value: Any) -> None:
        assert canonical(value) == rfc8785.dumps(value)

    @pytest.mark.parametrize(
        "value",
        [
            2**64,
            float("nan"),
            "\ud800",
            {"\udfff": 1},
            {1: 2},
            {
                "x": {
                    3,
                }
            },
            object(),
        ],
    )
    def test_what_json_cannot_hold_becomes_text(self, value: Any) -> None:
        assert orjson.loads(canonical({"value": value}))

    @pytest.mark.parametrize(
        "edit", [lambda t: t.replace(b":", b": ", 1), lambda t: t[:-1] + b',"more":1}', lambda t: b'{"seq":1,' + t[1:]]
    )
    def test_bytes_that_mean_the_same_are_not_the_same(self, edit: Any) -> None:
        note = Note("kill", "operator:jo", "agent:a")
        with pytest.raises(ValueError, match="no entry"):
            decode(edit(line(make(0, "watch", 1.0, note, payload_of(note), "0" * 64))))


def naive_root(leaves: list[bytes]) -> bytes:
    """RFC 6962, section 2.1, word for word."""
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return node(naive_root(leaves[:split]), naive_root(leaves[split:]))


LEAVES = [hashlib.sha256(bytes([number])).digest() for number in range(70)]


class TestTree:
    @given(size=st.integers(1, 70))
    def test_it_grows_to_the_root_of_the_standard(self, size: int) -> None:
        tree = Frontier()
        for each in LEAVES[:size]:
            tree.append(each)
        assert tree.root() == naive_root(LEAVES[:size]) == Tree(LEAVES).root(size)

    @given(size=st.integers(1, 70), data=st.data(), base=st.integers(0, 69))
    def test_a_proof_of_inclusion_holds_for_its_entry_alone(self, size: int, data: st.DataObject, base: int) -> None:
        index = data.draw(st.integers(min(base, size - 1), size - 1))
        before = Frontier()
        for each in LEAVES[: min(base, index)]:
            before.append(each)
        tree = Tree(LEAVES[before.size :], before)
        proof, root = tree.inclusion(index, size), naive_root(LEAVES[:size])
        assert includes(LEAVES[index], index, size, proof, root)
        assert not includes(LEAVES[(index + 1) % 70], index, size, proof, root)
        assert not includes(LEAVES[index], (index + 1) % size, size, proof, root) or size == 1
        assert not includes(LEAVES[index], index, size, [*proof, root], root)

    @given(second=st.integers(1, 70), data=st.data())
    def test_a_proof_of_consistency_holds_for_its_past_alone(self, second: int, data: st.DataObject) -> None:
        first = data.draw(st.integers(1, second))
        tree = Tree(LEAVES)
        proof, roots = tree.consistency(first, second), (naive_root(LEAVES[:first]), naive_root(LEAVES[:second]))
        assert consistent(first, second, proof, *roots)
        assert not consistent(first, second, proof, bytes(32), roots[1])
        assert not consistent(first, second, [*proof, roots[0]], *roots)


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    return second()


ROUNDS = 6
JOURNAL_FAULTS = (
    in_entries.edit_journal, in_entries.edit_and_rehash, in_entries.edit_everywhere, in_entries.insert_forged,
    in_entries.insert_twice, in_entries.reorder_journal, in_chains.delete_journal, in_chains.truncate_everywhere,
)  # fmt: skip
COPY_FAULTS = (
    in_entries.edit_copy_and_rehash, in_entries.insert_into_copy, in_entries.reorder_copy, in_chains.truncate_copy,
)  # fmt: skip


class TestTampering:
    """``python -m benchmarks.audit`` does the same ten thousand times."""

    @pytest.mark.parametrize("tamper", TAMPERINGS, ids=lambda tamper: tamper.__name__)
    def test_it_is_named_at_the_exact_entry_by_both_verifiers(self, tamper: Any, tool: ModuleType) -> None:
        for seed in range(ROUNDS):
            rng = random.Random(f"{tamper.__name__} {seed}")
            found = tamper(rng, clean(rng, rng.randrange(100, 200)))
            ours, theirs, report = judge(found.log, tool)
            assert (ours.status, ours.first) == (1, (found.writer, found.seq)), [str(p) for p in report.problems]
            assert theirs == ours

    def test_no_byte_of_the_files_may_change(self, tool: ModuleType, tmp_path: Path) -> None:
        for seed in range(40):
            rng, folder = random.Random(seed), tmp_path / str(seed)
            log = clean(rng, rng.randrange(20, 60))
            log.write(folder)
            path = rng.choice(sorted(folder.glob("*/*.jsonl")))
            data = bytearray(path.read_bytes())
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
            path.write_bytes(data)
            ours = verified(folder, log.rows, given=log.given, keys=log.keys, remembered=log.remembered, now=NOW + 1)
            rows = {writer: [row._asdict() for row in held] for writer, held in log.rows.items()}
            remembered = [json.loads(each.line) for each in log.remembered]
            status, bad, _ = tool.verify(folder, rows, dict(log.keys), remembered, NOW + 1)
            assert ours.first, seed
            assert (ours.status, ours.first.writer, ours.first.seq) == (1, *min(bad)[:2]), seed
            assert status == 1

    def test_what_retention_left_may_not_be_emptied(self, tool: ModuleType, tmp_path: Path) -> None:
        for seed in range(200):
            rng, folder = random.Random(seed), tmp_path / str(seed)
            log = clean(rng, rng.randrange(20, 60))
            first = log.entries["watch"][0].seq
            if first:
                log.write(folder)
                (folder / "watch" / f"{first:012d}.jsonl").write_bytes(b"")
                first = first if max(each.size for each in log.signed["watch"]) > first else 0
                ours = verified(folder, log.rows, given=log.given, keys=log.keys, now=NOW + 1)
                rows = {writer: [row._asdict() for row in held] for writer, held in log.rows.items()}
                status, bad, _ = tool.verify(folder, rows, dict(log.keys), now=NOW + 1)
                assert ours.first, seed
                assert (ours.status, ours.first.writer, ours.first.seq) == (1, "watch", first), seed
                assert (status, *min(bad)[:2]) == (1, "watch", first), seed

    def test_a_checkpoint_that_was_edited_accuses_no_other_chain(self, tool: ModuleType) -> None:
        log = clean(random.Random(5), 100)
        old = log.signed["watch"][-1]
        log.signed["watch"][-1] = replace(
            old, writers={"keep": {"size": 3, "root": "00" * 32}, "ghost": {"size": 1, "root": "00" * 32}}
        )
        ours, theirs, report = judge(log, tool)
        assert [(each.writer, each.where) for each in report.problems] == [("watch", "checkpoints")]
        assert ours == theirs

    @pytest.mark.parametrize("kind", ["erasure", "retention", "kill", "resume"])
    @pytest.mark.parametrize(
        "payload",
        [b'"x"', b"[1]", b'{"seq":"x"}', b'{"below":"x"}', b'{"command":1}', b'{"command":{"lifts":1}}', b"{}"],
    )
    def test_nonsense_behind_the_last_checkpoint_is_never_verified(
        self, tool: ModuleType, tmp_path: Path, kind: str, payload: bytes
    ) -> None:
        log = clean(random.Random(5), 100)
        _append_forged(log, kind, payload)
        log.write(tmp_path)
        rows = {writer: sorted(held) for writer, held in log.rows.items()}
        ours = verified(tmp_path, rows, given=log.given, keys=log.keys, now=NOW + 500)
        held = {writer: [row._asdict() for row in each] for writer, each in rows.items()}
        assert tool.verify(tmp_path, held, dict(log.keys), now=NOW + 500)[0] == ours.status != 0

    def test_an_erasure_that_nobody_signed_proves_nothing(self, tool: ModuleType) -> None:
        """Whoever may write to disk and database can append an entry, but not sign it."""
        log = clean(random.Random(5), 100)
        target = log.entries["watch"][20]
        order = {"payload_hash": target.payload_hash, "seq": 20, "writer": "watch"}
        _append_forged(log, "erasure", canonical(order))
        for source in (log.entries, log.rows):
            source["watch"][20] = target._replace(payload=b"")
        ours, theirs, report = judge(log, tool)
        assert (ours.status, theirs.status, report.problems) == (2, 2, [])
        assert any("not signed yet" in gap for gap in report.incomplete)

    def test_a_clean_log_is_not_accused(self, tool: ModuleType) -> None:
        for seed in range(25):
            rng = random.Random(seed)
            ours, theirs, report = judge(clean(rng, rng.randrange(100, 200)), tool)
            assert ours.status == theirs.status == 0, report.json()

    @pytest.mark.parametrize("in_copy", COPY_FAULTS, ids=lambda tamper: tamper.__name__)
    @pytest.mark.parametrize("in_journal", JOURNAL_FAULTS, ids=lambda tamper: tamper.__name__)
    def test_both_verifiers_name_the_same_entry_when_journal_and_copy_are_wrong(
        self, tool: ModuleType, tmp_path: Path, in_journal: Any, in_copy: Any
    ) -> None:
        rng = random.Random(f"{in_journal.__name__} {in_copy.__name__}")
        log = in_copy(rng, in_journal(rng, clean(rng, 60)).log).log
        ours, theirs, report = judge(log, tool)
        assert ours.status == 1
        assert ours == theirs, [str(problem) for problem in report.problems]
        log.write(tmp_path)
        alone = verified(tmp_path, None, keys=log.keys, remembered=log.remembered, now=NOW + 1)
        _, bad, _ = tool.verify(tmp_path, None, dict(log.keys), [json.loads(each.line) for each in log.remembered])
        assert alone.first
        assert (alone.first.writer, alone.first.seq) == min(bad)[:2]

    @pytest.mark.parametrize("seq", [50, 70])
    def test_rows_that_are_late_accuse_no_entry(self, tool: ModuleType, seq: int) -> None:
        log = clean(random.Random(5), 100)
        log.signed["watch"] = log.signed["watch"][:1]
        log.remembered, log.signed["keep"] = [], []
        log.rows["watch"], log.given["watch"] = log.rows["watch"][:60], 60
        log.entries["watch"][seq] = rehashed(log.entries["watch"][seq]._replace(actor="somebody else"))
        ours, theirs, report = judge(log, tool)
        assert (ours.status, ours.first) == (1, ("watch", seq)), [str(problem) for problem in report.problems]
        assert theirs == ours

    @pytest.mark.parametrize("note", ['{"watch": "x"}', '{"watch": 1e999}', "["])
    def test_a_damaged_note_of_what_was_copied_leaves_rows_that_may_be_late(
        self, tool: ModuleType, tmp_path: Path, note: str
    ) -> None:
        log = clean(random.Random(5), 100)
        log.write(tmp_path)
        (tmp_path / "copied.json").write_text(note)
        rows = {writer: [row._asdict() for row in held] for writer, held in log.rows.items()}
        assert tool.verify(tmp_path, rows, dict(log.keys), now=NOW + 1)[0] == 0
        rows["watch"].pop()
        assert tool.verify(tmp_path, rows, dict(log.keys), now=NOW + 1)[0] == 2
        assert verified(tmp_path, {**log.rows, "watch": log.rows["watch"][:-1]}, given={}, now=NOW + 1).status == 2

    def test_what_is_only_called_like_a_file_of_entries_hinders_nobody(self, tool: ModuleType, tmp_path: Path) -> None:
        """Else nobody would be told of what was done beside it."""
        log = clean(random.Random(6), 100)
        log.write(tmp_path)
        (tmp_path / "watch" / "000000009998.jsonl").mkdir()
        (tmp_path / "watch" / "000000009999.jsonl").symlink_to("nowhere")
        rows = {writer: [row._asdict() for row in held] for writer, held in log.rows.items()}
        assert verified(tmp_path, log.rows, given=log.given, now=NOW + 1).status == 0
        assert tool.verify(tmp_path, rows, dict(log.keys), now=NOW + 1)[0] == 0

    def test_nothing_is_not_verified(self, tool: ModuleType, tmp_path: Path) -> None:
        assert verified(tmp_path).status == 2
        assert tool.verify(tmp_path)[0] == 2

    def test_without_the_copy_it_is_incomplete(self, tool: ModuleType, tmp_path: Path) -> None:
        clean(random.Random(1), 100).write(tmp_path)
        assert tool.verify(tmp_path, None)[0] == 2


class TestOnTheCommandLine:
    """Exit status 1 is for what was tampered with, and for nothing else."""

    @pytest.fixture
    def data_dir(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.setenv("FUSEBOX_DATA_DIR", str(tmp_path / "data"))
        clean(random.Random(7), 100).write(tmp_path / "data" / "journal")
        return tmp_path / "data"

    def test_a_witness_that_cannot_be_written_is_told(self, data_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["audit", "verify", "--witness", str(data_dir / "no folder" / "seen.jsonl")]) == 2
        assert "what was verified is not in the witness" in "".join(capsys.readouterr().out.split("\n"))

    def test_a_journal_that_cannot_be_read_accuses_nobody(
        self, data_dir: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        checkpoints = data_dir / "journal" / "watch" / checkpoint.FILE
        checkpoints.unlink()
        checkpoints.mkdir()
        assert main(["audit", "verify", "--json"]) == 2
        (why,) = json.loads(capsys.readouterr().out)["incomplete"]
        assert "the journal cannot be read" in why
        assert str(checkpoints) in why


def _append_forged(log: Log, kind: str, payload: bytes) -> None:
    """As somebody does who may write to the journal and the database, but has no key."""
    last = log.entries["watch"][-1]
    note = Note(kind, "operator:jo", "watch")
    entry = make(last.seq + 1, "watch", NOW, note, payload, last.hash)
    log.entries["watch"].append(entry)
    log.rows["watch"].append(entry)
    log.given["watch"] = entry.seq + 1


def trip(number: int) -> Note:
    return Note("trip", "detector:cycle", f"agent{number}", payload={"n": number})


@pytest.fixture
def journal(tmp_path: Path, clock: ManualClock) -> Iterator[Journal]:
    opened = Journal(tmp_path, clock)
    yield opened
    opened.close()


def several_files(root: Path, clock: ManualClock) -> None:
    """Four trips, each in a file of its own, written just now."""
    for number in range(4):
        one = Journal(root, clock)
        one.append(trip(number))
        one.close()
        for path in chain_files(root / "watch"):
            os.utime(path, (clock.now(), clock.now()))


class TestKeys:
    def test_a_change_is_recorded_and_the_old_key_is_worth_nothing_afterwards(
        self, journal: Journal, tmp_path: Path
    ) -> None:
        folder = tmp_path / "watch"
        first = read_public(folder / PUBLIC)
        journal.append(trip(0))
        journal.sign()
        stolen = (folder / "key").read_bytes()
        new = plan_change(folder, "cli:jo", "stolen")
        eventually(lambda: not (folder / "key.next").exists(), what="the key is changed")
        journal.append(trip(1))
        journal.sign()
        (said,) = [entry for entry in entries(tmp_path) if entry["kind"] == "key"]
        assert (said["actor"], said["subject"], said["reason"]) == ("cli:jo", new, "stolen")
        assert verified(tmp_path, keys=first).chains["watch"].keys == [*first, new]
        assert (folder / "key").stat().st_mode & 0o777 == 0o600
        journal.append(trip(2))
        journal.close()
        (folder / "key").write_bytes(stolen)
        with_stolen = Journal(tmp_path, ManualClock())
        with_stolen.append(trip(3))
        with_stolen.close()
        problem = verified(tmp_path, keys=first).first
        assert problem
        assert (problem.kind, problem.where, problem.seq) == ("wrong key", "checkpoints", 4)

    def test_a_change_that_cannot_be_read_is_told_once_and_hinders_nothing_else(
        self, tmp_path: Path, clock: ManualClock
    ) -> None:
        before = happenings.counts()["audit_key_unchanged"]
        several_files(tmp_path, clock)
        clock.advance(40 * 86_400)
        (tmp_path / "watch" / "key.next").write_text("{")
        journal = Journal(tmp_path, clock, settings=JournalSettings(keep_s=30 * 86_400.0))
        journal.append(trip(4))
        eventually(lambda: len(chain_files(tmp_path / "watch")) < 4, what="old files are gone")
        eventually(lambda: happenings.counts()["audit_key_unchanged"] == before + 1)
        journal.close()
        assert happenings.counts()["audit_key_unchanged"] == before + 1

    def test_a_checkpoint_made_meanwhile_does_not_leave_the_new_key_unnamed(
        self, journal: Journal, tmp_path: Path
    ) -> None:
        done = threading.Event()

        def signing() -> None:
            while not done.is_set():
                journal.sign()

        others = threading.Thread(target=signing)
        others.start()
        try:
            for _ in range(20):
                new = plan_change(tmp_path / "watch", "cli:jo", "yearly")
                journal.change_key()
        finally:
            done.set()
            others.join()
        journal.append(trip(0))
        journal.sign()
        assert verified(tmp_path).problems == []
        assert verified(tmp_path).chains["watch"].keys[-1] == new

    def test_another_installation_has_other_keys(self, journal: Journal, tmp_path: Path, clock: ManualClock) -> None:
        journal.append(trip(0))
        journal.sign()
        other = Journal(tmp_path / "other", clock)
        other.append(trip(0))
        other.close()
        problem = verified(tmp_path, keys=read_public(tmp_path / "other" / "watch" / PUBLIC)).first
        assert problem
        assert (problem.seq, problem.kind) == (0, "wrong key")


class TestErasure:
    def test_the_payload_goes_the_hash_stays_and_an_entry_says_so(
        self, journal: Journal, tmp_path: Path, clock: ManualClock
    ) -> None:
        journal.append(Note("sql", "jo", "answered", payload={"secret": "4111 1111 1111 1111"}))
        found = find(tmp_path / "watch", 0)
        assert found
        os.utime(found[0], (clock.now(), clock.now()))
        assert not erase(tmp_path / "watch", 0, "another hash")
        assert erase(tmp_path / "watch", 0, found[2].payload_hash)
        assert found[0].stat().st_mtime == clock.now(), "it is kept no longer for it"
        assert b"4111" not in b"".join(path.read_bytes() for path in chain_files(tmp_path / "watch"))
        journal.append(trip(1))  # the writer goes on behind it
        journal.sign()
        problem = verified(tmp_path).first
        assert problem
        assert (problem.seq, problem.kind) == (0, "erased")
        payload = {"writer": "watch", "seq": 0, "payload_hash": found[2].payload_hash}
        journal.append(Note("erasure", "operator:jo", "watch/0", "asked for", payload=payload))
        journal.sign()
        assert verified(tmp_path).status == 0
        assert [entry["seq"] for entry in entries(tmp_path)] == [1, 2], "it teaches nothing any more"


class TestRetention:
    def test_whole_files_go_behind_a_checkpoint_and_the_record_says_so(
        self, tmp_path: Path, clock: ManualClock
    ) -> None:
        several_files(tmp_path, clock)
        clock.advance(40 * 86_400)
        journal = Journal(tmp_path, clock, settings=JournalSettings(keep_s=30 * 86_400.0))
        journal.append(trip(4))
        eventually(lambda: len(chain_files(tmp_path / "watch")) < 4, what="old files are gone")
        journal.close()
        (said,) = [entry for entry in entries(tmp_path) if entry["kind"] == "retention"]
        report = verified(tmp_path)
        assert report.status == 0
        assert report.chains["watch"].first == said["payload"]["below"] == 4
        assert Journal(tmp_path, clock).append(trip(5)) == 6
        chain_files(tmp_path / "watch")[0].unlink()
        problem = verified(tmp_path).first
        assert problem
        assert (problem.kind, problem.where) == ("deleted", "journal")

    def test_what_is_in_force_is_not_deleted(self, tmp_path: Path, clock: ManualClock) -> None:
        command = {"id": "k1", "scope": "agent:a", "lifts": []}
        for note in (trip(0), Note("kill", "operator:jo", "agent:a", payload={"command": command}), trip(2), trip(3)):
            one = Journal(tmp_path, clock)
            one.append(note)
            one.close()
        folder, later = tmp_path / "watch", clock.now() + 1e9
        assert retention.prunable(folder, later, 4) == 1
        assert retention.prunable(folder, later, 0) == 0, "nothing that is not signed"
        (_, killed, *_) = chain_files(folder)
        whole = killed.read_bytes()
        killed.write_bytes(whole[:-9] + b"\n")
        assert retention.prunable(folder, later, 4) == 0, "what cannot be read may be the kill"
        killed.write_bytes(whole)
        one = Journal(tmp_path, clock)
        one.append(Note("resume", "operator:jo", "agent:a", payload={"command": {"id": "r", "lifts": ["k1"]}}))
        one.close()
        assert retention.prunable(folder, later, 4) == 4


class SecondHost(http.server.ThreadingHTTPServer):
    """Fails once, then takes what it is given."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.paths: list[str] = []
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def __exit__(self, *details: Any) -> None:
        self.shutdown()
        self.server_close()


class _Handler(http.server.BaseHTTPRequestHandler):
    server: SecondHost

    def do_POST(self) -> None:
        self.server.paths.append(self.path)
        self.server.got.append((dict(self.headers), self.rfile.read(int(self.headers["content-length"]))))
        self.send_response(500 if len(self.server.got) == 1 else 204)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        return


class TestAnchors:
    def test_a_file_and_a_repository_hold_what_the_machine_cannot_take_back(
        self, tmp_path: Path, clock: ManualClock
    ) -> None:
        repository, file = tmp_path / "git", tmp_path / "anchor.jsonl"
        subprocess.run(["git", "init", "-q", repository], check=True)
        anchors = [Anchor("file", into_file(file)), Anchor("git", into_git(repository))]
        journal = Journal(tmp_path / "j", clock, settings=JournalSettings(anchors=anchors))
        for number in range(3):
            journal.append(trip(number))
            journal.sign()
        journal.close()
        log = subprocess.run(
            ["git", "-C", repository, "log", "--format=%s"], check=True, capture_output=True, text=True
        )
        assert log.stdout.splitlines()[0] == "watch: 3 entries"
        anchored = [checkpoint.parse(text) for text in file.read_bytes().splitlines()]
        assert anchored[-1].size == 3
        assert verified(tmp_path / "j", remembered=anchored).status == 0
        folder = tmp_path / "j" / "watch"
        (path,) = chain_files(folder)
        path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:1]))
        signed = folder / checkpoint.FILE
        signed.write_bytes(signed.read_bytes().splitlines(keepends=True)[0])
        assert verified(tmp_path / "j").status == 0, "nobody on this machine knows"
        problem = verified(tmp_path / "j", remembered=anchored).first
        assert problem
        assert (problem.kind, problem.seq) == ("rolled back", 1)

    @pytest.mark.parametrize(
        "url",
        [
            "https://a.example:99999/", "https://a.example/b c", "https://ä.example/", "a.example", "https://[::1",
            "https://jo:hunter2@a.example/", "https://:hunter2@a.example/", "https://a.example:hunter2/",
        ],
    )  # fmt: skip
    def test_an_address_that_nothing_could_be_sent_to_is_refused_at_start(self, url: str) -> None:
        with pytest.raises(ConfigError, match="audit_anchor_url") as refused:
            to_webhook(url, new_secret())
        assert "hunter2" not in str(refused.value)

    def test_a_disk_that_takes_half_a_line_gets_it_whole_later(self, tmp_path: Path, clock: ManualClock) -> None:
        journal = Journal(tmp_path / "j", clock)
        journal.append(trip(0))
        journal.close()
        signed, file = checkpoint.last(tmp_path / "j" / "watch"), tmp_path / "anchor.jsonl"
        assert signed
        put = into_file(file)
        put(signed)
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (file.stat().st_size + 100, hard))
        try:
            with pytest.raises(AnchorFailed, match="no whole line"):
                put(signed)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        put(signed)
        assert [checkpoint.parse(line) for line in file.read_bytes().splitlines()] == [signed, signed]

    def test_a_second_host_is_posted_to_and_tried_again(self, tmp_path: Path, clock: ManualClock) -> None:
        secret = new_secret()
        journal = Journal(tmp_path, clock)
        journal.append(trip(0))
        journal.close()
        signed = checkpoint.last(tmp_path / "watch")
        assert signed
        with SecondHost() as host:
            put = to_webhook(f"http://127.0.0.1:{host.server_port}/anchors?from=here", secret)
            with pytest.raises(AnchorFailed, match="500"):
                put(signed)
            put(signed)
        assert [checkpoint.parse(body) for _, body in host.got] == [signed, signed]
        assert host.paths == ["/anchors?from=here"] * 2
        headers, body = host.got[1]
        assert verify([secret], headers, body, now=float(headers["webhook-timestamp"])) == "checkpoint-watch-1"


class TestExport:
    @pytest.mark.parametrize(
        "cell", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\uff1d1", " =1", '"=1', "\ufeff=cmd|' /C calc'!A0"]
    )
    def test_a_spreadsheet_computes_nothing(self, cell: str) -> None:
        text = io.StringIO()
        csv.writer(text, quoting=csv.QUOTE_ALL).writerow([safe(cell)])
        assert next(csv.reader(io.StringIO(text.getvalue(), newline="")))[0] == f"'{cell}"

    @pytest.mark.parametrize("cell", ["plain", "", "a=b", "2026", "'quoted'"])
    def test_other_text_stays(self, cell: str) -> None:
        assert safe(cell) == cell


def test_a_proof_convinces_somebody_who_has_only_the_checkpoint(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, clock: ManualClock
) -> None:
    from fusebox.cli import main

    monkeypatch.setenv("FUSEBOX_DATA_DIR", str(tmp_path))
    journal = Journal(tmp_path / "journal", clock)
    for number in range(9):
        journal.append(trip(number))
    journal.close()
    assert main(["audit", "prove", "3"]) == 0
    told = json.loads(capsys.readouterr().out)
    proof = [bytes.fromhex(step) for step in told["proof"]]
    entry = decode(rfc8785.dumps(told["entry"]))
    assert includes(leaf(entry), 3, told["size"], proof, bytes.fromhex(told["checkpoint"]["root"]))
    assert main(["audit", "consistency", "4", "9"]) == 0
    told = json.loads(capsys.readouterr().out)
    roots = bytes.fromhex(told["first_root"]), bytes.fromhex(told["second_root"])
    assert consistent(4, 9, [bytes.fromhex(step) for step in told["proof"]], *roots)
    assert main(["audit", "prove", "9"]) == 2
    assert "no signed entry 9" in capsys.readouterr().err
    assert main(["audit", "verify", "--pubkey", "nowhere"]) == 3
    with pytest.raises(SystemExit, match="3"):
        main(["audit", "verify", "--bogus"])
    capsys.readouterr()
    assert main(["audit", "export", "--format", "csv"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 10
    assert main(["audit", "keys"]) == 0
    assert capsys.readouterr().out.split()[1:] == ["watch", "0"]
    assert main(["audit", "export", "--writer", "nobody"]) == 2
    assert "no chain 'nobody'" in capsys.readouterr().err
    monkeypatch.setenv("FUSEBOX_DATA_DIR", str(tmp_path / "elsewhere"))
    for asked in (["audit", "export"], ["audit", "keys"]):
        assert main(asked) == 2
        assert "there is no record" in capsys.readouterr().err, "an empty file would pass for an empty record"


def test_the_second_verifier_runs_alone(tmp_path: Path) -> None:
    log = clean(random.Random(3), 100)
    log.write(tmp_path / "journal")
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps(row) + "\n" for row in log.rows_json()))
    (tmp_path / "keys").write_text("".join(f"{public} watch\n" for public in log.keys.values()))
    command = [
        sys.executable,
        "tools/verify_audit.py",
        tmp_path / "journal",
        "--rows",
        rows,
        "--pubkey",
        tmp_path / "keys",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 2), done.stderr
    log.rows["watch"][7] = log.rows["watch"][7]._replace(actor="somebody else")
    rows.write_text("".join(json.dumps(row) + "\n" for row in log.rows_json()))
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"TAMPERED watch {log.rows['watch'][7].seq} (copy)" in done.stdout
    for usage in (["--rows"], ["--pubkey", "nowhere"], ["--witness", "nowhere"], ["--trusted", rows]):
        assert subprocess.run([*command[:3], *usage], capture_output=True, check=False).returncode == 3


def test_a_row_may_hold_every_character(tool: ModuleType, tmp_path: Path) -> None:
    note = Note("kill", "operator:jo", "agent:a", "\x85 \u2028 \x1e \r\n")
    entry = make(0, "watch", 1.0, note, payload_of(note), "0" * 64)
    rows = tmp_path / "rows.jsonl"
    rows.write_text(json.dumps({**entry._asdict(), "payload": entry.payload.decode()}, ensure_ascii=False) + "\n")
    assert tool.read_rows(rows) == {"watch": [entry._asdict()]}


def test_replace_keeps_checkpoints_honest() -> None:
    """A checkpoint is not valid with any field changed."""
    log = clean(random.Random(4), 100)
    signed = log.signed["watch"][0]
    (public,) = log.keys.values()
    assert signed.signed_by(public)
    for change in (
        {"size": 1},
        {"root": "0"},
        {"time": 1},
        {"head": "1"},
        {"previous": "x"},
        {"next": "x"},
        {"writer": "k"},
    ):
        assert not replace(signed, **change).signed_by(public)  # type: ignore[arg-type]


def test_the_second_verifier_does_not_miss_rows_of_entries_that_came_after_the_rows_were_read(
    tool: ModuleType, tmp_path: Path
) -> None:
    log = clean(random.Random(3), 100)
    log.write(tmp_path)
    until = log.entries["watch"][60].time / 1e6
    rows = {writer: [row._asdict() for row in held if row.time / 1e6 < until] for writer, held in log.rows.items()}
    remembered = [json.loads(each.line) for each in log.remembered]
    late, after = ({"now": NOW + 1, "read_at": at} for at in (until, until + 1))
    assert tool.verify(tmp_path, rows, dict(log.keys), remembered, **late)[0] == 0
    status, bad, _ = tool.verify(tmp_path, rows, dict(log.keys), remembered, **after)
    assert (status, [each for each in bad if each[0] == "watch"]) == (
        1,
        [("watch", rows["watch"][-1]["seq"] + 1, "copy")],
    )
    rows["watch"].pop(3)
    assert tool.verify(tmp_path, rows, dict(log.keys), remembered, **late)[0] == 1
