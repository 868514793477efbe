"""Settings of the demonstration: an installation of its own, untouched by the user's files and variables."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import Any, Final

from pydantic import SecretStr

from examples.pager import Pager
from fusebox.config import CONFIG_ENV, PREFIX, Config
from fusebox.errors import ConfigError

_PORTS: Final = (
    "http_port", "grpc_port", "control_port", "sql_port", "dashboard_port", "dashboard_metrics_port",
    "redis_metrics_port", "gateway_port",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line asks for."""

    seed: int = 7
    unprotected: bool = False
    """Only the twin without protection."""
    exit: bool = False
    json: bool = False
    dashboard: bool = True
    data_dir: Path | None = None
    keep_data: bool = False
    inventory_url: str = ""
    """A PostgreSQL for the inventory; empty for a SQLite file."""

    @property
    def interactive(self) -> bool:
        """True when somebody sits at the terminal and may be asked."""
        return not self.exit and not self.json and os.isatty(0) and os.isatty(1)


@dataclass(frozen=True, slots=True)
class Settings:
    """The same settings twice: for this process, and as variables for its children."""

    config: Config
    environment: dict[str, str]


def settings(folder: Path, registry: Path, pager: Pager, amqp_url: str | None, **more: Any) -> Settings:
    """Free ports, the demonstration's own agents, prompts captured, alerts to ``pager``; and ``more`` settings."""
    values: dict[str, Any] = {
        "data_dir": folder,
        "agents_file": registry,
        "capture_content": True,
        "gateway_file": folder / "gateway.toml",
        "alert_webhook_url": SecretStr(pager.url),
        "alert_webhook_secret": SecretStr(pager.secret),
        "alert_webhook_private": True,
        **dict.fromkeys(_PORTS, 0),
        **more,
    }
    if amqp_url:
        values["amqp_url"] = SecretStr(amqp_url)
    return Settings(Config.model_construct(**values), _environment(folder, values))


def _environment(folder: Path, values: dict[str, Any]) -> dict[str, str]:
    """Every setting of Fusebox as a variable; empty ones hide what the user's shell may hold."""
    own = folder / "fusebox.toml"
    own.touch()
    variables = {_name(key): "" for key in Config.model_fields} | {CONFIG_ENV: str(own)}
    return variables | {_name(key): _text(value) for key, value in values.items()}


def _name(key: str) -> str:
    return PREFIX + key.upper()


def _text(value: Any) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)


@contextmanager
def data_folder(options: Options) -> Iterator[Path]:
    """The folder the user names, or a temporary one that goes when the demonstration ends.

    Raises:
        ConfigError: the named folder holds something already.
    """
    if options.data_dir is None:
        folder = Path(mkdtemp(prefix="fusebox-demo-"))
    else:
        folder = options.data_dir.absolute()
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if any(folder.iterdir()):
            raise ConfigError(f"--data-dir {folder} is not empty; name an empty or a new folder")
    try:
        yield folder
    finally:
        if options.data_dir is None and not options.keep_data:
            rmtree(folder, ignore_errors=True)


@contextmanager
def registry_file() -> Iterator[Path]:
    """The demonstration's ``agents.toml`` as a file, wherever the package is installed."""
    with as_file(files(__package__).joinpath("agents.toml")) as path:
        yield path
