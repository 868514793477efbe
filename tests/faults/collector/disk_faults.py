"""A failing disk under *receive*: strace replaces the kernel's answers while the role runs, or a limit is set."""

from __future__ import annotations

import contextlib
import re
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.faults.collector.roles import SEGMENT_BYTES, Role
from tests.fixtures.collector import until

_SHORT: Final = 3_000


@contextmanager
def injected(role: Role, call: str, error: str, log: Path) -> Iterator[None]:
    """Within the block every third ``call`` of the role fails with ``error``; it ends once that happened."""
    command = ["strace", "-f", "-p", str(role.pid), "-o", str(log), "-e", f"trace={call}"]
    strace = subprocess.Popen([*command, "-e", f"inject={call}:error={error}:when=2+3"], stderr=subprocess.PIPE)
    assert strace.stderr
    assert b"attached" in strace.stderr.readline()
    try:
        yield
        until(lambda: re.search(r"\(INJECTED\)", log.read_text()), f"{call} failed with {error}")
    finally:
        strace.terminate()
        strace.wait()


@contextmanager
def filling_up(role: Role, spool: Path) -> Iterator[None]:
    """Within the block no file of the role may grow by more than a few kilobytes: writes come back short, then fail.

    ``RLIMIT_FSIZE`` does to one file what a full disk does to all of them; the kernel then writes a part of a record.
    """
    unlimited = resource.prlimit(role.pid, resource.RLIMIT_FSIZE)
    newest = max(spool.glob("*.seg"), default=None)
    limit = _SHORT + (newest.stat().st_size if newest else 0)
    if limit > SEGMENT_BYTES:  # a new segment begins before this one would be that long
        limit = _SHORT
    resource.prlimit(role.pid, resource.RLIMIT_FSIZE, (limit, unlimited[1]))
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(role.pid, resource.RLIMIT_FSIZE, unlimited)
