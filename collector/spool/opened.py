"""The segment being written: records go in whole or not at all."""

from __future__ import annotations

import os

from collector.spool.errors import FULL, SpoolFull
from collector.spool.segment import Segment
from fusebox import happenings
from fusebox.rundir import sync_dir


class OpenSegment:
    """One file, its end, and how far the disk has it.

    Args:
        segment: which one; its file must not be there yet.
        begun: Unix seconds.

    Attributes:
        end, durable_end: bytes written, and of them those known to be on disk.
        durable: the highest record number known to be on disk.
        failure: what the disk reported when it gave the segment up.

    Raises:
        OSError: the disk refuses; nothing is left of the file.
    """

    def __init__(self, segment: Segment, begun: float) -> None:
        self.segment = segment
        self.begun = begun
        self.end = self.durable_end = self.durable = 0
        self.failure = ""
        self.fd = os.open(segment.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            sync_dir(segment.path.parent)
        except OSError:
            os.close(self.fd)
            segment.path.unlink(missing_ok=True)
            raise

    def write(self, header: bytes, payload: bytes) -> None:
        """Write one record whole, or leave the file as it was.

        Raises:
            SpoolFull: the disk took less than all of it.
            OSError: and it could not be cut off again.
        """
        try:
            written = os.writev(self.fd, [header, payload])
            if written < len(header) + len(payload):
                raise OSError("short write")
        except OSError as error:
            os.ftruncate(self.fd, self.end)
            raise no_room(error) from error
        self.end += written

    def gone(self) -> OSError | None:
        """An error when somebody deleted the file: what is synced into it then, no reader will ever find."""
        return None if os.fstat(self.fd).st_nlink else OSError("somebody deleted the segment")


def no_room(error: OSError) -> SpoolFull:
    """What the disk reported, counted, as a refusal."""
    happenings.emit(FULL, error=str(error))
    return SpoolFull(f"the disk of the spool takes no more ({error.strerror or error}); make room on it")
