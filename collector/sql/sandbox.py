"""The process in which statements from outside run: a read-only view of the database that may be killed at any time.

``python -m collector.sql.sandbox FD…`` with one JSON object on standard input, ``{"definitions": […], "readable": […],
"folder": "…"}`` or ``{"url": "…"}``. Each FD is the end of a stream socket (:mod:`collector.sql.statement`), served by
a thread; when the process is ready, it says ``{"confined": true}`` on the first. It ends when
standard input does, in whatever call it may be: *keep* going away, however it goes, takes the sandbox with it.

It is confined before the engine is loaded: the kernel lets it read the database's files and the programs it consists
of, write its own folder, and connect nowhere. Its anonymous memory is limited too, so that even memory the engine does
not count cannot take the machine down; and it is nicer than the roles, which have work to do.
"""

from __future__ import annotations

import json
import os
import resource
import socket
import sys
import threading
from pathlib import Path
from typing import Any, Final

from collector.residence import ENGINE, FRAMES, do_without, let_go
from collector.sql.database import Connection, Database, Embedded, Server
from collector.sql.errors import UNKNOWN_DATABASE, EngineError, StatementRefused
from collector.sql.gate import Gate, known_format
from collector.sql.landlock import confine
from collector.sql.settings import complete, judge, told
from collector.sql.statement import Outcome, Statement, frame, pack, receive

_MEMORY: Final = 4 << 30
_FILE: Final = 1 << 30
_NICE: Final = 5
_PROGRAMS: Final = (
    "/usr",
    "/lib",
    "/lib64",
    "/bin",
    "/proc",
    "/sys/fs/cgroup",
    "/sys/devices/system",
    "/etc/localtime",
)


class Sandbox:
    """Runs statements, each on a connection of its own."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._gates: dict[str, Gate] = {}
        self._lock = threading.Lock()
        self._version = self._timezone = ""

    def run(self, statement: Statement) -> tuple[Outcome, bytes]:
        """How it ended, and the result."""
        try:
            return self._run(statement)
        except StatementRefused as error:
            return Outcome(code=error.code, error=str(error), refused=True, version=self._version), b""
        except EngineError as error:
            return Outcome(code=error.code, error=str(error), version=self._version), b""

    def _run(self, statement: Statement) -> tuple[Outcome, bytes]:
        judging = self._database.connect(complete({}))
        try:
            gate = self._gate(statement.role, judging)
            if statement.database not in ("", gate.database):
                name = statement.database[:100]
                raise StatementRefused(f"database {name} is not available here; use {gate.database}", UNKNOWN_DATABASE)
            permitted = gate.judge(statement.text, statement.parameters, judging)
        finally:
            judging.close()
        form = known_format(permitted.format or statement.format)
        running = self._database.connect(complete({**statement.settings, **judge(permitted.settings)}))
        try:
            answer = running.run(told(permitted.text), form, statement.parameters)
        finally:
            running.close()
        return Outcome(
            size=len(answer.data), format=form, rows=answer.rows, read_rows=answer.read_rows,
            read_bytes=answer.read_bytes, version=self._version, timezone=self._timezone,
        ), answer.data  # fmt: skip

    def _gate(self, role: str, connection: Connection) -> Gate:
        with self._lock:
            if role not in self._gates:
                self._version, self._timezone = connection.rows("SELECT version(), serverTimezone()")[0]
                self._gates[role] = Gate(connection, role)
            return self._gates[role]


def serve(sandbox: Sandbox, sock: socket.socket) -> None:
    """Answer statements on one socket until the other side is gone."""
    while (message := receive(sock)) is not None:
        outcome, data = sandbox.run(Statement(**message))
        sock.sendall(pack(outcome))
        sock.sendall(data)


def main(fds: list[int]) -> None:
    """Confine this process, open the database, serve."""
    do_without(*FRAMES)
    setup = json.loads(sys.stdin.readline())
    os.nice(_NICE)  # of this thread and those it starts
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sandbox, confined = _open(setup)
    socks = [socket.socket(fileno=fd) for fd in fds]
    socks[0].sendall(frame({"confined": confined}))
    for sock in socks:
        threading.Thread(target=serve, args=(sandbox, sock), daemon=True).start()
    sys.stdin.read()
    os._exit(0)


def _open(setup: dict[str, Any]) -> tuple[Sandbox, bool]:
    if "url" in setup:
        return Sandbox(Server(setup["url"])), False
    resource.setrlimit(resource.RLIMIT_DATA, (_MEMORY, _MEMORY))
    resource.setrlimit(resource.RLIMIT_FSIZE, (_FILE, _FILE))
    programs = [*_PROGRAMS, sys.prefix, sys.base_prefix, *filter(None, sys.path)]
    confined = confine(
        [*map(Path, programs), *map(Path, setup["readable"])], [Path(setup["folder"]), Path("/dev/null")]
    )
    database = Embedded(setup["definitions"])
    let_go(ENGINE)
    return Sandbox(database), confined


if __name__ == "__main__":
    main([int(fd) for fd in sys.argv[1:]])
