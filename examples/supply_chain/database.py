"""Databases of the supply chain: a SQLite file, or PostgreSQL where an address of one is given. Both take the same SQL.

In PostgreSQL the tables stand in a schema of their own, which goes when the demonstration ends: nothing that was there
before is looked at.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from importlib import import_module
from pathlib import Path
from secrets import token_hex
from typing import Any, Final, Protocol

from examples.web import Json
from fusebox.errors import ConfigError, Permanent, Retryable

_SCHEMES: Final = ("postgresql://", "postgres://")
_WAIT_S: Final = 10


class BadStatement(Permanent):
    """The database refuses a statement; the text is its own."""


class DatabaseAway(Retryable):
    """The database does not answer."""


class Database(Protocol):
    """One database; every call opens it anew, so any process and thread may use it.

    Every method raises :class:`BadStatement` or :class:`DatabaseAway`.
    """

    def rows(self, sql: str, *values: object) -> list[Json]:
        """Run one statement, with ``?`` in the place of each value; the rows it gives."""

    def script(self, sql: str) -> None:
        """Run statements."""


def open_database(address: str) -> Database:
    """The database at an address that :func:`place` gave.

    Raises:
        ConfigError: psycopg is not installed.
    """
    return Postgres(address) if address.startswith(_SCHEMES) else Sqlite(address)


@contextmanager
def place(url: str, file: Path) -> Iterator[str]:
    """An address for tables of our own: in the PostgreSQL at ``url``, or in ``file`` where that is empty.

    Raises:
        ConfigError: ``url`` is none of PostgreSQL, or psycopg is not installed.
        DatabaseAway: nobody answers there.
    """
    if not url:
        yield str(file)
        return
    if not url.startswith(_SCHEMES):
        raise ConfigError("the inventory's address must begin with postgresql://")
    server, schema = Postgres(url), f"fusebox_{token_hex(6)}"
    server.script(f"CREATE SCHEMA {schema}")
    try:
        yield f"{url}{'&' if '?' in url else '?'}options=-csearch_path%3D{schema}"
    finally:
        server.script(f"DROP SCHEMA {schema} CASCADE")


class Sqlite:
    """A file."""

    def __init__(self, path: str) -> None:
        self._path = path

    def rows(self, sql: str, *values: object) -> list[Json]:
        with self._open() as db:
            found = db.execute(sql, values)
            names = [column[0] for column in found.description or ()]
            return [dict(zip(names, row, strict=True)) for row in found]

    def script(self, sql: str) -> None:
        with self._open() as db:
            db.executescript(sql)

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            with closing(sqlite3.connect(self._path, timeout=_WAIT_S)) as db, db:
                yield db
        except sqlite3.Error as error:
            raise BadStatement(str(error)) from error


class Postgres:
    """A server.

    Raises:
        ConfigError: psycopg is not installed.
    """

    def __init__(self, url: str) -> None:
        self._url, self._driver = url, _psycopg()

    def rows(self, sql: str, *values: object) -> list[Json]:
        text = sql.replace("%", "%%").replace("?", "%s") if values else sql
        with self._open() as db:  # binary: as prepared statements are, of which there is never more than one
            found = db.execute(text, values or None, binary=True)
            names = [column.name for column in found.description or ()]
            return [dict(zip(names, map(_plain, row), strict=True)) for row in (found if names else ())]

    def script(self, sql: str) -> None:
        with self._open() as db:
            db.execute(sql)

    @contextmanager
    def _open(self) -> Iterator[Any]:
        try:
            with self._driver.connect(self._url, connect_timeout=_WAIT_S) as db:
                yield db
        except self._driver.OperationalError as error:
            raise DatabaseAway(str(error)) from error
        except self._driver.Error as error:
            raise BadStatement(str(error)) from error


def _plain(value: object) -> object:
    """A value that JSON knows: sums come as decimals, days as dates."""
    return value if isinstance(value, str | int | float | None) else str(value)


def _psycopg() -> Any:
    try:
        return import_module("psycopg")  # an extra: only where PostgreSQL is asked for
    except ImportError as error:
        raise ConfigError("PostgreSQL takes psycopg: pip install 'agent-fusebox[postgres]'") from error
