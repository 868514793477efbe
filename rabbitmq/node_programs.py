"""The programs of a private RabbitMQ node: where they are, whether they answer, how they end."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Final

_HANDSHAKE: Final = b"AMQP\x00\x00\x09\x01"
_METHOD_FRAME: Final = 1
_LEFTOVER_S: Final = 10.0
_POLL_S: Final = 0.1
_PORTS: Final = range(20_000, 32_000)
"""Below those that the kernel gives to outgoing connections."""


def speaks_amqp(port: int, timeout: float = 2.0) -> bool:
    """True when an AMQP 0-9-1 server answers a handshake on 127.0.0.1."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout) as connection:
            connection.sendall(_HANDSHAKE)
            return connection.recv(1)[:1] == bytes([_METHOD_FRAME])
    except OSError:
        return False


def end_foreign(pid: int, mark: bytes) -> None:
    """SIGTERM, then SIGKILL, to the group of a process that is not our child and has ``mark`` in its environment."""
    for wanted, patience in ((signal.SIGTERM, _LEFTOVER_S), (signal.SIGKILL, 1.0)):
        deadline = time.monotonic() + patience
        if mark in _environment_of(pid):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, wanted)
        while mark in _environment_of(pid) and time.monotonic() < deadline:
            time.sleep(_POLL_S)


def _environment_of(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return b""


def free_ports(count: int) -> list[int]:
    """Ports on 127.0.0.1 that nobody uses now, and that no outgoing connection takes while a node is down."""
    anywhere = random.SystemRandom().sample(_PORTS, len(_PORTS))
    return list(itertools.islice(filter(is_free, anywhere), count))


def is_free(port: int) -> bool:
    """True when nobody listens on this port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def find(program: str) -> str | None:
    """A program of RabbitMQ itself, never Debian's wrapper around it."""
    home, found = os.environ.get("RABBITMQ_HOME"), shutil.which(program)
    folders = [Path(home) / "sbin"] if home else []
    folders += [Path("/usr/lib/rabbitmq/bin")]
    folders += [Path(found).resolve().parent] if found else []
    for candidate in (folder / program for folder in folders):
        if os.access(candidate, os.X_OK) and shutil.which("erl"):
            return str(candidate)
    return None


def epmd_program() -> str | None:
    """Erlang's port mapper, which is not always on the PATH."""
    erl = shutil.which("erl")
    beside = shutil.which("epmd", path=str(Path(erl).resolve().parent)) if erl else None
    return shutil.which("epmd") or beside


def guard(*pids: int) -> subprocess.Popen[bytes]:
    """A small process that ends the groups of ``pids`` as soon as this process is gone, however it went.

    It waits for the end of a pipe that only we hold open; kill it before an orderly stop.
    """
    return subprocess.Popen(
        ["/bin/sh", "-c", 'read -r _; kill -s TERM -- "$@"', "guard", *(f"-{pid}" for pid in pids)],
        stdin=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip


def end(process: subprocess.Popen[bytes], timeout: float) -> None:
    """SIGTERM to the process, then SIGKILL to its whole group."""
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
