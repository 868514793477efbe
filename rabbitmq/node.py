"""A RabbitMQ node of our own: one folder, free ports on 127.0.0.1, a generated password, nothing of the system's.

The demo and the tests use it where ``rabbitmq-server`` is installed but must not be configured. In the folder::

    node.json          ports and password (0600); a restart keeps both, unless another program took a port meanwhile
    pids.json          server and epmd of the running node; the next start ends what is left of a killed process
    lock               flock of the process that runs the node
    .erlang.cookie     0400; the folder is the HOME of every program started here
    conf/ data/ log/   what RabbitMQ calls CONFIG_FILE, MNESIA_BASE and LOG_BASE

The programs behind Debian's ``/usr/sbin`` wrappers are started directly, because the wrappers change user and folder.
epmd is started here too, in the foreground, so that its process id is known: an epmd that the node starts by itself
outlives it. A failed boot ends with status 0, so only an answer on the AMQP port counts as started. A guard process
ends both when the process that started them is gone, even by SIGKILL.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Final

from fusebox.errors import DataDirInUse, FuseboxError
from fusebox.rundir import write_atomic
from fusebox.secrets_file import private_folder
from rabbitmq.node_programs import end, end_foreign, epmd_program, find, free_ports, guard, is_free, speaks_amqp

_INSTALL: Final = "install it (Debian: apt-get install rabbitmq-server) or set RABBITMQ_HOME to its folder"
_NAME: Final = "fusebox@localhost"
_USER: Final = "fusebox"
_POLL_S: Final = 0.1
_ERL_ARGS: Final = "+S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none -kernel inet_dist_use_interface {127,0,0,1}"


class NodeFailed(FuseboxError):
    """The node did not start, or refused a ``rabbitmqctl`` command; the text carries what it printed."""


@dataclass(frozen=True, slots=True)
class _Identity:
    """What must stay the same over restarts."""

    amqp: int
    dist: int
    epmd: int
    password: str


class PrivateNode:
    """One RabbitMQ server, started and ended by this process.

    Args:
        folder: where everything of the node lives; created when missing.
        plugins: names of plugins to enable.
        settings: further lines of ``rabbitmq.conf``.
    """

    def __init__(self, folder: Path, *, plugins: Sequence[str] = (), settings: str = "") -> None:
        self.folder = folder.resolve()
        self._plugins, self._settings = plugins, settings
        self._node: _Identity | None = None
        self._server: subprocess.Popen[bytes] | None = None
        self._epmd: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None
        self._lock: IO[str] | None = None
        self._started = False

    @staticmethod
    def available() -> bool:
        """True when RabbitMQ and Erlang are installed here."""
        return find("rabbitmq-server") is not None and epmd_program() is not None

    @property
    def url(self) -> str:
        """AMQP address with user and password; ``kill``, ``stop`` and ``start`` of this object never change it."""
        node = self._identity()
        return f"amqp://{_USER}:{node.password}@127.0.0.1:{node.amqp}/%2F"

    def start(self, timeout: float = 60.0) -> None:
        """Start the node and wait until it speaks AMQP; does nothing when it already runs.

        Raises:
            NodeFailed: RabbitMQ is not installed, or did not answer within ``timeout`` seconds.
            DataDirInUse: another process runs a node in this folder.
        """
        if self._server is not None and self._server.poll() is None:
            return
        server, epmd = find("rabbitmq-server"), epmd_program()
        if server is None or epmd is None:
            raise NodeFailed(f"rabbitmq-server is not installed: {_INSTALL}")
        self._prepare()
        try:
            self._launch(server, epmd)
            self._await_amqp(time.monotonic() + timeout)
        except BaseException:
            self.stop()
            raise

    def stop(self, timeout: float = 20.0) -> None:
        """End the node and its epmd; the data stays. Legal before start and twice."""
        self._dismiss_guard()
        for process in (self._server, self._epmd):
            if process is not None:
                end(process, timeout)
        self._server = self._epmd = None
        (self.folder / "pids.json").unlink(missing_ok=True)
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def kill(self) -> None:
        """End the node as a power cut would: SIGKILL to all of it. ``start`` brings it back with its data."""
        if self._server is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._server.pid, signal.SIGKILL)
            self._server.wait()

    def ctl(self, *args: str, timeout: float = 30.0) -> str:
        """Run ``rabbitmqctl`` against this node; what it printed.

        Raises:
            NodeFailed: it ended with an error or took longer than ``timeout`` seconds.
        """
        program = find("rabbitmqctl")
        if program is None:
            raise NodeFailed(f"rabbitmqctl is not installed: {_INSTALL}")
        command = [program, "-q", "-n", _NAME, *args]
        try:
            done = subprocess.run(
                command, env=self._environment(), capture_output=True, text=True, timeout=timeout, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise NodeFailed(f"rabbitmqctl {args[0]} gave no answer within {timeout:.0f} s") from error
        if done.returncode:
            raise NodeFailed(f"rabbitmqctl {args[0]} failed: {(done.stderr or done.stdout).strip()}")
        return done.stdout

    # --- the folder -----------------------------------------------------------------------------------------------
    def _prepare(self) -> None:
        private_folder(self.folder)
        self._take_lock()
        self._end_leftovers()
        self._choose_ports()
        cookie = self.folder / ".erlang.cookie"
        if not cookie.exists():
            write_atomic(cookie, secrets.token_hex(20), 0o400)
        for name in ("conf", "data", "log"):
            (self.folder / name).mkdir(exist_ok=True, mode=0o700)
        write_atomic(self.folder / "conf" / "rabbitmq.conf", self._configuration())
        write_atomic(self.folder / "conf" / "enabled_plugins", f"[{','.join(self._plugins)}].\n")

    def _take_lock(self) -> None:
        if self._lock is not None:
            return
        lock = (self.folder / "lock").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            raise DataDirInUse(f"another process runs a RabbitMQ node in {self.folder}; use another folder") from None
        self._lock = lock

    def _identity(self) -> _Identity:
        if self._node is None:
            path = self.folder / "node.json"
            self._node = _Identity(**json.loads(path.read_text())) if path.exists() else self._new_identity()
        return self._node

    def _new_identity(self, password: str = "") -> _Identity:
        amqp, dist, epmd = free_ports(3)
        node = _Identity(amqp, dist, epmd, password or secrets.token_urlsafe(24))
        write_atomic(self.folder / "node.json", json.dumps(asdict(node)))
        return node

    def _choose_ports(self) -> None:
        """Keep the ports of the last run, unless another program took one since."""
        node = self._identity()
        if not self._started and not all(is_free(port) for port in (node.amqp, node.dist, node.epmd)):
            self._node = self._new_identity(node.password)
        self._started = True

    def _configuration(self) -> str:
        node = self._identity()
        return (
            f"listeners.tcp.default = 127.0.0.1:{node.amqp}\n"
            f"default_user = {_USER}\n"
            f"default_pass = {node.password}\n"
            "disk_free_limit.absolute = 50MB\n"
            f"log.console = false\n{self._settings}"
        )

    def _environment(self) -> dict[str, str]:
        node, conf = self._identity(), self.folder / "conf"
        inherited = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "TMPDIR") if name in os.environ}
        return inherited | {
            "HOME": str(self.folder),
            "RABBITMQ_NODENAME": _NAME,
            "RABBITMQ_DIST_PORT": str(node.dist),
            "RABBITMQ_MNESIA_BASE": str(self.folder / "data"),
            "RABBITMQ_LOG_BASE": str(self.folder / "log"),
            "RABBITMQ_CONFIG_FILE": str(conf / "rabbitmq.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(conf / "enabled_plugins"),
            "RABBITMQ_CONF_ENV_FILE": str(conf / "none"),
            "RABBITMQ_PID_FILE": str(self.folder / "data" / "pid"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": _ERL_ARGS,
            "ERL_EPMD_PORT": str(node.epmd),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
        }

    # --- the processes --------------------------------------------------------------------------------------------
    def _launch(self, server: str, epmd: str) -> None:
        node = self._identity()
        if self._epmd is None or self._epmd.poll() is not None:
            self._epmd = self._spawn([epmd, "-port", str(node.epmd), "-address", "127.0.0.1"], "epmd.log")
        self._server = self._spawn([server], "boot.log")
        self._dismiss_guard()
        self._guard = guard(self._server.pid, self._epmd.pid)
        write_atomic(self.folder / "pids.json", json.dumps([self._server.pid, self._epmd.pid]))

    def _dismiss_guard(self) -> None:
        if self._guard is not None:
            self._guard.kill()
            self._guard.communicate()
            self._guard = None

    def _spawn(self, command: list[str], log: str) -> subprocess.Popen[bytes]:
        with (self.folder / "log" / log).open("ab") as out:
            return subprocess.Popen(
                command, env=self._environment(), cwd=self.folder, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                start_new_session=True,
            )  # fmt: skip

    def _await_amqp(self, deadline: float) -> None:
        port = self._identity().amqp
        while time.monotonic() < deadline:
            if self._server is None or self._server.poll() is not None:
                raise NodeFailed(f"RabbitMQ ended while starting: {self._last_words()}")
            if speaks_amqp(port):
                return
            time.sleep(_POLL_S)
        raise NodeFailed(f"RabbitMQ did not answer on port {port} in time: {self._last_words()}")

    def _last_words(self) -> str:
        log = self.folder / "log"
        text = "\n".join(path.read_text(errors="replace") for path in sorted(log.glob("*.log")) if path.is_file())
        return text.strip()[-2000:] or "it printed nothing"

    def _end_leftovers(self) -> None:
        """A process that was killed leaves its node running: end those processes, if they still are what they were."""
        path = self.folder / "pids.json"
        if self._server is not None or not path.exists():
            return
        mark = f"ERL_EPMD_PORT={self._identity().epmd}".encode()
        for pid in json.loads(path.read_text()):
            end_foreign(pid, mark)
        path.unlink()
