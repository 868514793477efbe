"""Who may read the database through the SQL port, as what, and how much.

``readers.json`` in the data folder, mode 0600, replaced atomically::

    {"<name>": {"sha256": "<hex of the token>", "role": "viewer", "in_flight": 4, "rows_per_minute": 1000000000}}

A reader's token is 256 random bits, kept only as SHA-256 (see :mod:`collector.tokens`, whose operators are readers,
too: auditors). While there is no such file, the port asks for nothing: it is on loopback, and whoever reaches it is
``default``, an auditor. From the first reader on, everybody has to say who they are, also when the last one is gone.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from collector.tokens import UNREADABLE, Tokens
from fusebox import happenings
from fusebox.errors import ConfigError
from fusebox.registry import AGENT_ID
from fusebox.rundir import write_atomic
from fusebox.secrets_file import hashed, identity, locked

DEFAULT: Final = "default"
"""The user name of clients that were given none."""
ROLES: Final = ("auditor", "viewer")
_PREFIX: Final = "fbr_"


@dataclass(frozen=True, slots=True)
class Reader:
    """Somebody who asks.

    Attributes:
        role: ``auditor`` reads everything, ``viewer`` no content.
        in_flight: statements that may run or wait at once.
        rows_per_minute: rows that statements may read in a minute.
    """

    name: str
    role: str = "auditor"
    in_flight: int = 16
    rows_per_minute: int = 10_000_000_000


class Readers:
    """The two files of those who may read; safe for several threads and processes.

    Args:
        folder: the data folder.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / "readers.json"
        self._operators = Tokens(folder / "operators.json")
        self._seen: tuple[int, int, int] | None = None
        self._by_hash: dict[str, Reader] = {}
        self._closed = False

    def add(self, reader: Reader) -> str:
        """Make a token for a new reader and return it; it cannot be shown again.

        Raises:
            ConfigError: the name is no valid id or taken, the role is none, or the file is damaged.
        """
        if not AGENT_ID.fullmatch(reader.name) or reader.name == DEFAULT:
            raise ConfigError(f"{reader.name!r} is not a valid name; it must match {AGENT_ID.pattern}")
        if reader.role not in ROLES:
            raise ConfigError(f"{reader.role!r} is no role; there are {' and '.join(ROLES)}")
        token = _PREFIX + secrets.token_urlsafe(32)
        with self._editing() as entries:
            if any(known.name == reader.name for known in entries.values()):
                raise ConfigError(f"{reader.name!r} already reads; remove it first to replace its token")
            entries[hashed(token)] = reader
        return token

    def remove(self, name: str) -> bool:
        """Revoke a reader's token; False when there is none."""
        with self._editing() as entries:
            gone = [sha256 for sha256, reader in entries.items() if reader.name == name]
            for sha256 in gone:
                del entries[sha256]
        return bool(gone)

    def all(self) -> tuple[Reader, ...]:
        """Everyone in the file, by name. Raises: ConfigError: it is damaged."""
        return tuple(sorted(self._read().values(), key=lambda reader: reader.name))

    def names(self) -> tuple[str, ...]:
        """Their names. Raises: ConfigError: the file is damaged."""
        return tuple(reader.name for reader in self.all())

    def authenticate(self, user: str, password: str) -> Reader | None:
        """The reader with this token, or None.

        The password is the token. The user name must be the reader's, or none; an operator's is not asked for.
        """
        self._refresh()
        if not password:
            return Reader(DEFAULT) if not self._closed and user in ("", DEFAULT) else None
        reader = self._by_hash.get(hashed(password))
        if reader is not None:
            return reader if user in ("", DEFAULT, reader.name) else None
        operator = self._operators.authenticate(password)
        return Reader(operator.name) if operator else None

    def known(self, token: str | None) -> Reader | None:
        """The reader with this token; neither an operator nor the nameless is one."""
        self._refresh()
        return self._by_hash.get(hashed(token)) if token else None

    def _refresh(self) -> None:
        """Notice a changed file. One that cannot be read lets nobody in, and closes the port to the nameless."""
        seen = identity(self._path)
        if seen == self._seen:
            return
        try:
            self._by_hash = self._read()
            self._closed = seen is not None
        except ConfigError as error:
            happenings.emit(UNREADABLE, error=str(error))
            self._by_hash, self._closed = {}, True
        self._seen = seen

    def _read(self) -> dict[str, Reader]:
        try:
            data = json.loads(self._path.read_text())
            return {
                str(e["sha256"]): Reader(name, str(e["role"]), int(e["in_flight"]), int(e["rows_per_minute"]))
                for name, e in data.items()
            }
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ConfigError(f"{self._path} is not a file of readers ({error!r}); restore it or delete it") from error

    @contextmanager
    def _editing(self) -> Iterator[dict[str, Reader]]:
        with locked(self._path):
            entries = self._read()
            yield entries
            write_atomic(self._path, _dump(entries))


def _dump(entries: dict[str, Reader]) -> str:
    listed = {}
    for sha256, reader in sorted(entries.items(), key=lambda item: item[1].name):
        entry = asdict(reader)
        listed[entry.pop("name")] = {"sha256": sha256, **entry}
    return json.dumps(listed, indent=2)
