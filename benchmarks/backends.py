"""What ``benchmarks.ingest`` compares: Fusebox as ``fusebox up`` runs it, and the peers a Python user runs today.

Each is a tree of processes pinned to one core. It is sent bodies at ``url``, and says how many spans can be seen.
"""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from pathlib import Path
from types import MappingProxyType
from typing import Final

from benchmarks.corpus import registry
from collector import queries
from collector.spool import cursors
from collector.spool.cursor import Mark
from fusebox.config import Config
from fusebox.rundir import lookup, secret_of

CORE: Final = 0
"""Where what is measured runs; the load comes from another."""
PEERS: Final = Path(".venv/peers")
_READY_S: Final = 180.0
_OTHERS_SPANS: Final = "SELECT count() FROM otel_traces WHERE NOT startsWith(SpanName, 'fusebox.')"
"""What was sent: watch sends spans of its own, canaries and scores."""
_PORTS: Final = (
    "HTTP_PORT", "GRPC_PORT", "CONTROL_PORT", "SQL_PORT", "DASHBOARD_PORT", "DASHBOARD_METRICS_PORT",
    "REDIS_METRICS_PORT",
)  # fmt: skip


class Backend:
    """A program that takes OTLP over HTTP, with a folder of its own."""

    name = ""
    headers: Mapping[str, str] = MappingProxyType({})

    def __init__(self, folder: Path) -> None:
        self.folder = folder / self.name
        self.folder.mkdir()
        self.url, self.peak_mb, self.sent = "", 0.0, 0
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        command = ["taskset", "-c", str(CORE), *self.command()]
        log = (self.folder / "log").open("wb")
        self._process = subprocess.Popen(
            command, env={**os.environ, **self.environment()}, cwd=self.folder, stdout=log, stderr=log,
            start_new_session=True,
        )  # fmt: skip
        await_that(self.ready, _READY_S, f"{self.name} did not start; see {self.folder / 'log'}")

    def stop(self) -> None:
        """End it and all it started."""
        if self._process:
            self._process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(30)
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def command(self) -> list[str]:
        raise NotImplementedError

    def environment(self) -> dict[str, str]:
        return {}

    def ready(self) -> bool:
        raise NotImplementedError

    def spans(self) -> int:
        """How many can be seen."""
        raise NotImplementedError

    def done(self) -> bool:
        """True when all that was sent can be seen."""
        return self.spans() >= self.sent

    def disk_bytes(self) -> int:
        """What the spans take on disk, once it has stopped."""
        raise NotImplementedError

    def resident_mb(self) -> float:
        """Resident memory of all its processes together: a page that several share counts once (PSS)."""
        assert self._process
        return sum(map(_resident, _tree(self._process.pid))) / 1e6

    def watch_memory(self, until: threading.Event) -> None:
        """Note the peak until told to stop."""
        while not until.wait(0.2):
            self.peak_mb = max(self.peak_mb, self.resident_mb())


class Fusebox(Backend):
    """All roles, supervised, with live detection."""

    name = "fusebox"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.config = Config(data_dir=self.folder / "data")
        (self.folder / "agents.toml").write_text(registry())

    def command(self) -> list[str]:
        return [sys.executable, "-m", "fusebox", "up", "--no-dashboard"]

    def environment(self) -> dict[str, str]:
        ours = {f"FUSEBOX_{name}": "0" for name in _PORTS}
        return {**ours, "FUSEBOX_DATA_DIR": str(self.config.data_dir), "PYTHONPATH": os.getcwd()}

    def ready(self) -> bool:
        roles = [lookup(self.config.data_dir, role) for role in ("receive", "keep", "watch")]
        if not all(roles):
            return False
        self.url = f"{roles[0]['url']}/v1/traces"
        self._watch = f"{roles[2]['url']}/metrics"
        self.headers = {"Authorization": f"Bearer {secret_of(self.config, 'agent_token', 'agent.token')}"}
        return True

    def spans(self) -> int:
        with closing(queries.connect(self.config)) as client:
            return int(client.query(_OTHERS_SPANS).result_rows[0][0])

    def done(self) -> bool:
        """When keep has stored, and watch has judged, all that was received: neither is asked anything for it."""
        with closing(Mark(self.config.data_dir / "spool")) as mark:
            number = mark.read()
        return cursors(self.config.data_dir / "spool")["keep"] >= number and self._judged() >= number

    def _judged(self) -> float:
        with urllib.request.urlopen(self._watch, timeout=30) as answer:
            lines = answer.read().decode().splitlines()
        return next(float(line.split()[-1]) for line in lines if "judged_record " in line and line[0] != "#")

    def processor_seconds(self) -> dict[str, float]:
        """What each role has used of the core."""
        roles = {role: lookup(self.config.data_dir, role) for role in ("receive", "keep", "watch", "redis")}
        return {role: _used(info["pid"]) for role, info in roles.items() if info}

    def disk_bytes(self) -> int:
        """Every table, after merges; in a process of its own, because one folder belongs to one process."""
        command = [sys.executable, "-m", "benchmarks.merged", str(self.config.data_dir / "clickhouse")]
        return int(subprocess.run(command, check=True, capture_output=True, timeout=600).stdout)


