"""Failpoints: named places in the collector's code at which a process can be made to die by its own SIGKILL.

Nothing of this is in the code that ships: a role of the laboratory replaces a function by one that counts its calls
and, at the chosen one, dies before or after doing what it does. A place that was renamed away fails loudly.
"""

from __future__ import annotations

import itertools
import os
import random
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class Failpoint:
    """One place: ``owner`` is ``module:Class`` or ``module``."""

    role: str
    name: str
    owner: str
    function: str
    when: str = "after"
    """``before`` or ``after`` the function; ``during`` it, from another thread; or at the ``half`` of a write."""
    suffix: str = ""
    """Only calls whose first argument, as text, ends so are counted."""
    recovering: bool = False
    """True when it is passed only while an interrupted predecessor's work is taken up."""


_WRITER: Final = "collector.spool.writer"
_RECOVERY: Final = "collector.spool.recovery"
_READER: Final = "collector.spool.reader:Reader"
_INSERTER: Final = "collector.keep.insert:Inserter"
_PROMISES: Final = "collector.keep.batch:Promises"

_LONGEST_INSERT_S: Final = 0.05

FAILPOINTS: Final = (
    Failpoint("receive", "request read", "collector.receive.intake:Intake", "take", "before"),
    Failpoint("receive", "before the append", f"{_WRITER}:Writer", "append", "before"),
    Failpoint("receive", "segment begun", f"{_WRITER}:Writer", "_begin"),
    Failpoint("receive", "record half written", "os", "writev", "half"),
    Failpoint("receive", "record written", "collector.spool.opened:OpenSegment", "write"),
    Failpoint("receive", "before fdatasync", "os", "fdatasync", "before"),
    Failpoint("receive", "after fdatasync", "os", "fdatasync"),
    Failpoint("receive", "mark moved", "collector.spool.cursor:Mark", "write"),
    Failpoint("receive", "before the answer", "collector.receive.intake:Intake", "take"),
    Failpoint("receive", "segment deleted", "pathlib:Path", "unlink", suffix=".seg"),
    Failpoint("receive", "recovery begun", _RECOVERY, "_discard_empty", recovering=True),
    Failpoint("receive", "tail cut", _RECOVERY, "_cut_tail", recovering=True),
    Failpoint("receive", "recovered, mark not moved", _WRITER, "recover", recovering=True),
    Failpoint("keep", "records read", "collector.keep.batch:Batches", "_cut", "before"),
    Failpoint("keep", "promise half made", "os", "replace", "before"),
    Failpoint("keep", "promise made", _PROMISES, "make"),
    Failpoint("keep", "before the insert", _INSERTER, "_insert", "before"),
    Failpoint("keep", "during the insert", _INSERTER, "_insert", "during"),
    Failpoint("keep", "inserted", _INSERTER, "_insert"),
    Failpoint("keep", "before the commit", _READER, "commit", "before"),
    Failpoint("keep", "committed", _READER, "commit"),
    Failpoint("keep", "schema applied", "collector.schema", "apply", recovering=True),
    Failpoint("keep", "probing", _INSERTER, "_missing", recovering=True),
    Failpoint("keep", "missing rows written", _INSERTER, "_write_missing", recovering=True),
    Failpoint("keep", "one view completed", "collector.keep.targets:_Run", "complete", recovering=True),
    Failpoint("keep", "views completed", "collector.keep.targets:Completion", "complete", recovering=True),
    Failpoint("watch", "records read", _READER, "read"),
    Failpoint("watch", "before the commit", _READER, "commit", "before"),
    Failpoint("watch", "committed", _READER, "commit"),
)


def arm(point: Failpoint, hit: int, fired: Path) -> None:
    """Die at the ``hit``-th passage; ``fired`` is created just before."""
    module, _, name = point.owner.partition(":")
    owner = getattr(import_module(module), name) if name else import_module(module)
    setattr(owner, point.function, _doomed(getattr(owner, point.function), point, hit, fired))


def _doomed(real: Callable[..., Any], point: Failpoint, hit: int, fired: Path) -> Callable[..., Any]:
    calls = itertools.count(1)

    def passage(*args: Any, **options: Any) -> Any:
        counted = not point.suffix or str(args[0]).endswith(point.suffix)
        if not counted or next(calls) != hit:
            return real(*args, **options)
        if point.when == "during":
            threading.Timer(random.uniform(0, _LONGEST_INSERT_S), _die, (fired,)).start()
            return real(*args, **options)
        if point.when == "half":
            os.write(args[0], b"".join(args[1])[: sum(map(len, args[1])) // 2])
        elif point.when == "after":
            real(*args, **options)
        return _die(fired)

    return passage


def _die(fired: Path) -> None:
    fired.touch()
    os.kill(os.getpid(), signal.SIGKILL)
