"""What the tests need: servers and programs (a missing one skips on a laptop and fails in CI), and time."""

import os
import shutil
from typing import Final

import pytest

PATIENCE_S: Final = 60.0
"""For what must happen: a busy machine is slow, and only a failing test waits so long."""


def need(program: str, hint: str) -> str:
    """The program's path; skips the test when it is missing, or fails it where ``CI`` is set."""
    path = shutil.which(program)
    if path:
        return path
    missing(f"{program} is not installed; {hint}")
    raise AssertionError("unreachable")


def missing(reason: str) -> None:
    """Skip the running test, or fail it where ``CI`` is set."""
    if os.environ.get("CI"):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)
