"""Who waits for whom where processor time is short: the collector interrupts nobody."""

from __future__ import annotations

import contextlib
import os


def interrupt_nobody() -> None:
    """Let this process work in longer stretches, and begin only where another has paused (``SCHED_BATCH``, sched(7)).

    Agents, gateway and pages on the same machine go first when they wake, and *receive*, *keep* and *watch* do not
    interrupt each other at every request, which left each with caches full of another's data. Shares of the processor
    stay what they were. Threads and processes that are started later work so, too; where the system has no such
    class, or does not allow it, nothing happens.
    """
    with contextlib.suppress(AttributeError, OSError):
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
