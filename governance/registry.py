"""The agent registry: reads ``agents.toml``, and notices agents that speak without being in it ("shadow AI")."""

from __future__ import annotations

import difflib
import tomllib
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from threading import Lock
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from fusebox.errors import ConfigError
from fusebox.registry import AgentEntry, ApprovalRule, Grant, Registry, Role, Rule, SqlGrant
from fusebox.toml_file import in_toml

MAX_STRANGERS: Final = 10_000
SILENT_S: Final = 1800.0
"""A stranger that was silent for so long makes room for another: detectors have forgotten it, too."""
_LISTS: Final[Mapping[str, type[BaseModel]]] = {
    "sql": SqlGrant,
    "grants": Grant,
    "denies": Rule,
    "approvals": ApprovalRule,
}


def load_registry(path: Path) -> Registry:
    """Read ``agents.toml``; an absent file means that nobody is registered.

    Raises:
        ConfigError: the file cannot be read or does not fit; the text names the line or the key.
    """
    try:
        data = tomllib.loads(path.read_text())
    except FileNotFoundError:
        return Registry()
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise ConfigError(f"{path}: {error}") from error
    try:
        return Registry.model_validate(data)
    except ValidationError as error:
        problems = "; ".join(_explain(dict(e)) for e in error.errors(include_url=False))
        raise ConfigError(f"{path}: {problems}") from error


class Strangers:
    """Remembers which unregistered agents have spoken lately. Thread-safe and bounded.

    Args:
        registry: who is known.
        limit: strangers remembered; while all of them have spoken within :data:`SILENT_S`, new ones are not noticed (an
            id made up for each message must not turn into an alert for each message).
    """

    def __init__(self, registry: Registry, limit: int = MAX_STRANGERS) -> None:
        self._registry = registry
        self._limit = limit
        self._seen: OrderedDict[str, float] = OrderedDict()
        self._lock = Lock()

    def notice(self, agent: str, now: float) -> bool:
        """True the first time an unregistered agent speaks, and when it speaks again after it was forgotten.

        Args:
            now: seconds on any clock.
        """
        if agent in self._registry.agents:
            return False
        with self._lock:
            new = agent not in self._seen
            if new and not self._has_room(now):
                return False
            self._seen[agent] = now
            self._seen.move_to_end(agent)
            return new

    def __contains__(self, agent: str) -> bool:
        return agent in self._seen

    def seen(self) -> tuple[str, ...]:
        """All that are remembered, the one that has spoken last at the end."""
        with self._lock:
            return tuple(self._seen)

    def _has_room(self, now: float) -> bool:
        """Under the lock: there is room, or one that was silent has made some."""
        if len(self._seen) < self._limit:
            return True
        silent = now - next(iter(self._seen.values())) > SILENT_S
        if silent:
            self._seen.popitem(last=False)
        return silent


def _explain(error: dict[str, Any]) -> str:
    path = [str(part) for part in error["loc"]]
    where = ".".join(path)
    if error["type"] != "extra_forbidden":
        return f"{where}: {in_toml(error['msg'])}".removeprefix(": ")
    known: dict[str, Any] = _known(path).model_fields
    near = difflib.get_close_matches(path[-1], known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
    kind = "an agent" if path[0] == "agents" else "a role"
    return f"{where} is no setting of {kind}; {hint}" if len(path) > 1 else f"{where} is no section; {hint}"


def _known(path: list[str]) -> type[BaseModel]:
    """The model whose setting the last part of ``path`` should have been."""
    if len(path) == 1:
        return Registry
    entry: type[BaseModel] = AgentEntry if path[0] == "agents" else Role
    return next((_LISTS[part] for part in path[2:-1] if part in _LISTS), entry)
