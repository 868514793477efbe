"""Where a process finds what its configuration leaves to be found: keys, shared state, the running *watch*."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path

from fusebox.command import Keyring
from fusebox.config import Config
from fusebox.control import ControlClient
from fusebox.errors import ConfigError
from fusebox.rundir import lookup, secret_of, url_of
from fusebox.secrets_file import identity
from fusebox.store import MEMORY
from fusebox.stream import CommandStream


class KeyList:
    """The list of Command keys, which may be made, and changed, while agents run."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._seen: tuple[int, int, int] | None = None

    def news(self) -> Keyring | None:
        """The keys this process obeys, where it does not know them yet; those it knows outlive their list.

        Raises:
            ConfigError: control is configured but its keys are missing, or the list is unreadable, still.
        """
        path = _key_list(self._config)
        seen = identity(path) if path else None
        if self._seen is not None and seen in (None, self._seen):
            return None
        if path:
            keyring, self._seen = _keyring(path), seen
            return keyring
        if self._config.control_url:
            raise ConfigError("control_url is set but there are no Command keys; set FUSEBOX_COMMAND_KEYS to the list")
        return None


def url_of_store(config: Config) -> str:
    """Where shared state lives: the setting, else the redis that ``fusebox up`` started, else this process."""
    announced = lookup(config.data_dir, "redis")
    return config.secret("redis_url") or (str(announced["url"]) if announced else MEMORY)


def _key_list(config: Config) -> Path | None:
    """The public allow-list of Command keys: the setting, else the one in the data folder, else None."""
    made = config.data_dir / "command_keys.json"
    return config.command_keys or (made if made.exists() else None)


def _keyring(path: Path) -> Keyring:
    try:
        return Keyring.load(path.read_text())
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError(f"command_keys: {path} cannot be read: {error}") from error


def agent_token(config: Config) -> Callable[[], str | None]:
    """A function that reads this process's token anew each time: ``fusebox up`` may write it after agents started."""
    return lambda: secret_of(config, "agent_token", "agent.token")


def context_key(config: Config, shared: bool) -> Callable[[], bytes]:
    """A function that finds the key of workflow contexts; what only this process can see gets a key of this process."""
    own = secrets.token_bytes(32)

    def current() -> bytes:
        """
        Raises:
            ConfigError: other processes share the store and there is no key to share with them.
        """
        key = secret_of(config, "context_key", "context.key")
        if key is None and shared:
            raise ConfigError("workflow contexts need a key: set FUSEBOX_CONTEXT_KEY, or run 'fusebox up' here once")
        return own if key is None else key.encode()

    return current


def control_clients(config: Config) -> Callable[[], ControlClient | None]:
    """A function that finds *watch* anew each time: it may start, stop and move while agents run."""
    token = agent_token(config)

    def current() -> ControlClient | None:
        url = url_of(config, "watch", "control_url")
        return ControlClient(url, token()) if url else None

    return current


def command_stream(config: Config) -> CommandStream | None:
    """The Redis stream of Commands; None where shared state is no Redis (agents ask again: it may start later)."""
    url = url_of_store(config)
    return None if url == MEMORY else CommandStream(url, config.tenant)
