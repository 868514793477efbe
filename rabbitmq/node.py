"""A RabbitMQ node of our own: one folder, free ports on 127.0.0.1, a generated password, nothing of the system's.

The demo and the tests use it where ``rabbitmq-server`` is installed but must not be configured. What is in the folder:
:mod:`rabbitmq.node_folder`.

The programs behind Debian's ``/usr/sbin`` wrappers are started directly, because the wrappers change user and folder.
epmd is started here too, in the foreground, so that its process id is known: an epmd that the node starts by itself
outlives it. A failed boot ends with status 0, so only an answer on the AMQP port counts as started. A guard process
ends both when the process that started them is gone, even by SIGKILL.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from fusebox.errors import FuseboxError
from rabbitmq.node_folder import NAME, NodeFolder
from rabbitmq.node_programs import end, end_foreign, epmd_program, find, guard, speaks_amqp

_INSTALL: Final = "install it (Debian: apt-get install rabbitmq-server) or set RABBITMQ_HOME to its folder"
_POLL_S: Final = 0.1


class NodeFailed(FuseboxError):
    """The node did not start, or refused a ``rabbitmqctl`` command; the text carries what it printed."""


class PrivateNode:
    """One RabbitMQ server, started and ended by this process.

    Args:
        folder: where everything of the node lives; created when missing.
        plugins: names of plugins to enable.
        settings: further lines of ``rabbitmq.conf``.
    """

    def __init__(self, folder: Path, *, plugins: Sequence[str] = (), settings: str = "") -> None:
        self.folder = folder.resolve()
        self._files = NodeFolder(self.folder, plugins, settings)
        self._server: subprocess.Popen[bytes] | None = None
        self._epmd: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None
        self._started = False

    @staticmethod
    def available() -> bool:
        """True when RabbitMQ and Erlang are installed here."""
        return find("rabbitmq-server") is not None and epmd_program() is not None

    @property
    def url(self) -> str:
        """AMQP address with user and password; ``kill``, ``stop`` and ``start`` of this object never change it."""
        return self._files.identity().url

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
        self._files.note()
        self._files.release()

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
        command = [program, "-q", "-n", NAME, *args]
        try:
            done = subprocess.run(
                command, env=self._files.environment(), capture_output=True, text=True, timeout=timeout, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise NodeFailed(f"rabbitmqctl {args[0]} gave no answer within {timeout:.0f} s") from error
        if done.returncode:
            raise NodeFailed(f"rabbitmqctl {args[0]} failed: {(done.stderr or done.stdout).strip()}")
        return done.stdout

    def _prepare(self) -> None:
        self._files.take()
        self._end_leftovers()
        if not self._started:
            self._files.replace_taken_ports()
        self._started = True
        self._files.write()

    def _launch(self, server: str, epmd: str) -> None:
        node = self._files.identity()
        if self._epmd is None or self._epmd.poll() is not None:
            self._epmd = self._spawn([epmd, "-port", str(node.epmd), "-address", "127.0.0.1"], "epmd.log")
        self._server = self._spawn([server], "boot.log")
        self._dismiss_guard()
        self._guard = guard(self._server.pid, self._epmd.pid)
        self._files.note(self._server.pid, self._epmd.pid)

    def _dismiss_guard(self) -> None:
        if self._guard is not None:
            self._guard.kill()
            self._guard.communicate()
            self._guard = None

    def _spawn(self, command: list[str], log: str) -> subprocess.Popen[bytes]:
        with (self.folder / "log" / log).open("ab") as out:
            return subprocess.Popen(
                command, env=self._files.environment(), cwd=self.folder, start_new_session=True,
                stdin=subprocess.DEVNULL, stdout=out, stderr=out,
            )  # fmt: skip

    def _await_amqp(self, deadline: float) -> None:
        port = self._files.identity().amqp
        while time.monotonic() < deadline:
            if self._server is None or self._server.poll() is not None:
                raise NodeFailed(f"RabbitMQ ended while starting: {self._files.last_words()}")
            if speaks_amqp(port):
                return
            time.sleep(_POLL_S)
        raise NodeFailed(f"RabbitMQ did not answer on port {port} in time: {self._files.last_words()}")

    def _end_leftovers(self) -> None:
        """A process that was killed leaves its node running: end those processes, if they still are what they were."""
        if self._server is not None:
            return
        mark = f"ERL_EPMD_PORT={self._files.identity().epmd}".encode()
        for pid in self._files.pids():
            end_foreign(pid, mark)
        self._files.note()
