"""Who waits for whom where processor time is short: the collector interrupts nobody."""

from __future__ import annotations

import logging
import os
from typing import Final

from fusebox import happenings

FORBIDDEN: Final = happenings.declare(
    "scheduling_forbidden",
    logging.INFO,
    "the system does not let a role work in the class for bulk work; it works as usual",
)


def interrupt_nobody() -> None:
    """Let this process work in longer stretches, and begin only where another has paused (``SCHED_BATCH``, sched(7)).

    Agents, gateway and pages on the same machine go first when they wake, and *receive*, *keep* and *watch* do not
    interrupt each other at every request, which left each with caches full of another's data. Shares of the processor
    stay what they were. Threads and processes that are started later work so, too. Nothing happens where the system has
    no such class; where it does not allow it, that is told.
    """
    if not hasattr(os, "SCHED_BATCH"):
        return
    try:
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    except OSError as error:
        happenings.emit(FORBIDDEN, error=str(error))
