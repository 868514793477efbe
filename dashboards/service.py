"""The role ``dashboard``: Streamlit in a process of its own, announced when it answers.

The child gets an environment without any secret of Fusebox: it reads nothing but the data folder's announcements, and
acts with the token that a person typed in. Its working folder is the data folder, so that neither a ``fusebox.toml``,
a ``.streamlit/`` nor a module beside the user's script can change it.
"""

from __future__ import annotations

import errno
import http.client
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from fusebox import happenings
from fusebox.clock import ORIGIN_ENV, SPEED_ENV
from fusebox.config import LOOPBACK, PREFIX, Config
from fusebox.errors import ConfigError, FuseboxError, PortInUse
from fusebox.lifecycle import Stack, serve
from fusebox.metrics import Gauge
from fusebox.pages import Pages
from fusebox.rundir import announce, withdraw

ROLE: Final = "dashboard"
READY_S: Final = 60.0
APP: Final = Path(__file__).with_name("app.py")
_POLL_S: Final = 0.05
_CLOCK: Final = frozenset({SPEED_ENV, ORIGIN_ENV})

ENDED: Final = happenings.declare("dashboard_ended", logging.ERROR, "Streamlit ended by itself")

OPTIONS: Final = {
    "server.headless": "true",
    "server.fileWatcherType": "none",
    "server.enableCORS": "true",
    "server.enableXsrfProtection": "true",
    "server.enableAgentApi": "false",
    "browser.gatherUsageStats": "false",
    "client.toolbarMode": "minimal",
    "client.showErrorDetails": "none",
    "client.showErrorLinks": "false",
    "client.disableDataExport": "true",  # a spreadsheet would obey a formula that an agent wrote into a cell
    "theme.baseRadius": "0.6rem",
    "theme.metricValueFontSize": "1.6rem",
    "theme.light.primaryColor": "#b3261e",
    "theme.light.backgroundColor": "#fbfaf8",
    "theme.light.secondaryBackgroundColor": "#f0eeea",
    "theme.light.textColor": "#23211f",
    "theme.dark.primaryColor": "#d8473e",
    "theme.dark.backgroundColor": "#151619",
    "theme.dark.secondaryBackgroundColor": "#212329",
    "theme.dark.textColor": "#eceae6",
}
"""Streamlit's options that Fusebox fixes."""


class DashboardFailed(FuseboxError):
    """Streamlit ended, or never answered."""


class Dashboard:
    """Streamlit as a service (see :class:`fusebox.lifecycle.Service`).

    Args:
        config: ``host`` and ``dashboard_port`` say where it listens (port 0: any free one), ``data_dir`` where it
            announces itself.

    Raises:
        ConfigError: the host is not a loopback address and ``behind_loopback_publish`` is not set.
    """

    def __init__(self, config: Config) -> None:
        if config.host not in LOOPBACK and not config.behind_loopback_publish:
            raise ConfigError(
                f"host = {config.host!r} would open the dashboard to the network without TLS; keep a loopback address, "
                "or set behind_loopback_publish = true when a container publishes the port on 127.0.0.1 only"
            )
        self._config = config
        self._child: subprocess.Popen[bytes] | None = None
        self._port = config.dashboard_port
        self._stopping = threading.Event()
        self.status: int | None = None
        """Exit status of Streamlit when it ended by itself."""

    def start(self) -> None:
        """Start Streamlit and announce its address once it answers.

        Raises:
            PortInUse: another program listens on ``dashboard_port``.
            DashboardFailed: Streamlit ended first, or did not answer in time.
        """
        config = self._config
        config.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        port = self._port = free_port(config.host, config.dashboard_port)
        self._child = _spawn(config, port)
        try:
            _await(self._child, config.host, port)
        except BaseException:
            self.stop()
            raise
        announce(config.data_dir, ROLE, url=f"http://{_authority(config.host, port)}")
        threading.Thread(target=self._watch, args=(self._child,), name="fusebox-dashboard", daemon=True).start()

    def stop(self, timeout: float = 10.0) -> None:
        self._stopping.set()
        if self._child is None:
            return
        withdraw(self._config.data_dir, ROLE)
        _end(self._child, timeout)
        self._child = None

    def trouble(self) -> str:
        """Why no page can be shown; empty while it can."""
        return "" if self._answers() else "Streamlit does not answer"

    def samples(self) -> Iterator[Gauge]:
        """What ``/metrics`` shows."""
        yield Gauge("dashboard_answers", "1 while Streamlit answers", float(self._answers()))

    def _answers(self) -> bool:
        return self._child is not None and _answers(_local(self._config.host), self._port)

    def _watch(self, child: subprocess.Popen[bytes]) -> None:
        status = child.wait()
        if not self._stopping.is_set():
            self.status = status
            happenings.emit(ENDED, status=status)
            os.kill(os.getpid(), signal.SIGTERM)  # ends serve(), as the supervisor would


