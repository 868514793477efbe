"""The spool against a model that is a list: whatever happens in whatever order, readers see what was acknowledged."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from unittest.mock import patch

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from collector.spool import Reader, Record, SpoolFailed, SpoolFull, Writer

NAMES = ("keep", "watch")
MAX_BYTES, SEGMENT = 4000, 500


class SpoolMachine(RuleBasedStateMachine):
    """``model`` holds every acknowledged record; each reader has a position (read) and a floor (committed)."""

    @initialize()
    def begin(self) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="fusebox-spool-"))
        self.generation = 0
        self.model: list[Record] = []
        self.committed = dict.fromkeys(NAMES, 0)
        self._open()

    @rule(payload=st.binary(max_size=300))
    def append(self, payload: bytes) -> None:
        try:
            number = self.writer.append(payload)
        except SpoolFull:
            assert self._unfinished() + SEGMENT + 400 + len(payload) > MAX_BYTES * 3 // 4, "refused with room left"
            return
        assert not self.model or number > self.model[-1].number
        self.model.append(Record(number, payload))

    @rule(payload=st.binary(max_size=300))
    def append_while_the_disk_fails(self, payload: bytes) -> None:
        with patch.object(os, "fdatasync", side_effect=OSError(5, "Input/output error")):
            try:
                self.writer.append(payload)
            except (SpoolFailed, SpoolFull):
                return
        raise AssertionError("acknowledged without a sync")

    @rule(name=st.sampled_from(NAMES), count=st.integers(1, 20), size=st.integers(1, 1000))
    def read(self, name: str, count: int, size: int) -> None:
        records = self.readers[name].read(count, size)
        expected = [r for r in self.model if r.number > self.position[name]]
        assert records == expected[: len(records)]
        assert records or not expected
        if records:
            self.position[name] = records[-1].number

    @rule(name=st.sampled_from(NAMES))
    def commit(self, name: str) -> None:
        self.readers[name].commit(self.position[name])
        self.committed[name] = max(self.committed[name], self.position[name])

    @rule(name=st.sampled_from(NAMES))
    def reopen_reader(self, name: str) -> None:
        self.readers[name].close()
        self.readers[name] = Reader(self.folder, name)
        self.position[name] = self.committed[name]

    @rule()
    def restart(self) -> None:
        self._close()
        self._open()

    @rule(tail=st.binary(max_size=100))
    def crash(self, tail: bytes) -> None:
        """What the disk holds while the writer still runs is what a kill leaves; perhaps with half a write behind."""
        left = self.folder
        self.generation += 1
        shutil.copytree(left, self.folder)
        self._close()
        newest = max(self.folder.glob("*.seg"), default=None)
        if newest:
            with newest.open("ab") as file:
                file.write(tail)
        self._open()

    @precondition(lambda self: self.generation < 3)
    @rule()
    def power_cut_loses_the_mark(self) -> None:
        self._close()
        (self.folder / "durable").unlink()
        self._open()

    @invariant()
    def stays_within_its_bounds(self) -> None:
        if hasattr(self, "writer"):
            on_disk = sum(p.stat().st_size for p in self.folder.glob("*.seg"))
            assert on_disk == self.writer.size() <= MAX_BYTES

    def teardown(self) -> None:
        if hasattr(self, "writer"):
            for name in NAMES:
                self.read(name, 10_000, 1 << 20)
            self._close()
            shutil.rmtree(self.root)

    @property
    def folder(self) -> Path:
        return self.root / str(self.generation)

    def _open(self) -> None:
        self.writer = Writer(self.folder, MAX_BYTES, segment_bytes=SEGMENT)
        self.readers = {name: Reader(self.folder, name) for name in NAMES}
        self.position = dict(self.committed)

    def _close(self) -> None:
        self.writer.close()
        for reader in self.readers.values():
            reader.close()

    def _unfinished(self) -> int:
        floor = min(self.committed.values())
        return sum(len(r.payload) + 28 for r in self.model if r.number > floor)


TestSpool = SpoolMachine.TestCase
TestSpool.settings = settings(max_examples=60, stateful_step_count=40)
