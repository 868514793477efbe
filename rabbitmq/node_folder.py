"""The folder of a private RabbitMQ node: who the node is, and what its programs are told.

::

    node.json          ports and password (0600); a restart keeps both, unless another program took a port meanwhile
    pids.json          server and epmd of the running node; the next start ends what is left of a killed process
    lock               flock of the process that runs the node
    .erlang.cookie     0400; the folder is the HOME of every program started here
    conf/ data/ log/   what RabbitMQ calls CONFIG_FILE, MNESIA_BASE and LOG_BASE
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Final

from fusebox.errors import DataDirInUse
from fusebox.rundir import write_atomic
from fusebox.secrets_file import private_folder
from rabbitmq.node_programs import free_ports, is_free

NAME: Final = "fusebox@localhost"
_USER: Final = "fusebox"
_ERL_ARGS: Final = "+S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none -kernel inet_dist_use_interface {127,0,0,1}"


@dataclass(frozen=True, slots=True)
class Identity:
    """What must stay the same over restarts."""

    amqp: int
    dist: int
    epmd: int
    password: str

    @property
    def url(self) -> str:
        """AMQP address with user and password."""
        return f"amqp://{_USER}:{self.password}@127.0.0.1:{self.amqp}/%2F"


class NodeFolder:
    """See the module.

    Args:
        path: created when missing.
        plugins: names of plugins to enable.
        settings: further lines of ``rabbitmq.conf``.
    """

    def __init__(self, path: Path, plugins: Sequence[str], settings: str) -> None:
        self.path = path
        self._plugins, self._settings = plugins, settings
        self._node: Identity | None = None
        self._lock: IO[str] | None = None

    def identity(self) -> Identity:
        """That of the last run, or a new one."""
        if self._node is None:
            path = self.path / "node.json"
            self._node = Identity(**json.loads(path.read_text())) if path.exists() else self._new_identity()
        return self._node

    def take(self) -> None:
        """Have the folder to oneself until :meth:`release`.

        Raises:
            DataDirInUse: another process runs a node in it.
        """
        private_folder(self.path)
        if self._lock is not None:
            return
        lock = (self.path / "lock").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            raise DataDirInUse(f"another process runs a RabbitMQ node in {self.path}; use another folder") from None
        self._lock = lock

    def release(self) -> None:
        """Let others take it. Legal twice."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def replace_taken_ports(self) -> None:
        """Keep the ports of the last run, unless another program took one since."""
        node = self.identity()
        if not all(is_free(port) for port in (node.amqp, node.dist, node.epmd)):
            self._node = self._new_identity(node.password)

    def write(self) -> None:
        """Write what the programs read."""
        cookie = self.path / ".erlang.cookie"
        if not cookie.exists():
            write_atomic(cookie, secrets.token_hex(20), 0o400)
        for name in ("conf", "data", "log"):
            (self.path / name).mkdir(exist_ok=True, mode=0o700)
        write_atomic(self.path / "conf" / "rabbitmq.conf", self._configuration())
        write_atomic(self.path / "conf" / "enabled_plugins", f"[{','.join(self._plugins)}].\n")

    def environment(self) -> dict[str, str]:
        """Of every program of the node."""
        node, conf = self.identity(), self.path / "conf"
        inherited = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "TMPDIR") if name in os.environ}
        return inherited | {
            "HOME": str(self.path),
            "RABBITMQ_NODENAME": NAME,
            "RABBITMQ_DIST_PORT": str(node.dist),
            "RABBITMQ_MNESIA_BASE": str(self.path / "data"),
            "RABBITMQ_LOG_BASE": str(self.path / "log"),
            "RABBITMQ_CONFIG_FILE": str(conf / "rabbitmq.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(conf / "enabled_plugins"),
            "RABBITMQ_CONF_ENV_FILE": str(conf / "none"),
            "RABBITMQ_PID_FILE": str(self.path / "data" / "pid"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": _ERL_ARGS,
            "ERL_EPMD_PORT": str(node.epmd),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
        }

    def pids(self) -> list[int]:
        """The programs that were started and, as far as is known, not ended."""
        path = self.path / "pids.json"
        return list(json.loads(path.read_text())) if path.exists() else []

    def note(self, *pids: int) -> None:
        """Remember the programs that run; none forgets them."""
        path = self.path / "pids.json"
        if pids:
            write_atomic(path, json.dumps(pids))
        else:
            path.unlink(missing_ok=True)

    def last_words(self) -> str:
        """What the programs printed last."""
        logs = sorted((self.path / "log").glob("*.log"))
        text = "\n".join(path.read_text(errors="replace") for path in logs if path.is_file())
        return text.strip()[-2000:] or "it printed nothing"

    def _new_identity(self, password: str = "") -> Identity:
        amqp, dist, epmd = free_ports(3)
        node = Identity(amqp, dist, epmd, password or secrets.token_urlsafe(24))
        write_atomic(self.path / "node.json", json.dumps(asdict(node)))
        return node

    def _configuration(self) -> str:
        node = self.identity()
        return (
            f"listeners.tcp.default = 127.0.0.1:{node.amqp}\n"
            f"default_user = {_USER}\n"
            f"default_pass = {node.password}\n"
            "disk_free_limit.absolute = 50MB\n"
            f"log.console = false\n{self._settings}"
        )
