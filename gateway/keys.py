"""Virtual keys: by its key the gateway knows which agent calls, for which team, and what it may use.

``gateway_keys.json`` in the data folder, mode 0600, replaced atomically::

    {"<id>": {"sha256": "<hex of the key>", "agent": "…", "team": "…", "models": ["*"], "tools": ["tickets"],
              "made": "<ISO 8601>"}}

An agent may also have a client certificate (mutual TLS): its entry then holds the SHA-256 of the certificate (DER).

A key is 256 random bits, shown once and kept only as its SHA-256. An agent has two live keys at most, so that a new one
can be handed out before the old one is revoked. The file is read again when it has changed, which is looked for when a
key is not known and otherwise every tenth of a second: asking for each call gave the interpreter to another thread each
time. A file that cannot be read authenticates nobody.
"""

from __future__ import annotations

import hashlib
import json
import logging
import secrets
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from fusebox import happenings
from fusebox.errors import ConfigError
from fusebox.registry import AGENT_ID
from fusebox.rundir import write_atomic
from fusebox.secrets_file import GATEWAY_KEYS, hashed, identity, locked

FILE: Final = GATEWAY_KEYS
ANY: Final = "*"
MAX_LIVE: Final = 2
MAX_AGENTS: Final = 4096
"""Agents that may have keys: what one process may answer for (the control API's bound)."""
LAG_S: Final = 0.1
"""A revoked key may still be used for so long."""
_PREFIX: Final = "fbk_"

UNREADABLE: Final = happenings.declare(
    "gateway_keys_unreadable", logging.ERROR, "the file of virtual keys is damaged; nobody is let in until it is mended"
)


@dataclass(frozen=True, slots=True)
class Identity:
    """Who calls, and what its key allows."""

    key: str
    agent: str
    tenant: str
    team: str
    models: frozenset[str]
    tools: frozenset[str]

    def may_use_model(self, model: str) -> bool:
        """True when the key allows the model."""
        return ANY in self.models or model in self.models

    def may_use_tool(self, tool: str) -> bool:
        """True when the key allows the tool."""
        return ANY in self.tools or tool in self.tools


@dataclass(frozen=True, slots=True)
class Entry:
    """One live key, without the key."""

    sha256: str
    agent: str
    team: str
    models: tuple[str, ...]
    tools: tuple[str, ...]
    made: str


class Keys:
    """The file of virtual keys.

    Args:
        path: the file; absent means that nobody has one.
        tenant: whose agents these are.
    """

    def __init__(self, path: Path, tenant: str) -> None:
        self._path, self._tenant = path, tenant
        self._seen: tuple[int, int, int] | None = None
        self._by_hash: dict[str, Identity] = {}
        self._due = 0.0

    def add(self, agent: str, *, team: str, models: tuple[str, ...], tools: tuple[str, ...]) -> tuple[str, str]:
        """Make a key; returns its id and the key, which cannot be shown again.

        Raises:
            ConfigError: the agent's id is none, it has two keys, or too many agents have some.
        """
        key = _PREFIX + secrets.token_urlsafe(32)
        return self._add(hashed(key), agent, team, models, tools), key

    def add_certificate(
        self, agent: str, pem: str, *, team: str, models: tuple[str, ...], tools: tuple[str, ...]
    ) -> str:
        """Let an agent in by its client certificate, as by a key; returns the entry's id.

        Raises:
            ConfigError: as :meth:`add`, or it is no certificate in PEM, or several.
        """
        if pem.count("-----BEGIN ") > 1:
            raise ConfigError("that is more than one certificate; give the agent's own alone, without its chain")
        try:
            der = ssl.PEM_cert_to_DER_cert(pem.strip())
        except ValueError as error:
            raise ConfigError(f"that is no certificate in PEM: {error}") from error
        return self._add(hashlib.sha256(der).hexdigest(), agent, team, models, tools)

    def _add(self, sha256: str, agent: str, team: str, models: tuple[str, ...], tools: tuple[str, ...]) -> str:
        if not AGENT_ID.fullmatch(agent):
            raise ConfigError(f"{agent!r} is not an agent id; it must match {AGENT_ID.pattern}")
        key_id = secrets.token_hex(4)
        with self._editing() as entries:
            own = [each for each, entry in entries.items() if entry.agent == agent]
            if any(entry.sha256 == sha256 for entry in entries.values()):
                raise ConfigError("that certificate is known already; revoke its entry first")
            if len(own) >= MAX_LIVE:
                raise ConfigError(f"{agent} has {MAX_LIVE} live keys ({', '.join(own)}); revoke one first")
            if not own and len({entry.agent for entry in entries.values()}) >= MAX_AGENTS:
                raise ConfigError(f"{MAX_AGENTS} agents have keys here; run another gateway for more")
            entries[key_id] = Entry(sha256, agent, team, models, tools, _now())
        return key_id

    def revoke(self, key_id: str) -> bool:
        """Make a key worthless within :data:`LAG_S` seconds; False when there is none of that id."""
        with self._editing() as entries:
            return entries.pop(key_id, None) is not None

    def entries(self) -> dict[str, Entry]:
        """Every live key, by id.

        Raises:
            ConfigError: the file is damaged.
        """
        try:
            data = json.loads(self._path.read_text())
            return {key_id: _entry(told) for key_id, told in data.items()}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ConfigError(f"{self._path} is not a file of keys ({error!r}); restore it or delete it") from error

    def agents(self) -> tuple[str, ...]:
        """Everybody who has a key."""
        return tuple(sorted({entry.agent for entry in self.entries().values()}))

    def authenticate(self, key: str) -> Identity | None:
        """Whose key it is, or None."""
        return self._whose(hashed(key))

    def authenticate_certificate(self, der: bytes) -> Identity | None:
        """Whose client certificate it is, or None; the server has verified its chain and dates."""
        return self._whose(hashlib.sha256(der).hexdigest())

    def _whose(self, sha256: str) -> Identity | None:
        now = time.monotonic()
        if now >= self._due or sha256 not in self._by_hash:
            self._refresh()
            self._due = now + LAG_S
        return self._by_hash.get(sha256)

    def _refresh(self) -> None:
        seen = identity(self._path)
        if seen == self._seen:
            return
        try:
            entries = self.entries()
        except ConfigError as error:
            happenings.emit(UNREADABLE, error=str(error))
            entries = {}
        self._by_hash = {entry.sha256: self._identity(key_id, entry) for key_id, entry in entries.items()}
        self._seen = seen

    def _identity(self, key_id: str, entry: Entry) -> Identity:
        models, tools = frozenset(entry.models), frozenset(entry.tools)
        return Identity(key_id, entry.agent, self._tenant, entry.team, models, tools)

    @contextmanager
    def _editing(self) -> Iterator[dict[str, Entry]]:
        with locked(self._path):
            entries = self.entries()
            yield entries
            write_atomic(self._path, json.dumps({name: asdict(entry) for name, entry in entries.items()}, indent=2))


def _entry(told: dict[str, object]) -> Entry:
    models, tools = told["models"], told["tools"]
    if not isinstance(models, list) or not isinstance(tools, list):
        raise TypeError("models and tools are lists")
    texts = {name: str(told[name]) for name in ("sha256", "agent", "team", "made")}
    return Entry(**texts, models=tuple(map(str, models)), tools=tuple(map(str, tools)))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