def main(config: Config) -> None:
    """Run the dashboard until SIGTERM.

    Raises:
        DashboardFailed: Streamlit ended by itself.
    """
    service = Dashboard(config)
    pages = Pages(
        config.host, config.dashboard_metrics_port, "dashboard_metrics_port", service.trouble, service.samples
    )  # fmt: skip
    serve(Stack([pages, service]))
    if service.status is not None:
        raise DashboardFailed(f"Streamlit ended by itself with status {service.status}; its last lines say why")


def free_port(host: str, port: int) -> int:
    """``port`` when it can be bound, or a free one for 0.

    Raises:
        PortInUse: another program listens there.
        ConfigError: the address is not one of this machine's, or the port needs more rights.
    """
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            return int(probe.getsockname()[1])
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise PortInUse(
                    f"port {port} on {host} is taken by another program; stop it, or set dashboard_port "
                    "(FUSEBOX_DASHBOARD_PORT) to a free port"
                ) from error
            raise ConfigError(f"cannot listen on {host}:{port} ({error.strerror}); change dashboard_port") from error


def command(host: str, port: int) -> list[str]:
    """The command line that runs the page."""
    flags = {**OPTIONS, "server.address": host, "server.port": str(port), "browser.serverAddress": _local(host)}
    pairs = [*flags.items(), *(("server.allowedHosts", name) for name in sorted(LOOPBACK))]
    arguments = [part for name, value in pairs for part in (f"--{name}", value)]
    return [sys.executable, "-P", "-m", "dashboards.server", "run", str(APP), *arguments]


def environment(config: Config, inherited: Mapping[str, str]) -> dict[str, str]:
    """The child's variables: ours reduced to what the page reads, Streamlit's own left out."""
    kept = {k: v for k, v in inherited.items() if not k.startswith((PREFIX, "STREAMLIT_")) or k in _CLOCK}
    ours = {
        "DATA_DIR": str(config.data_dir.absolute()),
        "TENANT": config.tenant,
        "CONTROL_URL": config.control_url,
        "SQL_URL": config.sql_url,
    }
    return kept | {PREFIX + name: value for name, value in ours.items() if value}


def _spawn(config: Config, port: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command(config.host, port),
        cwd=config.data_dir,
        env=environment(config, os.environ),
        stdin=subprocess.PIPE,  # held open: its end tells the child that we are gone
    )


def _await(child: subprocess.Popen[bytes], host: str, port: int) -> None:
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline:
        if child.poll() is not None:
            raise DashboardFailed(f"Streamlit ended with status {child.returncode} before it answered")
        if _answers(_local(host), port):
            return
        time.sleep(_POLL_S)
    raise DashboardFailed(f"Streamlit did not answer on port {port} within {READY_S:.0f} s")


def _answers(host: str, port: int) -> bool:
    connection = http.client.HTTPConnection(host, port, timeout=1)
    try:
        connection.request("GET", "/_stcore/health")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _end(child: subprocess.Popen[bytes], timeout: float) -> None:
    child.terminate()
    try:
        child.wait(timeout)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
    if child.stdin:
        child.stdin.close()


def _local(host: str) -> str:
    """The address under which this machine reaches what listens on ``host``."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)


def _authority(host: str, port: int) -> str:
    local = _local(host)
    return f"[{local}]:{port}" if ":" in local else f"{local}:{port}"
