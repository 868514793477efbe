"""Keeps resident memory to what is used: pages of a library, arenas of the allocator.

The engine's library is half a gigabyte. Loading it reads its tables of symbols and relocations from one end to the
other, and the kernel maps what lies around each page that is touched: a third of a gigabyte is resident before the
first statement. What a process runs is a part of that. Pages that are as the file has them can be unmapped at any time:
the next access maps them again, from the page cache. Its package for Python and that of its client also load
pandas, NumPy and Arrow, 120 MB together, wherever those are installed (the dashboard brings them), to see whether data
come in a form of theirs.
"""

from __future__ import annotations

import ctypes
import mmap
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

ENGINE: Final = "_chdb.abi3.so"
FRAMES: Final = ("numpy", "pandas", "polars", "pyarrow")
"""What is only needed by who wants data as a frame."""
_M_ARENA_MAX: Final = -8
_M_MMAP_THRESHOLD: Final = -3
_LARGE: Final = 1 << 20
_SMAPS: Final = Path("/proc/self/smaps")
_MAPPING: Final = re.compile(r"([0-9a-f]+)-([0-9a-f]+) (\S{4}) .*?(\S*)$")
_ANONYMOUS: Final = re.compile(r"Anonymous: +(\d+) kB")


def let_go(library: str) -> None:
    """Unmap the pages of a loaded library that nobody wrote to; does nothing where the kernel has no ``smaps``."""
    if not _SMAPS.exists():
        return
    madvise = ctypes.CDLL(None).madvise
    for start, end in _untouched(library):
        madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), mmap.MADV_DONTNEED)


def do_without(*modules: str) -> None:
    """In this process, these modules are not installed; what is loaded already stays."""
    known: dict[str, Any] = sys.modules
    for name in modules:
        known.setdefault(name, None)  # the import system's word for "not there"


def share_arenas(count: int) -> None:
    """Let all threads allocate from ``count`` arenas; where the C library is not glibc, nothing happens.

    By default each thread gets one of its own, up to eight for a core, and what one thread has freed is no use to
    another: the largest request would be paid for once in every arena. What takes a megabyte and more lies outside of
    them and goes back to the system at once; by default that limit rises to what was once let go of. (mallopt(3),
    M_ARENA_MAX and M_MMAP_THRESHOLD.)
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, count)
        mallopt(_M_MMAP_THRESHOLD, _LARGE)


def _untouched(library: str) -> Iterator[tuple[int, int]]:
    """Where the library lies unchanged: read-only mappings without a page of their own (relocated ones have some)."""
    start = end = 0
    for line in _SMAPS.read_text().splitlines():
        if mapping := _MAPPING.match(line):
            ours = mapping[4].endswith(f"/{library}") and "w" not in mapping[3]
            start, end = (int(mapping[1], 16), int(mapping[2], 16)) if ours else (0, 0)
        elif end and (pages := _ANONYMOUS.match(line)) and pages[1] == "0":
            yield start, end
