"""A site to kill agents on: *watch* as ``fusebox up`` starts it, a Redis, and agent processes on hosts of their own.

A host is a data folder with the public keys and a token, and a cable to *watch* and Redis that can be pulled.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from breakers.rules import SHIPPED
from fusebox.config import PREFIX, Config
from fusebox.control import ControlClient
from fusebox.errors import FuseboxError
from fusebox.rundir import lookup
from fusebox.store import RedisStore
from fusebox.supervisor import Supervisor

ROOT: Final = Path(__file__).resolve().parents[1]
WAIT_S: Final = 20.0
Json = dict[str, Any]


def until(probe: Callable[[], Any], what: str, timeout: float = WAIT_S) -> Any:
    """Ask until the answer is true; give up loudly after ``timeout`` seconds."""
    deadline = time.monotonic() + timeout
    while not (found := probe()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {timeout:.0f} s: {what}")
        time.sleep(0.002)
    return found


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


class Redis:
    """A Redis server of our own, whose data can be set back to what they were."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self._folder, self.port = folder, free_port()
        self.url = f"redis://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        program = shutil.which("redis-server")
        if program is None:
            raise SystemExit("redis-server is not installed: apt-get install redis-server")
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", str(self._folder)]
        self.process = subprocess.Popen([program, *options], stdout=subprocess.DEVNULL)
        until(self._answers, "redis answers")

    def stop(self) -> None:
        if self.process:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait()
            self.process = None

    def freeze(self, frozen: bool) -> None:
        """Hang, as a server in trouble does; or go on."""
        assert self.process
        self.process.send_signal(signal.SIGSTOP if frozen else signal.SIGCONT)

    def flush(self) -> None:
        self._client("FLUSHALL")

    def back_up(self) -> None:
        self._client("SAVE")
        shutil.copy(self._folder / "dump.rdb", self._folder / "backup.rdb")

    def restore(self) -> None:
        self.stop()
        shutil.copy(self._folder / "backup.rdb", self._folder / "dump.rdb")
        self.start()

    def _client(self, command: str) -> None:
        store = RedisStore(self.url, timeout=5)
        store._redis.execute_command(command)
        store.close()

    def _answers(self) -> bool:
        store = RedisStore(self.url)
        try:
            store.ping()
            return True
        except FuseboxError:
            return False
        finally:
            store.close()


