"""The ClickHouse engine: chDB inside this process, or a server, behind the same client.

Traps that shape this file: one chDB path belongs to one process; after ``import chdb`` a fork hangs (children are
spawned elsewhere); a client is not for two threads, so each thread gets its own; after an error a client is discarded.
"""

from __future__ import annotations

import threading
from collections.abc import Generator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import clickhouse_connect
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError, ProgrammingError

from collector.clickhouse import client_of
from collector.keep.errors import EngineDown, sorted_out
from collector.sql.settings import complete
from fusebox.config import Config
from fusebox.errors import ConfigError, DataDirInUse
from fusebox.rundir import write_atomic

_SPEED: Final[Mapping[str, object]] = {
    "compile_expressions": 0,
    "compile_aggregate_expressions": 0,
    "max_block_size": 8192,
    "exclude_materialize_skip_indexes_on_insert": (
        "idx_res_attr_key,idx_res_attr_value,idx_span_attr_key,idx_span_attr_value"
    ),
}
"""For inserts. Machine code for the views' expressions and sums costs more, in time and in memory, than it saves; spans
pass the views 8,192 at a time, and are one part all the same, for a fifth less memory; the indexes over all attributes
are built when parts are merged, because a part that was just written is read through as fast."""
READ_LIMITS: Final[Mapping[str, str]] = complete({})
"""What a statement on the SQL port may use."""


class Engine:
    """Gives each thread its own client, for writing or for reading as the SQL port does.

    Args:
        path: chDB's folder, or None when ``url`` names a server.
        url: ``http(s)://user:password@host:port/database``, or None.
    """

    def __init__(self, path: Path | None, url: str | None = None) -> None:
        if (path is None) == (url is None):
            raise ConfigError("the engine needs either a chDB folder or a server's URL")
        self._path, self._url = path, url
        self._local = threading.local()
        self._lock = threading.Lock()
        self._clients: list[Client] = []

    @property
    def embedded(self) -> bool:
        """True when the engine is chDB in this process."""
        return self._path is not None

    @property
    def speed_settings(self) -> Mapping[str, object]:
        """Settings that make an insert cheaper: of chDB, whose version is known; a server may not have them."""
        return _SPEED if self.embedded else {}

    def schema_settings(self, text: str, message: str) -> dict[str, str]:
        """Settings of an insert in Protobuf: where the engine finds the schema ``text`` with its ``message``.

        A server is given the text. chDB would keep a copy of it in ``__cache__`` in the current folder, which is the
        user's; so it is given a file beside its own, unless the path has a colon, after which a message is expected.
        """
        if self._path is None or ":" in str(self._path.absolute()):
            source, where = "string", text
        else:
            source, where = "file", str(self._path.absolute() / "ingest.proto")
            write_atomic(Path(where), text)
        return {"format_schema_source": source, "format_schema": where, "format_schema_message_name": message}

    def block(self, parts: Sequence[bytes]) -> bytes | Generator[bytes]:
        """What an insert is given of ``parts``, which are megabytes: chDB is handed one after the other; a request to a
        server may have to be sent again, and is one piece."""
        return (part for part in parts) if self.embedded else b"".join(parts)

    def writer(self) -> Client:
        """This thread's client that may do anything.

        Raises:
            DataDirInUse: another process has the chDB folder open.
            EngineDown: the server does not answer.
            ConfigError: the server's URL is none.
        """
        return self._mine("writer", {})

    def reader(self) -> Client:
        """This thread's client under :data:`READ_LIMITS`, for benchmarks and tests of queries. Raises likewise."""
        return self._mine("reader", READ_LIMITS)

    def discard(self) -> None:
        """Close this thread's clients; the next call opens new ones.

        After any error: a chDB connection whose statement failed half-way through its output gives the rows that were
        left over to the *next* statement.
        """
        clients = [getattr(self._local, role, None) for role in ("writer", "reader")]
        self._local.writer = self._local.reader = None
        for client in clients:
            if client is not None:
                with self._lock:
                    self._clients.remove(client)
                client.close()

    def close(self) -> None:
        """Close every client; no other thread may use one any more. Legal twice."""
        with self._lock:
            clients, self._clients = self._clients, []
        self._local = threading.local()
        for client in clients:
            client.close()

    def _mine(self, role: str, settings: Mapping[str, str]) -> Client:
        client: Client | None = getattr(self._local, role, None)
        if client is None:
            client = self._open(dict(settings))
            setattr(self._local, role, client)
            with self._lock:
                self._clients.append(client)
        return client

    def _open(self, settings: dict[str, str]) -> Client:
        if self._path is None:
            return self._open_server(settings)
        self._path.mkdir(mode=0o700, parents=True, exist_ok=True)  # prompts may be in it
        try:
            return clickhouse_connect.get_client(interface="chdb", path=str(self._path), settings=settings)
        except ProgrammingError as error:
            raise DataDirInUse(
                f"the database in {self._path} cannot be opened ({error}); another process may have it: read through "
                "the SQL port of the running keep, stop that process, or choose another FUSEBOX_DATA_DIR"
            ) from error

    def _open_server(self, settings: dict[str, str]) -> Client:
        try:
            return client_of(str(self._url), "clickhouse_url", settings=settings, send_receive_timeout=60)
        except ClickHouseError as error:
            raise EngineDown(f"ClickHouse does not answer: {error}; check clickhouse_url") from sorted_out(error)


def engine_of(config: Config) -> Engine:
    """The engine that ``config`` asks for."""
    url = config.secret("clickhouse_url")
    return Engine(None, url) if url else Engine(config.data_dir / "clickhouse")


def alive(client: Client) -> bool:
    """True when the engine answers."""
    with suppress(ClickHouseError):
        return bool(client.command("SELECT 1") == 1)
    return False
