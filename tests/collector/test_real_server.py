"""With ``FUSEBOX_CLICKHOUSE_URL`` the tests of *keep* on a server are on that server, each in a database of its own."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import clickhouse_connect
import pytest

from tests.need import PATIENCE_S

ROOT = Path(__file__).resolve().parents[2]
TESTS = ["tests/collector/test_keep_server.py", "-k", "same_statements or reset"]


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """Of a server in a process of its own."""
    command = [sys.executable, "-m", "tests.collector.clickhouse_standin", str(tmp_path / "far")]
    with subprocess.Popen(command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
        assert server.stdout
        yield server.stdout.readline().strip()
        assert server.stdin
        server.stdin.close()


def test_the_tests_of_a_server_run_on_the_one_that_is_named(address: str) -> None:
    own = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    environment = {**own, "FUSEBOX_CLICKHOUSE_URL": address}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *TESTS]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, check=False, capture_output=True, text=True, timeout=4 * PATIENCE_S
    )
    assert "3 passed" in done.stdout, done.stdout[-2000:]
    with clickhouse_connect.get_client(dsn=address) as client:
        created = client.command("SELECT value FROM system.events WHERE event = 'Query'")
        assert int(created) > 100, "it was asked"
        left = client.query("SELECT name FROM system.databases WHERE startsWith(name, 'test_')").result_rows
    assert left == [], "and nothing was left"