class Phoenix(Backend):
    """Arize Phoenix on SQLite, as ``phoenix serve`` sets it up."""

    name = "phoenix"

    def command(self) -> list[str]:
        return [str((PEERS / "phoenix/bin/phoenix").absolute()), "serve"]

    def environment(self) -> dict[str, str]:
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}/v1/traces"
        return {
            "PHOENIX_WORKING_DIR": str(self.folder), "PHOENIX_PORT": str(self._port), "PHOENIX_HOST": "127.0.0.1",
            "PHOENIX_GRPC_PORT": str(free_port()), "PHOENIX_TELEMETRY_ENABLED": "false",
        }  # fmt: skip

    def ready(self) -> bool:
        return _answers(f"http://127.0.0.1:{self._port}/healthz")

    def spans(self) -> int:
        return _rows(self.folder / "phoenix.db")

    def disk_bytes(self) -> int:
        return _sqlite_bytes(self.folder)


class Mlflow(Backend):
    """MLflow's tracking server on SQLite."""

    name = "mlflow"
    headers: Mapping[str, str] = MappingProxyType({"x-mlflow-experiment-id": "0"})

    def command(self) -> list[str]:
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}/v1/traces"
        return [
            str((PEERS / "mlflow/bin/mlflow").absolute()), "server", "--host", "127.0.0.1", "--port", str(self._port),
            "--workers", "1", "--backend-store-uri", f"sqlite:///{self.folder / 'mlflow.db'}",
            "--default-artifact-root", str(self.folder / "artifacts"),
        ]  # fmt: skip

    def environment(self) -> dict[str, str]:
        bin = str((PEERS / "mlflow/bin").absolute())
        return {"PATH": f"{bin}:{os.environ['PATH']}", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}

    def ready(self) -> bool:
        return _answers(f"http://127.0.0.1:{self._port}/health")

    def spans(self) -> int:
        return _rows(self.folder / "mlflow.db")

    def disk_bytes(self) -> int:
        return _sqlite_bytes(self.folder)


def await_that(condition: Callable[[], bool], seconds: float, otherwise: str) -> None:
    """Poll until it is so.

    Raises:
        SystemExit: with the text ``otherwise``, when it is not within ``seconds``.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(otherwise)
        time.sleep(0.02)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status < 400)
    except OSError:
        return False


def _rows(path: Path) -> int:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)) as database:
        return int(database.execute("SELECT count(*) FROM spans").fetchone()[0])


def _sqlite_bytes(folder: Path) -> int:
    """The database's file, with what still waits in its journal folded in."""
    total = 0
    for path in folder.glob("*.db"):
        with closing(sqlite3.connect(path)) as database:
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        total += path.stat().st_size
    return total


def _tree(pid: int) -> list[int]:
    found = [pid]
    for parent in found:
        with suppress(OSError):
            for thread in Path(f"/proc/{parent}/task").iterdir():
                found.extend(int(child) for child in (thread / "children").read_text().split())
    return found


def _resident(pid: int) -> int:
    with suppress(OSError):
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        return next((int(line.split()[1]) << 10 for line in lines if line.startswith("Pss:")), 0)
    return 0


def _used(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
