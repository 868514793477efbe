"""Anchors: where checkpoints go so that whoever holds this machine cannot take them back.

A file that only grows (best on another host's disk, or of another user), a webhook to a second host, a git
repository. Each has a thread. One that does not work is tried again, and only with the newest checkpoint of a chain:
that vouches for all before it.
"""

from __future__ import annotations

import http.client
import logging
import os
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from collector.audit.checkpoint import Checkpoint
from fusebox import happenings
from fusebox.config import Config
from fusebox.errors import ConfigError
from fusebox.http_address import connection_to, target_of, web_address
from fusebox.rundir import write_atomic
from fusebox.tls import advised
from fusebox.webhooks import key_of, signed_headers

_PAUSE_S: Final = 5.0
_TIMEOUT_S: Final = 10.0
_STOP_S: Final = 2.0

FAILED: Final = happenings.declare(
    "anchor_failed", logging.ERROR, "a checkpoint could not be anchored; the newest one is tried again"
)


class AnchorFailed(Exception):
    """Not now."""


Put = Callable[[Checkpoint], None]
"""Anchors one checkpoint; raises OSError, HTTPException, SubprocessError or AnchorFailed when it did not."""


class Anchor:
    """One place, with its thread."""

    def __init__(self, name: str, put: Put) -> None:
        self.name, self._put = name, put
        self._newest: Checkpoint | None = None
        self._lock, self._wake, self._stopping = threading.Lock(), threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"anchor-{name}", daemon=True)

    def offer(self, checkpoint: Checkpoint) -> None:
        """Anchor this one, soon. Never waits."""
        with self._lock:
            self._newest = checkpoint
            if self._thread.ident is None:
                self._thread.start()
        self._wake.set()

    def stop(self) -> None:
        """Try once more what waits; two seconds at most."""
        self._stopping.set()
        self._wake.set()
        if self._thread.ident is not None:
            self._thread.join(_STOP_S)

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._wake.wait()
            self._wake.clear()
            while not self._step() and not self._stopping.wait(_PAUSE_S):
                pass
        self._step()

    def _step(self) -> bool:
        with self._lock:
            checkpoint, self._newest = self._newest, None
        if checkpoint is None:
            return True
        try:
            self._put(checkpoint)
        except (OSError, http.client.HTTPException, subprocess.SubprocessError, AnchorFailed) as error:
            happenings.emit(FAILED, anchor=self.name, error=advised(str(error)[:500]))
            with self._lock:
                self._newest = self._newest or checkpoint
            return False
        return True


def into_file(path: Path) -> Put:
    """Appends each checkpoint as a line, durably and whole: half a line would spoil the next one, too."""

    def put(checkpoint: Checkpoint) -> None:
        line = checkpoint.line + b"\n"
        fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            before = os.fstat(fd).st_size
            if os.write(fd, line) < len(line):
                os.ftruncate(fd, before)
                raise AnchorFailed(f"{path} takes no whole line; its disk is full")
            os.fsync(fd)
        finally:
            os.close(fd)

    return put


def to_webhook(url: str, secret: str) -> Put:
    """Posts each checkpoint, signed as :mod:`fusebox.webhooks` says; 2xx is anchored.

    Raises:
        ConfigError: the address or the secret is none.
    """
    parts = web_address(url)
    if parts is None:
        raise ConfigError("audit_anchor_url is not an http(s) address without a user, spelled in ASCII (xn--…, %20)")
    key_of(secret)

    def put(checkpoint: Checkpoint) -> None:
        connection = connection_to(parts, _TIMEOUT_S)
        name = f"checkpoint-{checkpoint.writer}-{checkpoint.size}"
        headers = signed_headers(secret, name, int(time.time()), checkpoint.line)
        try:
            headers["content-type"] = "application/json"
            connection.request("POST", target_of(parts), checkpoint.line, headers)
            answer = connection.getresponse()
            if not 200 <= answer.status < 300:
                raise AnchorFailed(f"{parts.hostname} answered {answer.status}")
        finally:
            connection.close()

    return put


def into_git(repository: Path) -> Put:
    """Commits the newest checkpoint of each chain as ``<writer>.checkpoint``; pushes when the branch has an upstream.

    Raises:
        ConfigError: there is no repository.
    """

    def git(*words: str) -> subprocess.CompletedProcess[str]:
        command = ["git", "-C", str(repository), *words]
        return subprocess.run(command, check=False, capture_output=True, text=True, timeout=_TIMEOUT_S)

    if git("rev-parse", "--git-dir").returncode:
        raise ConfigError(f"audit_anchor_git = {repository} is no git repository; 'git init {repository}' makes one")

    def must(*words: str) -> None:
        done = git(*words)
        if done.returncode:
            raise AnchorFailed(f"git {words[0]}: {done.stderr.strip()}")

    def put(checkpoint: Checkpoint) -> None:
        name = f"{checkpoint.writer}.checkpoint"
        write_atomic(repository / name, checkpoint.line.decode() + "\n")
        must("add", name)
        if git("diff", "--cached", "--quiet", "--", name).returncode:
            must("-c", "user.name=fusebox", "-c", "user.email=fusebox@localhost",
                 "commit", "--quiet", "-m", f"{checkpoint.writer}: {checkpoint.size} entries", "--", name)  # fmt: skip
        if git("rev-parse", "--abbrev-ref", "@{upstream}").returncode == 0:
            must("push", "--quiet")

    return put


def anchors_of(config: Config) -> list[Anchor]:
    """What ``config`` names.

    Raises:
        ConfigError: one of them is not usable.
    """
    found = []
    if config.audit_anchor_file:
        found.append(Anchor("file", into_file(config.audit_anchor_file)))
    if url := config.secret("audit_anchor_url"):
        secret = config.secret("audit_anchor_secret")
        if not secret:
            raise ConfigError("audit_anchor_url needs audit_anchor_secret, a whsec_… secret that signs checkpoints")
        found.append(Anchor("webhook", to_webhook(url, secret)))
    if config.audit_anchor_git:
        found.append(Anchor("git", into_git(config.audit_anchor_git)))
    return found
