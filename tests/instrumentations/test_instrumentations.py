"""Agents that only speak OpenTelemetry: real SDKs under real instrumentations, judged live on their real spans."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from examples.web import WebServer
from fusebox.control import ControlClient
from tests.fixtures.collector import Roles, StartRoles, until
from tests.instrumentations import provider
from tests.need import missing

HERE = Path(__file__).resolve().parent
PYTHON = HERE.parents[1] / ".venv" / "instrumentations" / "bin" / "python"
SOME = ("otel-openai", "otel-langchain", "traceloop-anthropic", "openinference-agents")


@pytest.fixture
def models() -> Iterator[WebServer]:
    server = provider.serve()
    server.start()
    yield server
    server.stop()


def names() -> list[str]:
    """All that ``speakers.py`` can play."""
    return subprocess.check_output([PYTHON, HERE / "speakers.py", "--list"], text=True).split()


def states(up: Roles) -> dict[str, str]:
    board = ControlClient(up.info("watch")["url"], up.token("operator")).board()
    return {circuit["agent"]: circuit["state"] for circuit in board["circuits"]}


@pytest.mark.timeout(600)
def test_a_loop_opens_live_under_every_instrumentation_and_ordinary_work_does_not(
    roles: StartRoles, models: WebServer, request: pytest.FixtureRequest
) -> None:
    """All of them with ``--fault-cycles``, one of each family and SDK without."""
    if not PYTHON.exists():
        missing("the instrumentations are not installed; tools/instrumentations.sh")
    played = names() if request.config.getoption("--fault-cycles") else SOME
    up = roles("receive", "watch")
    command = [PYTHON, "-W", "ignore", HERE / "speakers.py", up.info("receive")["url"], up.token(), models.url]
    done = subprocess.run([*command, *played], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    expected = {f"{name}-looping": "open" for name in played} | {f"{name}-working": "closed" for name in played}
    until(lambda: states(up) == expected, f"every loop is open and nobody else: {states(up)}")
