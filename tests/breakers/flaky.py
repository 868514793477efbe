"""A shared store that can go away, be flushed, be backed up and rolled back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fusebox.errors import StoreUnavailable
from fusebox.store import MemoryStore, Script, Store

Backup = dict[str, dict[str, str]]


class Flaky:
    """Memory that looks shared."""

    shared = True

    def __init__(self) -> None:
        self.inner: Store = MemoryStore()
        self.away = False
        self.calls = 0
        self.steps = 0

    def _do(self, verb: Callable[[], Any]) -> Any:
        self.calls += 1
        if self.away:
            raise StoreUnavailable("gone")
        return verb()

    def run(self, script: Script, key: str, *args: str, ttl: int | None = None, index: str = "") -> Any:
        self.steps += 1
        return self._do(lambda: self.inner.run(script, key, *args, ttl=ttl, index=index))

    def read(self, key: str) -> dict[str, str]:
        return self._do(lambda: self.inner.read(key))

    def keys(self, prefix: str) -> list[str]:
        return self._do(lambda: self.inner.keys(prefix))

    def delete(self, key: str) -> None:
        self._do(lambda: self.inner.delete(key))

    def ping(self) -> None:
        self._do(lambda: None)

    def close(self) -> None:
        self.inner.close()

    def flush(self) -> None:
        """Everything is gone."""
        self.inner = MemoryStore()

    def backup(self) -> Backup:
        """What it holds now."""
        return {key: self.inner.read(key) for key in self.inner.keys("")}

    def roll_back(self, backup: Backup) -> None:
        """It holds what it held then."""
        self.flush()
        for key, hash_ in backup.items():
            self.inner.run(Script("", lambda h, _, hash_=hash_: h.update(hash_)), key)  # type: ignore[misc]
