"""Fills a small disk through the spool and empties it again; prints one JSON object. Run by ``test_spool_full_disk``.

``python -m tests.collector.full_disk FOLDER RESERVE``
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from collector.spool import READERS, Reader, SpoolFull, Writer
from fusebox import happenings
from fusebox.clock import ManualClock

_REFUSALS = 20
_HOG = 50_000


def main(folder: Path, reserve: int) -> dict[str, object]:
    hog, clock = folder / "hog", ManualClock()
    hog.write_bytes(bytes(_HOG))
    writer = Writer(folder / "spool", 1 << 30, segment_bytes=100_000, reserve=reserve, clock=clock)
    taken, refused, errors = [], 0, set()
    while refused < _REFUSALS:
        clock.advance(1)
        try:
            taken.append(writer.append(os.urandom(3000)))
        except SpoolFull as error:
            refused += 1
            errors.add(str(error))
    disk = os.statvfs(folder)
    if not reserve:
        hog.unlink()  # nobody can empty a spool on a disk that takes nothing at all: a person makes room
    read = {name: [record.number for record in Reader(folder / "spool", name).read(10**6, 1 << 30)] for name in READERS}
    for name in READERS:
        Reader(folder / "spool", name).commit(taken[len(taken) // 2])
    clock.advance(1)
    again = writer.append(b"after")
    writer.close()
    Writer(folder / "spool", 1 << 30, reserve=reserve).close()
    return {
        "taken": len(taken), "read": [found == taken for found in read.values()], "again": again > taken[-1],
        "free": disk.f_bavail * disk.f_frsize, "errors": sorted(errors),
        "damaged": happenings.counts()["spool_damaged"],
    }  # fmt: skip


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), int(sys.argv[2]))))
