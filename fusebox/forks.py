"""Forks: whether this is still the process that something was made in, without a system call.

Threads do not survive a fork, nor do connections that two processes would read from: what has either remembers the
generation it was made in, and refuses to work in another.
"""

from __future__ import annotations

import os

_generation = 0


def generation() -> int:
    """How many forks lie between the process that imported this and this one."""
    return _generation


def _forked() -> None:
    global _generation
    _generation += 1


os.register_at_fork(after_in_child=_forked)
