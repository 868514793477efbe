"""First start of a data folder: keys and tokens, and the locks that keep two owners apart.

``prepare`` creates what is absent and never replaces what is there, so every role calls it and the first one wins:
all of it runs under ``flock`` on ``<data_dir>/.setup``.

| file | made of | for |
|---|---|---|
| ``command.key`` | a fresh Ed25519 key, 0600 | *watch* only |
| ``command_keys.json`` | its public half | every process that obeys Commands |
| ``context.key`` | a random secret, 0600 | agents on this machine: it seals workflow contexts |
| ``agent.token``, ``principals.json`` | principal ``local``, may speak for every agent | agents on this machine |
| ``operator.token``, ``operators.json`` | operator ``local`` | the CLI and the dashboard on this machine |
| ``dashboard.token``, ``readers.json`` | reader ``dashboard``, with ``oidc_file`` or in a container | what is shown |

In a container, whoever shares its network reaches the port for statements: it is closed to the nameless from the start.

A token is issued when its list does not exist yet, or when the list names whose it is and the clear text is gone. A
``local`` that somebody removed stays removed.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import Final

from collector.readers import Reader, Readers
from collector.tokens import Tokens
from fusebox.command import Signer, allow_list
from fusebox.config import Config
from fusebox.errors import ConfigError, DataDirInUse
from fusebox.rundir import write_atomic
from fusebox.secrets_file import private_folder

LOCAL: Final = "local"
DASHBOARD: Final = "dashboard"
_PUBLIC: Final = 0o644
_PAGE: Final = 4096
_DYING_S: Final = 2.0
_POLL_S: Final = 0.02


def prepare(config: Config) -> None:
    """Make the data folder ready for any role. Idempotent; safe while other roles do the same.

    Raises:
        ConfigError: the folder or a file in it cannot be made or read; the text names it.
    """
    folder = config.data_dir
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with _exclusive(folder / ".setup"):
            _has_room(folder)
            _keys(folder)
            _context_key(folder / "context.key")
            _token(Tokens(folder / "principals.json"), folder / "principals.json", folder / "agent.token")
            _token(Tokens(folder / "operators.json"), folder / "operators.json", folder / "operator.token")
            if config.oidc_file or config.behind_loopback_publish:
                _reader(Readers(folder), folder / "readers.json", folder / f"{DASHBOARD}.token")
    except OSError as error:
        raise ConfigError(
            f"data_dir {folder}: {error}; make room, or choose a folder this user may write (FUSEBOX_DATA_DIR)"
        ) from error


def load_signer(config: Config) -> Signer:
    """The private command key of this installation.

    Raises:
        ConfigError: the file is missing or damaged.
    """
    path = config.data_dir / "command.key"
    try:
        return Signer.load(path.read_text())
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError(f"{path} cannot be read ({error!r}); restore it, or remove it to create a new key") from error


@contextmanager
def owned(path: Path, role: str) -> Iterator[None]:
    """Hold ``path`` as the only ``role`` of this data folder; the lock ends with the process, however it ends.

    Raises:
        DataDirInUse: another process holds it.
    """
    private_folder(path.parent)
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _claim(fd, path, role)
        yield
    finally:
        os.close(fd)


def _claim(fd: int, path: Path, role: str) -> None:
    deadline = time.monotonic() + _DYING_S
    while not _locked(fd):
        owner = os.pread(fd, 32, 0).decode(errors="replace").strip() or "unknown"
        if time.monotonic() > deadline or not _is_dead(owner):
            raise DataDirInUse(
                f"{role} already runs on {path.parent} (process {owner}); stop it, or choose another FUSEBOX_DATA_DIR"
            )
        time.sleep(_POLL_S)
    os.ftruncate(fd, 0)
    os.pwrite(fd, str(os.getpid()).encode(), 0)


def _locked(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_dead(owner: str) -> bool:
    """True when that process is gone, or about to be: a killed one can hold its files a moment longer than its pid."""
    try:
        os.kill(int(owner), 0)
    except (ValueError, PermissionError):
        return False
    except OSError:
        return True
    return False


@contextmanager
def _exclusive(path: Path) -> Iterator[None]:
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def _has_room(folder: Path) -> None:
    """A role on a full disk would end without a word: its log is on the same."""
    with TemporaryFile(dir=folder) as file:
        file.write(bytes(_PAGE))


def _keys(folder: Path) -> None:
    private, public = folder / "command.key", folder / "command_keys.json"
    if not private.exists():
        write_atomic(private, Signer.generate().dump())
        public.unlink(missing_ok=True)
    if not public.exists():
        write_atomic(public, allow_list(Signer.load(private.read_text())), _PUBLIC)


def _context_key(path: Path) -> None:
    if not path.exists():
        write_atomic(path, secrets.token_hex(32) + "\n")


def _token(tokens: Tokens, registry: Path, clear: Path) -> None:
    lost = not clear.exists() and LOCAL in tokens.names()
    if registry.exists() and not lost:
        return
    if LOCAL in tokens.names():
        tokens.remove(LOCAL)
    write_atomic(clear, tokens.add(LOCAL) + "\n")


def _reader(readers: Readers, registry: Path, clear: Path) -> None:
    if not (registry.exists() and clear.exists()):
        readers.remove(DASHBOARD)
        write_atomic(clear, readers.add(Reader(DASHBOARD)) + "\n")
