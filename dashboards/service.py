"""The role ``dashboard``: Streamlit in a process of its own, announced when it answers.

With ``oidc_file`` it is told of the provider by ``run/dashboard_secrets.toml``, which only this user can read and which
lives as long as this process (see :mod:`dashboards.oidc`).
"""

from __future__ import annotations

import errno
import http.client
import logging
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from typing import Final

from dashboards.launch import authority, command, environment, local
from dashboards.oidc import OidcRules, load_oidc
from fusebox import happenings
from fusebox.config import LOOPBACK, Config
from fusebox.errors import ConfigError, FuseboxError, PortInUse
from fusebox.lifecycle import Stack, serve
from fusebox.metrics import Gauge
from fusebox.pages import Pages
from fusebox.rundir import announce, withdraw, write_atomic

ROLE: Final = "dashboard"
READY_S: Final = 60.0
_POLL_S: Final = 0.05

ENDED: Final = happenings.declare("dashboard_ended", logging.ERROR, "Streamlit ended by itself")


class DashboardFailed(FuseboxError):
    """Streamlit ended, or never answered."""


class Dashboard:
    """Streamlit as a service (see :class:`fusebox.lifecycle.Service`).

    Args:
        config: ``host`` and ``dashboard_port`` say where it listens (port 0: any free one), ``data_dir`` where it
            announces itself.

    Raises:
        ConfigError: the host is not a loopback address, and there is neither ``oidc_file`` nor
            ``behind_loopback_publish``; or ``oidc_file`` does not fit.
    """

    def __init__(self, config: Config) -> None:
        self._config, self._host = config, config.dashboard_host or config.host
        self._oidc = load_oidc(config.oidc_file) if config.oidc_file else None
        self._secrets = config.data_dir / "run" / "dashboard_secrets.toml"
        if self._host not in LOOPBACK and not config.behind_loopback_publish:
            _refuse_open_bind(self._host, self._oidc)
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
        config, host = self._config, self._host
        config.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        port = self._port = free_port(host, config.dashboard_port)
        url = f"http://{authority(host, port)}"
        if self._oidc:
            write_atomic(self._secrets, self._oidc.streamlit_secrets(url))
        self._child = _spawn(config, command(host, port, self._oidc, self._secrets))
        try:
            _await(self._child, host, port)
        except BaseException:
            self.stop()
            raise
        announce(config.data_dir, ROLE, url=url, page=(self._oidc and self._oidc.url) or url)
        threading.Thread(target=self._watch, args=(self._child,), name="fusebox-dashboard", daemon=True).start()

    def stop(self, timeout: float = 10.0) -> None:
        self._stopping.set()
        if self._child is None:
            return
        withdraw(self._config.data_dir, ROLE)
        _end(self._child, timeout)
        self._secrets.unlink(missing_ok=True)
        self._child = None

    def trouble(self) -> str:
        """Why no page can be shown; empty while it can."""
        return "" if self._answers() else "Streamlit does not answer"

    def samples(self) -> Iterator[Gauge]:
        """What ``/metrics`` shows."""
        yield Gauge("dashboard_answers", "1 while Streamlit answers", float(self._answers()))

    def _answers(self) -> bool:
        return self._child is not None and _answers(local(self._host), self._port)

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


def _refuse_open_bind(host: str, oidc: OidcRules | None) -> None:
    if oidc is None:
        raise ConfigError(
            f"{host!r} would open the dashboard to the network: name who may see it (oidc_file), keep a loopback "
            "address, or set behind_loopback_publish = true when a container publishes the port on 127.0.0.1 only"
        )
    if not oidc.url:
        raise ConfigError(f"{host!r} opens the dashboard to the network: name its https url in oidc_file")


def _spawn(config: Config, line: list[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        line,
        cwd=config.data_dir,
        env=environment(config, os.environ),
        stdin=subprocess.PIPE,  # held open: its end tells the child that we are gone
    )


def _await(child: subprocess.Popen[bytes], host: str, port: int) -> None:
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline:
        if child.poll() is not None:
            raise DashboardFailed(f"Streamlit ended with status {child.returncode} before it answered")
        if _answers(local(host), port):
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
