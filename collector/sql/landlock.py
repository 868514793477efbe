"""Confinement by the kernel: this process, from now on, reads and writes what it is given and connects nowhere.

The second line behind the gate: a function that reads files, let through by mistake, finds nothing to read. Linux 5.13
knows Landlock for files, 6.7 for TCP; no privilege is needed and no way leads back. Source of the numbers: the kernel's
``include/uapi/linux/landlock.h`` and ``Documentation/userspace-api/landlock.rst``.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Final

_CREATE, _ADD, _RESTRICT = 444, 445, 446
_PATH_BENEATH: Final = 1
_PR_SET_NO_NEW_PRIVS: Final = 38

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1, 2, 4, 8
_FILES: Final = ((1 << 13) - 1, (1 << 14) - 1, (1 << 15) - 1, (1 << 15) - 1, (1 << 16) - 1)
"""All rights on files, by version of the interface (1, 2, 3, 4, 5 and later)."""
_TCP: Final = 3
"""To bind and to connect; version 4 and later."""
_READ: Final = _EXECUTE | _READ_FILE | _READ_DIR
_ON_A_FILE: Final = _EXECUTE | _WRITE_FILE | _READ_FILE | 1 << 14 | 1 << 15


def confine(readable: Iterable[Path], writable: Iterable[Path]) -> bool:
    """Allow nothing but reading below ``readable`` and everything below ``writable``; False when the kernel cannot.

    Paths that do not exist are passed over. Call it before threads start: it holds for this thread and its children.

    Raises:
        OSError: the kernel knows Landlock and refused.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    version = libc.syscall(_CREATE, None, 0, 1)
    if version < 1:
        return False
    handled = _FILES[min(version, len(_FILES)) - 1]
    rules = struct.pack("QQ", handled, _TCP) if version >= 4 else struct.pack("Q", handled)
    ruleset = _checked(libc.syscall(_CREATE, rules, len(rules), 0))
    try:
        for paths, rights in ((readable, handled & _READ), (writable, handled)):
            for path in paths:
                _allow(libc, ruleset, path, rights)
        _checked(libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        _checked(libc.syscall(_RESTRICT, ruleset, 0))
    finally:
        os.close(ruleset)
    return True


def _allow(libc: ctypes.CDLL, ruleset: int, path: Path, rights: int) -> None:
    try:
        beneath = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        rights = rights if path.is_dir() else rights & _ON_A_FILE
        _checked(libc.syscall(_ADD, ruleset, _PATH_BENEATH, struct.pack("=Qi", rights, beneath), 0))
    finally:
        os.close(beneath)


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"Landlock: {os.strerror(number)}")
    return int(result)
