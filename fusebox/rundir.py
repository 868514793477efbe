"""The data folder's small files: who runs where, and the secrets that local processes share.

Each role writes ``run/<role>.json`` when it is ready and removes it when it stops, so agents and the CLI on the same
machine find the ports without any setting. Secrets are 0600 and written atomically.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from pathlib import Path
from typing import Any

from fusebox.config import Config
from fusebox.errors import ConfigError
from fusebox.secrets_file import private_folder


def write_atomic(path: Path, text: str, mode: int = 0o600) -> None:
    """Replace ``path`` by ``text`` so that a reader, or a crash, sees the old or the new file, never half of one."""
    private_folder(path.parent)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(3)}")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(fd, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        sync_dir(path.parent)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
        raise


def sync_dir(path: Path) -> None:
    """Make renames and new names in a folder durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def announce(data_dir: Path, role: str, **info: Any) -> None:
    """Say that ``role`` is ready in this process."""
    write_atomic(data_dir / "run" / f"{role}.json", json.dumps({"pid": os.getpid(), **info}))


def withdraw(data_dir: Path, role: str) -> None:
    """Take this process's announcement back; one that a successor has made meanwhile stays."""
    info = _announced(data_dir, role)
    if info is None or info["pid"] == os.getpid():
        (data_dir / "run" / f"{role}.json").unlink(missing_ok=True)


def lookup(data_dir: Path, role: str) -> dict[str, Any] | None:
    """What ``role`` announced, or None when it does not run (a stale file of a dead process counts as that)."""
    info = _announced(data_dir, role)
    return info if info is not None and _alive(info["pid"]) else None


def _announced(data_dir: Path, role: str) -> dict[str, Any] | None:
    try:
        info = json.loads((data_dir / "run" / f"{role}.json").read_text())
    except (OSError, ValueError):
        return None
    return info if isinstance(info, dict) and isinstance(info.get("pid"), int) else None


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except PermissionError:  # it runs, as somebody else
        return True
    except (OSError, OverflowError):
        return False
    return True


def url_of(config: Config, role: str, setting: str) -> str | None:
    """The address of a role: the setting when given, else what the running role announced."""
    chosen: str | None = getattr(config, setting)
    if chosen:
        return chosen.rstrip("/")
    info = lookup(config.data_dir, role)
    return None if info is None else str(info["url"])


def absent(config: Config, role: str, setting: str) -> str:
    """Why :func:`url_of` knows no address of a role, and what to do about it."""
    folder, variable = config.data_dir, f"FUSEBOX_{setting.upper()}"
    if os.path.exists(folder) and not os.access(folder, os.R_OK | os.X_OK):
        return f"{folder}, which says where {role} runs, is not yours to read; run as its owner or set {variable}"
    return f"{role} is not running; start it with 'fusebox up' or set {variable}"


def dashboard_page(data_dir: Path) -> str | None:
    """Where people reach the dashboard, without a slash at its end; None while it does not run here."""
    info = lookup(data_dir, "dashboard")
    return None if info is None else str(info.get("page") or info["url"])


def secret_of(config: Config, setting: str, file: str) -> str | None:
    """A shared secret: the setting when given, else the file in the data folder, else None.

    Raises:
        ConfigError: the file is there and this user may not read it, or the secret is not one line of ASCII (the text
            never shows it).
    """
    text = config.secret(setting) or _text_of(config.data_dir / file, setting)
    return None if text is None else one_line(text, f"{setting} (FUSEBOX_{setting.upper()} or {file})")


def one_line(secret: str, what: str) -> str:
    """A secret without the blanks around it: it must fit into a header, and no error may quote it.

    Raises:
        ConfigError: it is not one line of ASCII; the text names ``what`` and never shows it.
    """
    text = secret.strip()
    if not (text.isascii() and text.isprintable()):
        raise ConfigError(f"{what} must be one line of ASCII characters")
    return text


def dashboard_token(data_dir: Path) -> str:
    """The token of the reader ``dashboard``, which orders nothing; empty where this folder has none to read."""
    try:
        return (data_dir / "dashboard.token").read_text(errors="replace").strip()
    except OSError:
        return ""


def key_at(path: Path, size: int, loss: str) -> bytes:
    """The secret in a file, of ``size`` bytes; made when there is none.

    Args:
        loss: what comes of making another.

    Raises:
        ConfigError: the file is damaged. An empty key is none: anybody could use it.
    """
    if not path.exists():
        write_atomic(path, secrets.token_hex(size))
    try:
        key = bytes.fromhex(path.read_text(errors="replace").strip())
    except ValueError:
        key = b""
    if len(key) != size:
        raise ConfigError(f"{path} is damaged; bring it back from a backup, or remove it: {loss}")
    return key


def _text_of(path: Path, setting: str) -> str | None:
    try:
        return path.read_text(errors="replace")
    except FileNotFoundError:
        return None
    except PermissionError as error:
        raise ConfigError(f"{path} is not yours to read; run as its owner or set FUSEBOX_{setting.upper()}") from error
