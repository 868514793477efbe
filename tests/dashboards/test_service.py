"""The role ``dashboard``: announced when it answers, bound to loopback, gone with its parent."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from dashboards.launch import command, environment
from dashboards.service import ROLE, Dashboard, free_port
from fusebox.config import Config
from fusebox.errors import ConfigError, PortInUse
from fusebox.rundir import lookup
from tests.fixtures.collector import until


@pytest.fixture
def pages() -> int:
    """Where it tells how it is."""
    return free_port("127.0.0.1", 0)


@pytest.fixture
def process(pages: int, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """``fusebox service dashboard`` on a free port."""
    ports = {"FUSEBOX_DASHBOARD_PORT": "0", "FUSEBOX_DASHBOARD_METRICS_PORT": str(pages)}
    settings = {"FUSEBOX_DATA_DIR": str(tmp_path), **ports}
    started = subprocess.Popen(
        [sys.executable, "-m", "fusebox", "service", ROLE],
        env={**os.environ, **settings}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    yield started
    started.kill()
    started.wait(10)


def _url(folder: Path) -> str:
    return str(until(lambda: lookup(folder, ROLE), "the dashboard is announced")["url"])


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def test_it_answers_once_announced_tells_how_it_is_and_withdraws_at_sigterm(
    process: subprocess.Popen[bytes], pages: int, tmp_path: Path
) -> None:
    url = _url(tmp_path)
    assert url.startswith("http://127.0.0.1:")
    assert _answers(url)
    assert _answers(f"http://127.0.0.1:{pages}/healthz")
    with urllib.request.urlopen(f"http://127.0.0.1:{pages}/metrics", timeout=10) as answer:
        assert b"fusebox_dashboard_answers 1" in answer.read()

    process.terminate()
    assert process.wait(15) == 0
    assert lookup(tmp_path, ROLE) is None
    assert not _answers(url)


def test_a_killed_service_leaves_no_server_behind(process: subprocess.Popen[bytes], tmp_path: Path) -> None:
    url = _url(tmp_path)
    process.send_signal(signal.SIGKILL)

    until(lambda: not _answers(url), "Streamlit ended with the service")


def test_it_ends_with_an_error_when_streamlit_dies(process: subprocess.Popen[bytes], tmp_path: Path) -> None:
    _url(tmp_path)
    streamlit = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    os.kill(int(streamlit[0]), signal.SIGKILL)

    assert process.wait(15) == 2
    assert lookup(tmp_path, ROLE) is None


def test_a_port_in_use_is_named_with_the_setting_that_moves_it(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortInUse, match=rf"{port}.*FUSEBOX_DASHBOARD_PORT"):
            Dashboard(Config(data_dir=tmp_path, dashboard_port=port)).start()


def test_port_zero_means_any_free_port() -> None:
    assert free_port("127.0.0.1", 0) > 0


def test_a_bind_beyond_loopback_is_refused_unless_the_port_is_published_on_loopback(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="behind_loopback_publish"):
        Dashboard(Config(data_dir=tmp_path, host="0.0.0.0"))
    Dashboard(Config(data_dir=tmp_path, host="0.0.0.0", behind_loopback_publish=True))


def test_stop_is_legal_before_start_and_twice(tmp_path: Path) -> None:
    service = Dashboard(Config(data_dir=tmp_path))
    service.stop()
    service.stop()


def test_the_page_inherits_no_secret(tmp_path: Path) -> None:
    inherited = {
        "PATH": "/bin", "FUSEBOX_OPERATOR_TOKEN": "secret", "FUSEBOX_AMQP_URL": "amqp://u:p@h", "STREAMLIT_X": "1",
        "FUSEBOX_CLOCK_SPEED": "60",
    }  # fmt: skip
    given = environment(Config(data_dir=tmp_path, control_url="http://127.0.0.1:1"), inherited)

    assert given == {
        "PATH": "/bin", "FUSEBOX_CLOCK_SPEED": "60", "FUSEBOX_DATA_DIR": str(tmp_path),
        "FUSEBOX_TENANT": "default",
        "FUSEBOX_CONTROL_URL": "http://127.0.0.1:1",
    }  # fmt: skip


def test_streamlit_is_told_to_stay_quiet_and_closed() -> None:
    line = " ".join(command("127.0.0.1", 1))

    for option in ("gatherUsageStats false", "enableXsrfProtection true", "enableAgentApi false", "headless true"):
        assert option in line
    assert "allowedHosts localhost" in line
