"""SIGKILL at every step of append, checkpoint, change of keys, recovery, erasure and retention leaves a log that
verifies."""

import json
import subprocess
import sys

STEPS = {
    "live": {
        "replace new key", "open entries.jsonl", "fsync folder", "write entries.jsonl", "fdatasync entries.jsonl",
        "write owed.jsonl", "fsync owed.jsonl", "unlink owed.jsonl", "open checkpoints.jsonl",
        "write checkpoints.jsonl", "fdatasync checkpoints.jsonl", "replace new key.next", "unlink key.next",
    },
    "recover": {
        "ftruncate entries.jsonl", "ftruncate checkpoints.jsonl", "write entries.jsonl", "unlink owed.jsonl",
        "pwrite entries.jsonl", "write checkpoints.jsonl", "unlink entries.jsonl",
    },
}  # fmt: skip


def test_a_kill_at_any_step_leaves_a_log_that_verifies_and_loses_nothing_acknowledged() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.collector.audit_killed"], capture_output=True, text=True, check=True, timeout=100
    )
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["wrong"] == []
    assert {life: sorted(steps - set(told["steps"][life])) for life, steps in STEPS.items()} == {
        "live": [], "recover": []
    }  # fmt: skip
