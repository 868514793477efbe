"""Bearer tokens: who may speak to the collector, and for which agents (or, for operators, under which name).

The file (``principals.json`` for agents, ``operators.json`` for people) is JSON, mode 0600, replaced atomically::

    {"<name>": {"sha256": "<hex of the token>", "agents": ["*"]}}

Tokens are 256 random bits, shown once and kept only as SHA-256: a plain hash is enough for a secret nobody can guess,
and looking one up by its hash tells an attacker nothing through timing. Readers notice a changed file at the next
request; writers take turns through a lock beside the file. A file that cannot be read authenticates nobody.
"""

from __future__ import annotations

import json
import logging
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fusebox import happenings
from fusebox.errors import ConfigError
from fusebox.registry import AGENT_ID
from fusebox.rundir import write_atomic
from fusebox.secrets_file import hashed, identity, locked

ANY: Final = "*"
_PREFIX: Final = "fbx_"

UNREADABLE: Final = happenings.declare(
    "tokens_unreadable", logging.ERROR, "a token file is damaged; nobody is authenticated by it until it is repaired"
)

_Entries = dict[str, "_Entry"]


@dataclass(frozen=True, slots=True)
class Principal:
    """Who a request comes from. ``agents`` are the ids it may speak for; ``*`` is any."""

    name: str
    tenant: str
    agents: frozenset[str]

    def may_speak_for(self, agent: str) -> bool:
        """True when the principal is bound to ``agent``."""
        return ANY in self.agents or agent in self.agents


@dataclass(frozen=True, slots=True)
class _Entry:
    sha256: str
    agents: tuple[str, ...]


class Tokens:
    """One file of tokens; safe for several threads and several processes.

    Args:
        path: the file; absent means nobody has a token.
        tenant: the tenant that every principal of this file belongs to.
    """

    def __init__(self, path: Path, tenant: str = "default") -> None:
        self._path = path
        self._tenant = tenant
        self._known: tuple[tuple[int, int, int] | None, dict[str, Principal]] = None, {}
        """Which file was read, and who is in it: one value, else a slow thread could put an older file in its place."""

    def add(self, name: str, agents: Iterable[str] = (ANY,)) -> str:
        """Make a token for ``name`` and return it; it cannot be shown again.

        Raises:
            ConfigError: the name or an agent id is not a valid id, the name has a token, or the file is damaged.
        """
        bound = tuple(agents)
        _refuse_bad_ids(name, bound)
        token = _PREFIX + secrets.token_urlsafe(32)
        with self._editing() as entries:
            if name in entries:
                raise ConfigError(f"{name!r} already has a token in {self._path}; remove it first to replace it")
            entries[name] = _Entry(hashed(token), bound)
        return token

    def remove(self, name: str) -> bool:
        """Revoke the token of ``name``; False when it has none.

        Raises:
            ConfigError: the file is damaged.
        """
        with self._editing() as entries:
            return entries.pop(name, None) is not None

    def names(self) -> tuple[str, ...]:
        """Everyone who has a token.

        Raises:
            ConfigError: the file is damaged.
        """
        return tuple(sorted(self._read()))

    def principals(self) -> tuple[Principal, ...]:
        """Everyone who has a token, and for whom they may speak.

        Raises:
            ConfigError: the file is damaged.
        """
        return tuple(Principal(name, self._tenant, frozenset(e.agents)) for name, e in sorted(self._read().items()))

    def authenticate(self, token: str | None) -> Principal | None:
        """The principal a token belongs to, or None. Re-reads the file when it changed."""
        if not token:
            return None
        self._refresh()
        return self._known[1].get(hashed(token))

    def _refresh(self) -> None:
        seen = identity(self._path)
        if seen == self._known[0]:
            return
        try:
            entries = self._read()
        except ConfigError as error:
            happenings.emit(UNREADABLE, error=str(error))
            entries = {}
        self._known = seen, {e.sha256: Principal(n, self._tenant, frozenset(e.agents)) for n, e in entries.items()}

    def _read(self) -> _Entries:
        try:
            data = json.loads(self._path.read_text())
            return {name: _Entry(str(e["sha256"]), tuple(map(str, e["agents"]))) for name, e in data.items()}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ConfigError(f"{self._path} is not a token file ({error!r}); restore it or delete it") from error

    @contextmanager
    def _editing(self) -> Iterator[_Entries]:
        with locked(self._path):
            entries = self._read()
            before = dict(entries)
            yield entries
            if entries != before:
                write_atomic(self._path, _dump(entries))


def bearer(header: str | None) -> str | None:
    """The token of an ``Authorization: Bearer <token>`` header, or None."""
    scheme, _, token = (header or "").strip().partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


def _dump(entries: _Entries) -> str:
    return json.dumps({n: {"sha256": e.sha256, "agents": list(e.agents)} for n, e in sorted(entries.items())}, indent=2)


def _refuse_bad_ids(name: str, agents: tuple[str, ...]) -> None:
    for text in (name, *(a for a in agents if a != ANY)):
        if not AGENT_ID.fullmatch(text):
            raise ConfigError(f"{text!r} is not a valid id; it must match {AGENT_ID.pattern}")
