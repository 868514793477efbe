"""The process *keep*: owns the database, keeps what the spool holds, answers SQL, copies the audit journal."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Mapping
from typing import Any, Final

import uvicorn
from clickhouse_connect.driver.exceptions import ClickHouseError

from collector import setup
from collector.audit.files import refuse_older_format
from collector.audit.journal import Journal
from collector.configured import declare
from collector.keep.audit_copy import AuditCopy
from collector.keep.batch import Batches, BatchSettings, Promises
from collector.keep.deadletters import DeadLetters
from collector.keep.engine import Engine, engine_of
from collector.keep.errors import sorted_out
from collector.keep.insert import Inserter
from collector.keep.keeper import Keeper
from collector.keep.pages import health, metrics
from collector.keep.replay import Replay
from collector.readers import Readers
from collector.residence import ENGINE, FRAMES, do_without, let_go
from collector.scheduling import interrupt_nobody
from collector.schema.build import build
from collector.spool import Reader
from collector.sql.definitions import definitions
from collector.sql.pool import Pool
from collector.sql.port import Page, SqlPort
from collector.sql.query_log import WRITER, QueryLog
from collector.sql.quota import Quotas
from fusebox.clock import Clock, system_clock
from fusebox.config import Config
from fusebox.connections import Connection
from fusebox.lifecycle import Stack, serve
from fusebox.ports import address, bind, port_of
from fusebox.rundir import announce, withdraw

ROLE: Final = "keep"


def main(config: Config) -> None:
    """Run *keep* until SIGTERM.

    Raises:
        DataDirInUse: another keep owns the database.
        PortInUse: the SQL port is taken.
        ConfigError: the journal or the database is not one that this release goes on with.
        EngineDown: the ClickHouse server does not answer.
    """
    do_without(*FRAMES)
    interrupt_nobody()
    setup.prepare(config)
    with setup.owned(config.data_dir / "keep.lock", ROLE):
        # Before the database is changed, so that one can still go back.
        refuse_older_format(config.data_dir / "journal")
        engine = engine_of(config)
        try:
            _prepare(engine, config)
            let_go(ENGINE)
            serve(_services(config, engine, system_clock()))
        finally:
            engine.close()


def _prepare(engine: Engine, config: Config) -> None:
    try:
        build(engine.writer(), config)
    except ClickHouseError as error:
        raise sorted_out(error) from error


def _services(config: Config, engine: Engine, clock: Clock) -> Stack:
    settings = BatchSettings()
    folder = config.data_dir / "batches"
    folder.mkdir(exist_ok=True, mode=0o700)
    batches = Batches(Reader(config.data_dir / "spool", ROLE), Promises(folder), settings, clock)
    letters = config.data_dir / "dead_letters"
    inserter = Inserter(engine, DeadLetters(engine, letters, clock))
    journals = config.data_dir / "journal"
    journal = Journal.of(config, clock, WRITER)
    keeper = Keeper(batches, inserter, clock, settings.linger, Replay(engine, letters, clock, journal).step)
    copy = AuditCopy(engine, journals)
    pages = {
        "/healthz": lambda: health(keeper, (copy.trouble(), port.trouble)),
        "/metrics": lambda: metrics(keeper, inserter.rows),
    }
    port: SqlPort = sql_port(config, engine, clock, pages, journal)
    return Stack([keeper, copy, SqlServer(config, port)])


def sql_port(config: Config, engine: Engine, clock: Clock, pages: Mapping[str, Page], journal: Journal) -> SqlPort:
    """The SQL port over ``engine``, with its readers and sandbox in the data folder."""
    folder = config.data_dir.absolute()
    pool = Pool(lambda: _sandbox_setup(config, engine), folder / "sandbox")
    return SqlPort(
        pool, Readers(folder), Quotas(clock), QueryLog(journal, clock), pages, any_host=config.behind_loopback_publish
    )


def _sandbox_setup(config: Config, engine: Engine) -> dict[str, Any]:
    """What the process for statements is told; called on a thread of its own, whose client is closed again."""
    if not engine.embedded:
        return {"url": config.secret("clickhouse_url")}
    try:
        return {
            "definitions": definitions(engine.writer()),
            "readable": [str(config.data_dir.absolute() / "clickhouse")],
        }
    finally:
        engine.discard()


class Asking(Connection):
    """A connection to the SQL port: a statement may stand in a request's address."""

    longest = 128 << 10


def http_server(port: SqlPort) -> uvicorn.Server:
    """What serves the SQL port."""
    config = uvicorn.Config(
        port, http=Asking, ws="none", lifespan="on", log_config=None, access_log=False, timeout_graceful_shutdown=5
    )
    return uvicorn.Server(config)


class SqlServer:
    """uvicorn in a thread, announced while it listens."""

    def __init__(self, config: Config, port: SqlPort) -> None:
        self._config, self._port = config, port
        self._server = http_server(port)
        self._socket: socket.socket | None = None
        self._thread = threading.Thread(target=self._run, name="sql-port", daemon=True)

    def start(self) -> None:
        """Listen and announce.

        Raises:
            PortInUse: another program has the port.
        """
        self._socket = bind(self._config.host, self._config.sql_port, "sql_port")
        self._thread.start()
        url = f"http://{address(self._config.host, port_of(self._socket))}"
        declare(self._config, ROLE)
        announce(self._config.data_dir, ROLE, url=url)

    def stop(self, timeout: float = 10.0) -> None:
        if self._socket is None:
            return
        withdraw(self._config.data_dir, ROLE)
        self._server.should_exit = True
        self._thread.join(timeout)
        self._port.close()
        with contextlib.suppress(OSError):
            self._socket.close()

    def _run(self) -> None:
        assert self._socket is not None
        self._server.run(sockets=[self._socket])
