"""State stores: Redis, and a twin in memory that passes the same tests.

A store offers one thing: an *atomic step* on one hash. A :class:`Script` says the same step twice, as Lua for Redis
and as a Python function over a dict for memory. Values are strings; an empty hash does not exist.

::

    step = Script(
        "return redis.call('HINCRBY', KEYS[1], 'n', ARGV[1])",
        lambda h, args: h.update(n=str(int(h.get("n", 0)) + int(args[0]))) or int(h["n"]),
    )
    store.run(step, "counter", "1")
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import Any, Final, Protocol

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from fusebox.errors import StoreUnavailable
from fusebox.redis_address import redis_place
from fusebox.tls import advised

MAX_EXPIRING: Final = 100_000
"""Hashes with an expiry that memory keeps: the claims of as many messages, some 60 MB."""

Twin = Callable[[dict[str, str], tuple[str, ...]], Any]


@dataclass(frozen=True, slots=True)
class Script:
    """One atomic step: ``KEYS[1]`` is the hash, ``ARGV`` the arguments; the twin edits the hash in place."""

    lua: str
    twin: Twin


class Store(Protocol):
    """Where shared state lives."""

    shared: bool
    """True when other processes see it."""

    def run(self, script: Script, key: str, *args: str, ttl: int | None = None, index: str = "") -> Any:
        """Run one atomic step on the hash ``key`` and return its result (Lua conversion rules: str, int, list).

        With ``ttl``, the hash is forgotten so many seconds (unscaled) from now, unless a step says so again before.
        With ``index``, the same step notes the hash's field ``change`` in the hash ``index``, under ``key``: who
        follows many hashes reads that one, where a hash that is gone does not stand. The two do not go together.
        """

    def read(self, key: str) -> dict[str, str]:
        """The whole hash (empty when absent)."""

    def keys(self, prefix: str) -> list[str]:
        """All keys that start with ``prefix``."""

    def delete(self, key: str) -> None:
        """Forget a hash."""

    def ping(self) -> None:
        """Raise :class:`StoreUnavailable` unless the store answers."""

    def close(self) -> None:
        """Release connections; legal twice."""


class MemoryStore:
    """A store for one process.

    Args:
        max_expiring: hashes with an expiry kept at once; beyond it the oldest is forgotten before its time.
    """

    shared = False

    def __init__(self, max_expiring: int = MAX_EXPIRING) -> None:
        self._max_expiring = max_expiring
        self._hashes: dict[str, dict[str, str]] = {}
        self._expiry: OrderedDict[str, float] = OrderedDict()
        self._lock = Lock()

    def run(self, script: Script, key: str, *args: str, ttl: int | None = None, index: str = "") -> Any:
        with self._lock:
            now = time.monotonic()
            self._forget_expired(now)
            hash_ = self._hashes.setdefault(key, {})
            try:
                return script.twin(hash_, args)
            finally:
                if not hash_:
                    del self._hashes[key]
                elif ttl is not None:
                    self._expiry[key] = now + ttl
                    self._expiry.move_to_end(key)
                if index:
                    self._note(index, key, hash_)

    def _note(self, index: str, key: str, hash_: dict[str, str]) -> None:
        entries = self._hashes.setdefault(index, {})
        if hash_:
            entries[key] = hash_.get("change", "")
        else:
            entries.pop(key, None)
        if not entries:
            del self._hashes[index]

    def read(self, key: str) -> dict[str, str]:
        with self._lock:
            self._forget_expired(time.monotonic())
            return dict(self._hashes.get(key, {}))

    def keys(self, prefix: str) -> list[str]:
        with self._lock:
            return sorted(k for k in self._hashes if k.startswith(prefix))

    def delete(self, key: str) -> None:
        with self._lock:
            self._hashes.pop(key, None)

    def _forget_expired(self, now: float) -> None:
        """Oldest word first; one with a longer time in front delays those behind it, which costs memory only."""
        while self._expiry and (len(self._expiry) > self._max_expiring or next(iter(self._expiry.values())) <= now):
            self._hashes.pop(self._expiry.popitem(last=False)[0], None)

    def ping(self) -> None:
        return None

    def close(self) -> None:
        return None


class RedisStore:
    """A store on Redis (or Valkey); every call has a deadline.

    Args:
        url: ``redis://``, ``rediss://`` or ``unix://`` address.
        timeout: seconds a call may take before it counts as unavailable.

    Raises:
        ConfigError: the address cannot be read.
    """

    shared = True

    def __init__(self, url: str, timeout: float = 1.0) -> None:
        self._redis = connect(url, timeout, decode_responses=True)

    def run(self, script: Script, key: str, *args: str, ttl: int | None = None, index: str = "") -> Any:
        lua, more = (script.lua, ()) if ttl is None else (_expiring(script.lua), (str(ttl),))
        lua, keys = (_indexed(lua), [key, index]) if index else (lua, [key])
        with redis_errors():
            return self._redis.register_script(lua)(keys=keys, args=[*args, *more])

    def read(self, key: str) -> dict[str, str]:
        with redis_errors():
            return {str(k): str(v) for k, v in self._redis.hgetall(key).items()}

    def keys(self, prefix: str) -> list[str]:
        with redis_errors():
            return sorted(str(k) for k in self._redis.scan_iter(match=f"{_literal(prefix)}*", count=500))

    def delete(self, key: str) -> None:
        with redis_errors():
            self._redis.delete(key)

    def ping(self) -> None:
        with redis_errors():
            self._redis.ping()

    def close(self) -> None:
        self._redis.close()


def _expiring(lua: str) -> str:
    """The step, and its hash's expiry in seconds as one argument more, in one round trip."""
    return _then(lua, "redis.call('EXPIRE', KEYS[1], ARGV[#ARGV])")


def _indexed(lua: str) -> str:
    """The step, and what it left as the hash's change in the index."""
    note = "redis.call('HSET', KEYS[2], KEYS[1], redis.call('HGET', KEYS[1], 'change') or '')"
    return _then(
        lua, f"if redis.call('EXISTS', KEYS[1]) == 1 then {note} else redis.call('HDEL', KEYS[2], KEYS[1]) end"
    )


def _then(lua: str, more: str) -> str:
    return f"local function step() {lua}\nend\nlocal result = step()\n{more}\nreturn result"


MEMORY: Final = "memory://"
"""The address of a store for one process."""


def open_store(url: str) -> Store:
    """The store behind a URL: ``memory://`` or any URL of Redis.

    Raises:
        ConfigError: it is neither.
    """
    if url == MEMORY:
        return MemoryStore()
    return RedisStore(url)


def connect(url: str, timeout: float, **options: Any) -> redis.Redis:
    """A client whose calls have a deadline.

    No retries: a step whose answer was lost may have been made, and making it again is the caller's decision.

    Raises:
        ConfigError: the address cannot be read.
    """
    redis_place(url)
    return redis.Redis.from_url(
        url, socket_timeout=timeout, socket_connect_timeout=timeout, retry=Retry(NoBackoff(), 0), **options
    )


@contextmanager
def redis_errors() -> Iterator[None]:
    """Whatever the library raises becomes :class:`StoreUnavailable`."""
    try:
        yield
    except redis.RedisError as error:
        hint = "; it is older than version 6.0" if "`HELLO`" in str(error) else ""
        raise StoreUnavailable(advised(f"Redis: {error}{hint}")) from error


def _literal(prefix: str) -> str:
    return "".join(f"\\{c}" if c in "*?[]\\" else c for c in prefix)
