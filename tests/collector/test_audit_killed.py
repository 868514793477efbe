"""SIGKILL at every step of append, checkpoint and change of keys leaves a log that verifies."""

import json
import subprocess
import sys


def test_a_kill_at_any_step_leaves_a_log_that_verifies_and_loses_nothing_acknowledged() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.collector.audit_killed"], capture_output=True, text=True, check=True, timeout=100
    )
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["wrong"] == []
    assert told["steps"] > 40
