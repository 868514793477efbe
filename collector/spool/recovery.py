"""What the writer does to a spool it opens: puts segments in order, cuts the torn tail, finds the number floor."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from collector.spool.cursor import cursors
from collector.spool.errors import DAMAGED, MISPLACED, TORN
from collector.spool.record import HEADER, Record, header_of, intact, parse_header, walk
from collector.spool.segment import Segment, keep_evidence, new_segment, segments, set_aside
from fusebox import happenings
from fusebox.rundir import sync_dir

_Ranges = list[tuple[int, int, Segment]]


def recover(folder: Path, mark: int) -> int:
    """Repair the folder; return the highest record number ever given.

    Args:
        folder: the spool; its writer must hold the lock.
        mark: the durable mark as it was found.

    Raises:
        OSError: the disk refuses to read or sync.
    """
    _discard_empty(folder)
    if not _in_order(segments(folder)):
        _put_in_order(folder)
    remaining = segments(folder)
    last = _cut_tail(remaining[-1], mark) if remaining else 0
    sync_dir(folder)
    return max(last, mark, *cursors(folder).values(), 0)


def recent(folder: Path, segment_count: int = 2) -> Iterator[Record]:
    """The intact records of the newest segments, oldest first, whoever has read them."""
    for segment in segments(folder)[-segment_count:]:
        for number, payload in _records(segment):
            yield Record(number, payload)


def _records(segment: Segment) -> Iterator[tuple[int, bytes]]:
    data = segment.path.read_bytes()
    for offset, header in walk(data, segment.salt):
        start = offset + HEADER
        yield header.number, data[start : start + header.length]


def _discard_empty(folder: Path) -> None:
    for segment in segments(folder):
        if _first_number(segment) is not None:
            continue
        if segment.size():
            happenings.emit(DAMAGED, segment=segment.path.name, bytes=segment.size(), intact=0)
            keep_evidence(segment)
        segment.path.unlink()


def _in_order(found: list[Segment]) -> bool:
    bounds = [s.base for s in found[1:]] + [1 << 64]
    return all(s.base <= (_first_number(s) or 0) < upper for s, upper in zip(found, bounds, strict=False))


def _first_number(segment: Segment) -> int | None:
    """The number of the first intact record; looks further than the first only when that is damaged."""
    with segment.path.open("rb") as file:
        header = parse_header(file.read(HEADER), segment.salt)
        if header and intact(header, file.read(header.length), segment.salt):
            return header.number
    return next((number for number, _ in _records(segment)), None)


def _put_in_order(folder: Path) -> None:
    """Name every segment after its records; merge those that overlap. Each step leaves every record in some segment."""
    ranges: _Ranges = []
    for segment in segments(folder):
        numbers = [number for number, _ in _records(segment)]
        ranges.append((min(numbers), max(numbers), segment))
    for group in _overlapping(sorted(ranges)):
        happenings.emit(MISPLACED, segments=[s.path.name for s in group])
        _rewrite(folder, group)


def _overlapping(ranges: _Ranges) -> list[list[Segment]]:
    groups: list[list[Segment]] = []
    end = -1
    for first, last, segment in ranges:
        if first > end:
            groups.append([])
        groups[-1].append(segment)
        end = max(end, last)
    return groups


def _rewrite(folder: Path, group: list[Segment]) -> None:
    records = {number: payload for segment in reversed(group) for number, payload in _records(segment)}
    target = new_segment(folder, min(records), group[0].salt, repaired=True)
    temporary = folder / ".repair"
    with temporary.open("wb") as file:
        for number in sorted(records):
            file.write(header_of(number, records[number], target.salt) + records[number])
        file.flush()
        os.fsync(file.fileno())
    oldest = min(segment.written() for segment in group)
    os.utime(temporary, (oldest, oldest))
    os.rename(temporary, target.path)
    sync_dir(folder)
    for segment in group:
        set_aside(segment)


def _cut_tail(segment: Segment, mark: int) -> int:
    """Cut the newest segment behind its last intact record and sync it; return that record's number."""
    end, last = 0, 0
    for offset, header in walk(segment.path.read_bytes(), segment.salt):
        end, last = offset + HEADER + header.length, header.number
    fd = os.open(segment.path, os.O_RDWR | os.O_CLOEXEC)
    try:
        excess = os.fstat(fd).st_size - end
        if excess:
            _report_tail(segment, excess, last < mark)
            os.ftruncate(fd, end)
        os.fsync(fd)
    finally:
        os.close(fd)
    return last


def _report_tail(segment: Segment, excess: int, acknowledged: bool) -> None:
    happenings.emit(DAMAGED if acknowledged else TORN, segment=segment.path.name, bytes=excess)
    if acknowledged:
        keep_evidence(segment)
