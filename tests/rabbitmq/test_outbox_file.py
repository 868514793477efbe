"""The outbox file against a model: what was acknowledged and not ended is there, in order, whatever happened."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from fusebox import happenings
from rabbitmq.broker import Message
from rabbitmq.outbox_file import OutboxFile, open_file
from rabbitmq.outbox_lines import Parcel, parse

HEADERS = st.dictionaries(st.text(max_size=5), st.text(max_size=5) | st.integers(-9, 9) | st.booleans(), max_size=3)
MESSAGES = st.builds(Message, body=st.binary(max_size=300), headers=HEADERS, correlation_id=st.text(max_size=9))


def parcel(number: int, message: Message) -> Parcel:
    return Parcel(number, 1_760_000_000.25 + number, "fusebox.events", f"key.{number}", message)


class OutboxFileMachine(RuleBasedStateMachine):
    """``model`` holds what was acknowledged and not ended, oldest first."""

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="fusebox-outbox-"))
        self.generation, self.last = 0, 0
        self.model: list[Parcel] = []
        self.file = open_file(self.folder, "test")

    @rule(message=MESSAGES)
    def append(self, message: Message) -> None:
        self.last += 1
        kept = parcel(self.last, message)
        self.file.append(kept)
        self.model.append(kept)

    @rule(message=MESSAGES, call=st.sampled_from(["write", "fdatasync"]))
    def append_while_the_disk_fails(self, message: Message, call: str) -> None:
        """The disk fails once: what was not acknowledged must not come back."""
        self.last += 1
        with patch.object(os, call, side_effect=[OSError(28, "No space left on device"), None]):
            try:
                self.file.append(parcel(self.last, message))
            except OSError:
                return
        raise AssertionError("acknowledged without a sync")

    @rule(message=MESSAGES)
    def append_half_a_line(self, message: Message) -> None:
        self.last += 1
        write = os.write
        with patch.object(os, "write", side_effect=lambda fd, line: write(fd, line[: len(line) // 2])):
            try:
                self.file.append(parcel(self.last, message))
            except OSError:
                return
        raise AssertionError("acknowledged half a line")

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        ended = data.draw(st.sets(st.sampled_from([each.number for each in self.model]), min_size=1))
        self.file.end(ended)
        self.model = [each for each in self.model if each.number not in ended]

    @rule()
    def restart(self) -> None:
        self.file.close()
        self._reopen()

    @rule(tail=st.binary(max_size=80).filter(lambda tail: b"\n" not in tail))
    def crash(self, tail: bytes) -> None:
        """What the disk holds while the process runs is what a kill leaves; perhaps with half a line behind."""
        left = self.folder
        self.generation += 1
        self.folder = left.with_name(f"{left.name}-{self.generation}")
        shutil.copytree(left, self.folder)
        with (self.folder / "test-0.jsonl").open("ab") as file:
            file.write(tail)
        self.file.close()
        shutil.rmtree(left)
        self._reopen()

    @invariant()
    def the_disk_holds_what_the_model_holds(self) -> None:
        if hasattr(self, "file"):
            live, damaged = parse((self.folder / "test-0.jsonl").read_bytes())
            assert (live, damaged) == (self.model, 0)

    def _reopen(self) -> None:
        self.file = open_file(self.folder, "test")
        assert self.file.parcels == self.model
        self.last = max(self.last, *(each.number for each in self.model), 0)

    def teardown(self) -> None:
        if hasattr(self, "file"):
            self.file.close()
            shutil.rmtree(self.folder)


TestOutboxFile = OutboxFileMachine.TestCase
TestOutboxFile.settings = settings(max_examples=40, stateful_step_count=25)


def test_a_damaged_line_is_counted_and_kept_as_evidence_and_costs_no_other(tmp_path: Path) -> None:
    file = open_file(tmp_path, "test")
    for n in (1, 2, 3):
        file.append(parcel(n, Message(b"x" * 100)))
    file.close()
    path = tmp_path / "test-0.jsonl"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    before = happenings.counts()["outbox_damaged"]
    again = open_file(tmp_path, "test")
    assert [each.number for each in again.parcels] == [1, 3]
    assert happenings.counts()["outbox_damaged"] == before + 1
    (copy,) = tmp_path.glob("test-0.*.damaged")
    assert copy.read_bytes() == bytes(data)
    again.close()


def test_two_processes_of_one_name_own_a_file_each_and_the_next_takes_over_both(tmp_path: Path) -> None:
    first, second = open_file(tmp_path, "test"), open_file(tmp_path, "test")
    first.append(parcel(1, Message(b"first", message_id="a")))
    second.append(parcel(1, Message(b"second", message_id="b")))
    first.close()
    second.close()
    heir = open_file(tmp_path, "test")
    assert [each.message.message_id for each in heir.parcels] == ["a", "b"]
    assert (tmp_path / "test-1.jsonl").read_bytes() == b""
    heir.close()


def test_the_file_of_a_living_process_and_of_another_name_is_left_alone(tmp_path: Path) -> None:
    living, other = open_file(tmp_path, "test"), open_file(tmp_path, "test-2")
    living.append(parcel(1, Message(b"1")))
    other.append(parcel(1, Message(b"2")))
    other.close()
    newcomer = open_file(tmp_path, "test")
    assert newcomer.parcels == []
    newcomer.close()
    living.close()


def test_a_file_with_much_that_is_dead_is_rewritten(tmp_path: Path) -> None:
    file = open_file(tmp_path, "test")
    file.append(parcel(1, Message(b"stays")))
    for n in range(2, 40):
        file.append(parcel(n, Message(bytes(100_000))))
        file.end([n])
        assert (tmp_path / "test-0.jsonl").stat().st_size < 2 << 20
    file.close()
    again = open_file(tmp_path, "test")
    assert [each.message.body for each in again.parcels] == [b"stays"]
    again.close()


def test_after_a_failed_write_that_cannot_be_taken_back_nothing_is_acknowledged(tmp_path: Path) -> None:
    file = OutboxFile(tmp_path / "x.jsonl")
    failing = patch.multiple(os, fdatasync=_fails, ftruncate=_fails)
    with failing, pytest.raises(OSError, match="Input/output"):
        file.append(parcel(1, Message(b"1")))
    with pytest.raises(OSError, match="restart the process"):
        file.append(parcel(2, Message(b"2")))
    file.close()


def _fails(*_args: object) -> None:
    raise OSError(5, "Input/output error")
