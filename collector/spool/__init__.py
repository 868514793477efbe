"""The spool: where every request is durable before its sender hears 200, and from which *keep* and *watch* read.

One process writes, any number of processes read, each at its own pace. Nothing here knows what a payload is.

Format
------
::

    spool/
    ├── lock                        flock of the one writer, with its pid
    ├── durable                     the mark: highest record number known to be on disk
    ├── <base>-<salt>.seg           records, oldest file first; base = 20 decimal digits, salt = 8 hex digits
    ├── cursors/<reader>            highest record number that reader is done with
    └── quarantine/                 hard links to segments in which damage was found, for people

    record   = magic "\\xf5SPL" · length u32 · number u64 · xxh64 of payload · xxh32 of the 24 bytes before · payload
    mark     = number u64 · xxh64 of it
    cursor   = "<number> <xxh64 of it in hex>\\n"

All integers are little-endian. Both checksums are seeded with the segment's salt, which only this folder knows: a
payload that contains something shaped like a record cannot be taken for one after damage. All segments of a spool
share one salt.

Invariants
----------
1. Record numbers rise strictly; a number is never given twice, not even after a restart, damage or a failed write
   (the next one is above everything found in segments, mark and cursors). Numbers may have gaps.
2. ``append`` returns only after ``fdatasync`` of the segment (shared by all threads that wait: group commit), after
   the folder entry of a new segment was synced, and after the mark was moved.
3. Readers deliver records up to the mark, so what a reader has seen survives a power cut: *keep* fixes a batch from
   what it read, and a batch whose members vanished could not be retried.
4. A failed ``fdatasync`` is never repeated on the same file (the kernel may have dropped the pages and report success
   next time); a mark that cannot be moved counts as one, and so does a segment that somebody deleted. The segment is
   cut back to its durable length and closed, all waiting appends raise, the next append starts a new segment. When even
   the cut fails, the writer refuses everything until it is opened again.
5. A failed or short ``write`` is cut off again; the append raises :class:`SpoolFull`.
6. Only the writer deletes segments: those whose last record every file in ``cursors/`` has passed, except the newest
   (from which :func:`recent` tells what was just received) unless room is needed. A cursor that cannot be read counts
   as 0: it protects everything and its reader starts again at the oldest record (at least once), unless it knows
   better: *keep* does, by its last promise (:mod:`collector.keep.batch`).
7. A record waits for *keep* at most ``max_age_s`` before others are refused (:mod:`collector.spool.age`); its age
   is that of its segment's last write, and segments are closed after a sixteenth of that time.
8. The last 32 MiB of the disk are left to those who empty the spool (:mod:`collector.spool.reserve`).
9. The mark is not fsynced. After a power cut it may lag, never lead; it gates readers and raises the number floor, but
   never decides what survives.

::

                     append                    fdatasync ok, mark moved
      (nothing) ───────────────► written ─────────────────────────────► durable ──► read ──► passed by all ──► deleted
                                   │                                       ▲
                                   ├── fdatasync failed: cut off, raised   │ intact at the next open
                                   └── process killed ─────────────────────┘ (else: torn tail, cut off)

Recovery (at each open by the writer; never asks for a person)
--------------------------------------------------------------
* The newest segment is walked: behind its last intact record it is cut. Up to the mark that is damage (kept in
  quarantine, alarm), behind the mark a torn write (nobody was told it is safe).
* All intact records stay, acknowledged or not, and are fsynced before the mark moves over them.
* A segment whose first intact record does not belong under its name (a swapped or copied file) is renamed to where it
  belongs, or quarantined when that place is taken. One without any intact record is quarantined.
* Writing always goes on in a new segment.

Readers meet damage in the middle by looking for the next intact record of the segment; what they skip is counted and
the segment is linked into quarantine. They never stop. Records with a number they have passed are skipped, so a copied
segment is delivered once.
"""

from collector.spool.cursor import READERS, cursors
from collector.spool.errors import SpoolFailed, SpoolFull
from collector.spool.reader import Reader
from collector.spool.record import MAX_PAYLOAD, Record
from collector.spool.recovery import recent
from collector.spool.segment import quarantined
from collector.spool.writer import Writer

__all__ = [
    "MAX_PAYLOAD", "READERS", "Reader", "Record", "SpoolFailed", "SpoolFull", "Writer", "cursors", "quarantined",
    "recent",
]  # fmt: skip
