"""A disk that is really full: a small one of its own, in a mount namespace that goes with the process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.need import missing, need

_MIB = 1 << 20
_MOUNT = 'mount -t tmpfs -o size=2m none "$1" && exec "$2" -m tests.collector.full_disk "$1" "$3"'
_UP = """mount -t tmpfs -o size=2m none "$1" && export FUSEBOX_DATA_DIR="$1/data"
"$2" -m fusebox operators add jo && cat /dev/zero > "$1/hog"; exec "$2" -m fusebox up --no-dashboard"""


def _fill(folder: Path, reserve: int) -> dict[str, Any]:
    done = _run(_MOUNT, folder, str(reserve))
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def _run(script: str, folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    unshare = need("unshare", "it is part of util-linux")
    if os.geteuid() != 0:
        missing("only root may mount a disk")
    command = [unshare, "-m", "sh", "-c", script, "sh", str(folder), sys.executable, *more]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_the_reserve_is_left_to_those_who_empty_the_spool(tmp_path: Path) -> None:
    told = _fill(tmp_path, _MIB)
    assert told["taken"] > 200
    assert told["read"] == [True, True]
    assert told["again"]
    assert told["free"] > _MIB - 10_000
    assert all("reserved" in error for error in told["errors"])
    assert told["damaged"] == 0


def test_a_write_that_the_kernel_cuts_short_leaves_nothing_behind(tmp_path: Path) -> None:
    """Without a reserve the disk is filled to its last byte, in the middle of a record."""
    told = _fill(tmp_path, 0)
    assert told["taken"] > 500
    assert told["free"] < 4096
    assert any("takes no more" in error for error in told["errors"])
    assert told["read"] == [True, True]
    assert told["again"]
    assert told["damaged"] == 0


def test_a_start_on_a_full_disk_says_what_is_wrong(tmp_path: Path) -> None:
    """The roles could not even write into their logs why they end."""
    done = _run(_UP, tmp_path)
    assert done.returncode == 2
    assert f"data_dir {tmp_path}/data: [Errno 28] No space left on device; make room" in done.stderr
