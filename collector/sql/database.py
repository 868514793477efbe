"""The engine as the sandbox sees it: a fresh connection for each statement.

chDB: a process of its own cannot open the folder that *keep* writes. It can read the folder's parts, though: each table
is created again, under the same name, over the same files as a read-only disk whose list of parts is read anew twice a
second (ClickHouse's "one writer, many readers"). Opening a connection costs a millisecond, so whatever a statement
leaves behind (an error half-way through its output, settings) ends with it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from collector.sql.errors import EngineError

REFRESH_S: Final = 0.5
"""A row is readable this long after it was written, at most. Looking takes some 5 ms of a core, idle or not."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A result and what it took."""

    data: bytes
    rows: int = 0
    read_rows: int = 0
    read_bytes: int = 0


class Connection(Protocol):
    """A connection; used by one thread, closed after one statement."""

    def run(self, text: str, form: str, parameters: Mapping[str, str] | None = None) -> Answer:
        """Run one statement, in the format ``form`` or, when that is empty, the default. Raises: EngineError."""

    def close(self) -> None: ...

    def ask(self, text: str, form: str, parameters: Mapping[str, str] | None = None) -> str:
        """The answer as text."""
        return self.run(text, form, parameters).data.decode("utf-8", "surrogateescape")

    def rows(self, text: str) -> list[list[Any]]:
        """The answer as rows of values."""
        return [json.loads(line) for line in self.ask(text, "JSONCompactEachRow").splitlines()]

    def column(self, text: str) -> list[str]:
        """The answer's first column, as text."""
        return [str(row[0]) for row in self.rows(text)]


class Database(Protocol):
    """Opens connections; shared by threads."""

    def connect(self, settings: Mapping[str, str]) -> Connection:
        """A connection under these settings, set in order. Raises: EngineError."""


class Embedded:
    """chDB in this process, over the tables in ``definitions``.

    Raises:
        EngineError: a table cannot be read.
    """

    def __init__(self, definitions: Sequence[str]) -> None:
        from importlib import import_module

        engine = import_module("chdb._chdb")  # here, because a process that reads a server loads no engine

        self._engine = engine
        keeper = _Chdb(self._open())  # the last connection that closes ends the engine: this one stays
        for definition in definitions:
            keeper.run(definition, "Null")
        self._keeper = keeper

    def connect(self, settings: Mapping[str, str]) -> Connection:
        connection = _Chdb(self._open())
        try:
            connection.run("SET " + ", ".join(f"{k} = '{v}'" for k, v in settings.items()), "Null")
        except EngineError:
            connection.close()
            raise
        return connection

    def _open(self) -> Any:
        return self._engine.connect(":memory:")


class _Chdb(Connection):
    def __init__(self, raw: Any) -> None:
        self._raw = raw

    def run(self, text: str, form: str, parameters: Mapping[str, str] | None = None) -> Answer:
        try:
            result = self._raw.query(text, form or "TabSeparated", params=dict(parameters or {}))
        except (RuntimeError, ValueError) as error:
            raise EngineError(str(error)) from error
        return Answer(result.bytes(), result.rows_read(), result.storage_rows_read(), result.storage_bytes_read())

    def close(self) -> None:
        self._raw.close()


class Server:
    """A ClickHouse server over HTTP."""

    def __init__(self, url: str) -> None:
        self._url = url

    def connect(self, settings: Mapping[str, str]) -> Connection:
        from clickhouse_connect.driver.exceptions import ClickHouseError

        from collector.clickhouse import client_of  # here, because the embedded engine needs no driver

        try:
            return _Http(client_of(self._url, "clickhouse_url", settings=dict(settings), send_receive_timeout=30))
        except ClickHouseError as error:
            raise EngineError(_server_text(str(error))) from error


@dataclass(frozen=True, slots=True)
class _Verbatim:
    """A value that travels as it came: the driver escapes strings, and this one is escaped already."""

    text: str

    def __str__(self) -> str:
        return self.text


class _Http(Connection):
    def __init__(self, client: Any) -> None:
        self._client = client

    def run(self, text: str, form: str, parameters: Mapping[str, str] | None = None) -> Answer:
        from clickhouse_connect.driver.exceptions import ClickHouseError

        # None when there are no placeholders: the driver would then put values into the text, with ``%``.
        used = {k: _Verbatim(v) for k, v in (parameters or {}).items() if f"{{{k}:" in text}
        try:
            return Answer(self._client.raw_query(text, parameters=used or None, fmt=form or None))
        except ClickHouseError as error:
            raise EngineError(_server_text(str(error))) from error

    def close(self) -> None:
        self._client.close()


def _server_text(text: str) -> str:
    """The server's own words, out of the driver's around them (which name the address)."""
    start, end = text.find("Code: "), text.rfind(" (for url")
    return text[max(start, 0) : end if end > 0 else None]