class Cable:
    """A TCP way to one port, which can be pulled out and put in again."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._open: set[socket.socket] = set()
        self._pulled = False
        threading.Thread(target=self._accept, daemon=True).start()

    def pull(self, out: bool) -> None:
        self._pulled = out
        for end in list(self._open) if out else ():
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._listener.close()
        self.pull(True)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                if self._pulled:
                    client.close()
                else:
                    self._connect(client)

    def _connect(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(("127.0.0.1", self._target))
        except OSError:
            client.close()
            return
        for source, sink in ((client, server), (server, client)):
            self._open.add(source)
            threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        self._open.discard(source)
        source.close()


class Tireless:
    """One process of :mod:`benchmarks.tireless`."""

    def __init__(self, agent: str, host: Path, settings: dict[str, str], offset: float = 0.0) -> None:
        self.agent, self.notes = agent, host / f"notes-{time.monotonic_ns()}"
        self.notes.touch()
        self.started = time.monotonic()
        command = [sys.executable, "-m", "benchmarks.tireless", agent, str(self.notes), str(offset)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), **{PREFIX + k.upper(): v for k, v in settings.items()}}
        with (host / "agent.log").open("ab") as log:
            self._process = subprocess.Popen(
                command, cwd=host, env=environment, stdin=subprocess.PIPE, stdout=log, stderr=log
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def clock(self, offset: float) -> None:
        assert self._process.stdin
        self._process.stdin.write(f"clock {offset}\n".encode())
        self._process.stdin.flush()

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        if self._process.stdin:
            self._process.stdin.close()

    def noted(self, kind: str, after: float) -> list[float]:
        """Times of calls made (``A``) or refused (``R``) after a moment."""
        words = [line.split() for line in self.notes.read_text().splitlines()]
        return [float(line[1]) for line in words if line[:1] == [kind] and float(line[1]) > after]

    def awaited(self, kind: str, after: float, timeout: float = WAIT_S) -> float:
        """The first such time; waits for it."""
        what = f"{self.agent} notes {kind}; see {self.notes.parent}/agent.log"
        return float(until(lambda: self.noted(kind, after), what, timeout)[0])


class Site:
    """See the module; a context manager.

    Args:
        folder: where everything lives.
        amqp_url: a RabbitMQ for *watch* and the agents, or none.
    """

    def __init__(self, folder: Path, amqp_url: str = "") -> None:
        self.folder, self.redis = folder, Redis(folder / "redis")
        rules = folder / "rules.toml"  # nothing is enforced: trying for ever is a loop
        rules.write_text(SHIPPED.read_text().replace('mode = "enforce"', 'mode = "observe"'))
        self._common = {"rules_file": str(rules), "agents_file": str(folder / "agents.toml")}
        self._common |= {"amqp_url": amqp_url} if amqp_url else {}
        ports = {f"{name}_port": "0" for name in ("http", "grpc", "control", "sql")}
        self.home = {"data_dir": str(folder / "home"), "redis_url": self.redis.url, **ports, **self._common}
        self.config = Config(**self.home)  # type: ignore[arg-type]
        self._watch = Supervisor(self.config, ["watch"], {PREFIX + k.upper(): v for k, v in self.home.items()})
        self._cables: list[Cable] = []
        self._agents: list[Tireless] = []

    def __enter__(self) -> Site:
        self.redis.start()
        self._watch.start()
        self.client = ControlClient(self.watch_url, (self.config.data_dir / "operator.token").read_text().strip())
        return self

    def __exit__(self, *_: object) -> None:
        for agent in self._agents:
            agent.kill()
        for cable in self._cables:
            cable.close()
        self._watch.stop()
        self.redis.stop()

    @property
    def watch_url(self) -> str:
        info = lookup(self.config.data_dir, "watch")
        assert info
        return str(info["url"])

    def host(self, name: str, *, http: bool = True) -> dict[str, str]:
        """Settings of a fresh host; without ``http``, *watch* is reached over the broker alone."""
        folder = self.folder / name
        folder.mkdir()
        shutil.copy(self.config.data_dir / "command_keys.json", folder)
        token = (self.config.data_dir / "agent.token").read_text().strip()
        redis, watch = Cable(self.redis.port), Cable(int(self.watch_url.rpartition(":")[2]))
        self._cables += [redis, watch]
        settings = {"data_dir": str(folder), "agent_token": token, "redis_url": f"redis://127.0.0.1:{redis.port}"}
        return self._common | settings | ({"control_url": f"http://127.0.0.1:{watch.port}"} if http else {})

    def start(self, agent: str, settings: dict[str, str], offset: float = 0.0) -> Tireless:
        """An agent process on a host (or, with :attr:`home`, beside *watch*)."""
        Path(settings["data_dir"]).mkdir(exist_ok=True)
        started = Tireless(agent, Path(settings["data_dir"]), settings, offset)
        self._agents.append(started)
        return started

    def end(self, agent: Tireless) -> None:
        agent.kill()
        self._agents.remove(agent)

    def pull_cables(self, out: bool) -> None:
        for cable in self._cables:
            cable.pull(out)

    def kill(self, agent: str) -> Json:
        """Order it; the answer names the Command and who is due a Receipt."""
        return self.client.kill(f"agent:{agent}", "benchmark")

    def confirmed(self, answer: Json) -> float:
        """When every process that was due a Receipt, and lives, had sent it."""
        alive = {agent.pid for agent in self._agents}
        due = {process for process in answer["expected"] if int(process.split("-")[-2]) in alive}
        until(lambda: due <= self.client.receipts(answer["command"])["received"].keys(), f"receipts of {due}")
        return time.monotonic()

    def leased(self, agent: Tireless) -> bool:
        """True once *watch* knows the process, and so would wait for its Receipt."""
        return any(process["pid"] == agent.pid for process in self.client.board()["processes"])

    def resume(self, agent: str) -> None:
        self.client.resume(f"agent:{agent}", "benchmark")
