"""What the spool raises and what it reports."""

from __future__ import annotations

import logging
from typing import Final

from fusebox import happenings
from fusebox.errors import Retryable


class SpoolFull(Retryable):
    """No room: the size cap, the age cap or the reserve is reached, or the disk is full. Nothing was kept."""


class SpoolFailed(Retryable):
    """The disk reported an error. Nothing is promised about this record."""


FULL: Final = happenings.declare("spool_full", logging.ERROR, "the spool refused a record for lack of room")
SYNC_FAILED: Final = happenings.declare("spool_sync_failed", logging.ERROR, "fdatasync failed; a segment was given up")
TORN: Final = happenings.declare("spool_torn", logging.INFO, "an unacknowledged write was cut off after a crash")
DAMAGED: Final = happenings.declare("spool_damaged", logging.ERROR, "stored records are damaged; intact ones go on")
LOST: Final = happenings.declare("spool_records_lost", logging.ERROR, "record numbers missing at damaged places")
MISPLACED: Final = happenings.declare("spool_misplaced", logging.ERROR, "a segment was not where its records belong")
QUARANTINED: Final = happenings.declare(
    "spool_quarantined", logging.ERROR, "a damaged segment was put aside for a person; the first eight are kept"
)
CURSOR_UNREADABLE: Final = happenings.declare(
    "spool_cursor_unreadable", logging.ERROR, "a reader's cursor is damaged; it starts again at the oldest record"
)
