"""What the kernel saw, by strace: synced before it was answered, and stored on disk before the spool let go of it."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests

from collector.spool import Reader
from tests.collector.otlp_samples import request, span
from tests.fixtures.collector import Roles, StartRoles, until
from tests.need import need

_REQUESTS = 6
_SYNC = re.compile(r"f(?:data)?sync\(\d+<(.+)>\)\s+= 0$")
_PART = re.compile(r'rename\w*\(.*?"([^"]+/tmp_insert_[^"]+/)".*?"([^"]+)".*= 0$')
_CURSOR = re.compile(r'rename\w*\(.*"[^"]+/cursors/keep".*= 0$')
_SEGMENT = re.compile(r'unlink\w*\(.*\.seg".*= 0$')


def test_a_200_leaves_only_after_fdatasync_returned(roles: StartRoles, tmp_path: Path) -> None:
    running = roles("receive")
    with _traced(running, ["receive"], "writev,write,sendto,sendmsg,fdatasync", tmp_path) as log:
        for _ in range(_REQUESTS):
            assert _post(running) == 200
    unsynced, answers = 0, 0
    for call in _calls(log.read_text()):
        if ".seg>" in call and call.startswith("writev("):
            unsynced += 1
        elif ".seg>" in call and call.startswith("fdatasync(") and call.endswith("= 0"):
            unsynced = 0
        elif "HTTP/1.1 200" in call:
            assert unsynced == 0, call
            answers += 1
    assert answers == _REQUESTS


def test_parts_are_synced_before_the_cursor_moves_and_that_before_a_segment_goes(
    roles: StartRoles, tmp_path: Path
) -> None:
    running = roles("receive", "keep", env={"FUSEBOX_SPOOL_MAX_BYTES": "40000"})
    spool = running.config.data_dir / "spool"
    watch = Reader(spool, "watch")
    with _traced(
        running, ["receive", "keep"], "fsync,fdatasync,rename,renameat,renameat2,unlink,unlinkat", tmp_path
    ) as log:

        def gone() -> bool:
            assert _post(running, 20) in (200, 503)
            for record in watch.read(1000, 1 << 20):
                watch.commit(record.number)
            return any(_SEGMENT.match(call) for call in _calls(log.read_text()))

        until(gone, "a segment is deleted")
    synced: set[str] = set()
    parts: list[str] = []
    moved = 0
    for call in _calls(log.read_text()):
        if match := _SYNC.match(call):
            synced.add(match[1])
        elif match := _PART.match(call):
            assert {match[1] + "data.bin", match[1] + "checksums.txt"} <= synced, "a part is whole before it is one"
            parts.append(match[2].rstrip("/"))
        elif _CURSOR.match(call):
            assert parts
            assert synced >= set(parts), "every part, and its name in its folder, before the cursor moves"
            assert synced >= {os.path.dirname(part) for part in parts}
            synced.discard(str(spool / "cursors"))
            moved += 1
        elif _SEGMENT.match(call):
            assert moved
            assert str(spool / "cursors") in synced, "the cursor, and its name, before a segment goes"
            break
    assert len(parts) >= 3, "the spans, their events, their traces"


@contextmanager
def _traced(running: Roles, names: list[str], calls: str, folder: Path) -> Iterator[Path]:
    """Trace roles while the block runs; the file that strace writes."""
    need("strace", "apt-get install strace")
    log = folder / "strace"
    pids = [part for name in names for part in ("-p", str(running.info(name)["pid"]))]
    command = ["strace", "-f", "-y", "-s", "300", "-o", str(log), "-e", f"trace={calls}", *pids]
    strace = subprocess.Popen(command, stderr=subprocess.PIPE)
    assert strace.stderr
    for _ in names:
        assert b"attached" in strace.stderr.readline()
    try:
        yield log
    finally:
        strace.terminate()
        strace.wait()


def _calls(log: str) -> Iterator[str]:
    """The calls in the order in which they returned, each whole even when others came between."""
    begun: dict[str, str] = {}
    for line in log.splitlines():
        thread, _, call = line.partition(" ")
        call = call.strip()
        if call.endswith("<unfinished ...>"):
            begun[thread] = call.removesuffix("<unfinished ...>").rstrip()
        elif call.startswith("<... "):
            yield begun.pop(thread, "") + call.partition("resumed>")[2]
        else:
            yield call


def _post(running: Roles, spans: int = 1) -> int:
    headers = {"content-type": "application/x-protobuf", "authorization": f"Bearer {running.token()}"}
    body = request(*(span({"fusebox.action": "tool_call"}) for _ in range(spans))).SerializeToString()
    return requests.post(f"{running.info('receive')['url']}/v1/traces", body, headers=headers, timeout=20).status_code
