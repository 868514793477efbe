"""What a role was configured with: written down at its start, so that *watch* can journal what changed.

``<data_dir>/configured/<role>.json`` is ``{"user", "values": {name: text}}``. ``values`` are the settings that are not
the default, and the files behind them (registry, rules, prices, alerts) as dotted names; their :func:`digest` is the
SHA-256 of their canonical JSON. A secret is never among them: of an address the password is left out, of a secret web
address the path, too (it may be the secret), of a service's address all but its kind, and of any other secret it is
said that it is set.
"""

from __future__ import annotations

import hashlib
import json
import os
import pwd
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from pydantic import SecretStr

from fusebox.command import canonical
from fusebox.config import Config
from fusebox.rundir import write_atomic
from fusebox.version import __version__

FOLDER: Final = "configured"
_FILES: Final = {"agents_file": "agents", "rules_file": "rules", "prices_file": "prices", "alerts_file": "alerts"}
_SECRET: Final = re.compile(r"\.(secret|password|token|keys?|url)$")
"""How the name of a value in a file ends that may be one: a chat's address is its key."""
_ADDRESSES: Final = frozenset({"amqp", "amqps", "redis", "rediss", "unix", "http", "https"})
"""What is a secret address of another kind (``slack://token``) may have its secret where these have their host."""
_SET: Final = "set"
_MASK: Final = "***"


def declare(config: Config, role: str) -> None:
    """Write down what ``role`` starts with, replacing what it started with before."""
    values = dict(sorted(_values(config)))
    write_atomic(config.data_dir / FOLDER / f"{role}.json", json.dumps({"user": user(), "values": values}))


def digest(values: Mapping[str, str]) -> str:
    """The hash that stands for ``values``."""
    return hashlib.sha256(canonical(dict(values))).hexdigest()


def user() -> str:
    """Who runs this process, as the operating system says; the environment could say anything."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container's user may have no name
        return f"uid{os.getuid()}"


def _values(config: Config) -> Iterator[tuple[str, str]]:
    yield "version", __version__
    for name, field in type(config).model_fields.items():
        value = getattr(config, name)
        if value != field.default:
            yield f"settings.{name}", _masked(value)
        if name in _FILES and isinstance(value, Path):
            yield from ((leaf, _shown(leaf, text)) for leaf, text in _leaves(_FILES[name], _read(value)))


def _shown(name: str, text: str) -> str:
    """A value of a file; ``env:NAME`` only says where the secret is."""
    return _masked(SecretStr(text)) if _SECRET.search(name) and not text.startswith("env:") else text


def _masked(value: object) -> str:
    """A setting as text without what is secret in it."""
    secret = isinstance(value, SecretStr)
    text = value.get_secret_value() if isinstance(value, SecretStr) else str(value)
    if "://" not in text:
        return _SET if secret else text
    try:
        parts = urlsplit(text)
        where = f"{parts.hostname or ''}:{parts.port}" if parts.port else parts.hostname or ""
    except ValueError:
        return _SET
    who = f"{parts.username or ''}:{_MASK}@" if parts.password else f"{parts.username}@" if parts.username else ""
    if secret and parts.scheme not in _ADDRESSES:
        return f"{parts.scheme}://{_MASK}"
    path = "" if secret and parts.scheme in ("http", "https") else parts.path
    return f"{parts.scheme}://{who}{where}{path}"


def _read(path: Path) -> dict[str, Any]:
    """A file's tables; what cannot be read stops the role that needs it, with a better sentence than ours."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def _leaves(name: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key in value:
            yield from _leaves(f"{name}.{key}", value[key])
    elif isinstance(value, list) and any(isinstance(each, dict) for each in value):
        for number, each in enumerate(value):
            yield from _leaves(f"{name}.{number}", each)
    else:
        yield name, value if isinstance(value, str) else json.dumps(value, default=str)
