"""Keys by which answers to approvals are signed, each that of one person (or of one program in a person's name).

The file (``approvers.json``, mode 0600, replaced atomically) is JSON: ``{"<name>": "<key>"}``. A key is ``whpk_…`` (the
public half of an Ed25519 pair; the private one stays with who signs) or ``whsec_…`` (HMAC: both sides hold it). Readers
notice a changed file at the next webhook; a file that cannot be read lets nobody answer.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from fusebox import happenings
from fusebox.errors import ConfigError
from fusebox.registry import AGENT_ID
from fusebox.rundir import write_atomic
from fusebox.secrets_file import identity, locked
from fusebox.webhooks import BadWebhook, verify

FILE: Final = "approvers.json"

UNREADABLE: Final = happenings.declare(
    "approvers_unreadable",
    logging.ERROR,
    "the file of approvers' keys is damaged; no webhook is believed until it is mended",
)


class Approvers:
    """One file of keys; safe for several threads and several processes."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        self._seen: tuple[int, int, int] | None = None
        self._keys: dict[str, str] = {}

    def add(self, name: str, key: str) -> None:
        """From now on, what this key signs is the word of ``name``.

        Raises:
            ConfigError: the name is no id or has a key already, or the key is none that verifies.
        """
        if not AGENT_ID.fullmatch(name):
            raise ConfigError(f"{name!r} is no valid name; it must match {AGENT_ID.pattern}")
        _require_key(key)
        with locked(self._path):
            keys = self._read()
            if name in keys:
                raise ConfigError(f"{name!r} has a key already; remove it first to replace it")
            write_atomic(self._path, json.dumps({**keys, name: key}, indent=2))

    def remove(self, name: str) -> bool:
        """Believe this person's key no longer; False when there is none.

        Raises:
            ConfigError: the file is damaged.
        """
        with locked(self._path):
            keys = self._read()
            found = keys.pop(name, None) is not None
            write_atomic(self._path, json.dumps(keys, indent=2))
            return found

    def names(self) -> tuple[str, ...]:
        """Everyone who has a key.

        Raises:
            ConfigError: the file is damaged.
        """
        return tuple(sorted(self._read()))

    def signer(self, headers: Mapping[str, str], body: bytes, now: float) -> tuple[str, str]:
        """Whose word a webhook is, and its id.

        Raises:
            BadWebhook: nobody's, or of the wrong time, or malformed.
        """
        self._refresh()
        found = [(name, id) for name, key in self._keys.items() if (id := _verified(key, headers, body, now))]
        if len(found) != 1:
            raise BadWebhook("no signature of an approver")
        return found[0]

    def _refresh(self) -> None:
        seen = identity(self._path)
        if seen == self._seen:
            return
        try:
            self._keys = self._read()
        except ConfigError as error:
            happenings.emit(UNREADABLE, error=str(error))
            self._keys = {}
        self._seen = seen

    def _read(self) -> dict[str, str]:
        try:
            keys = {str(name): str(key) for name, key in json.loads(self._path.read_text()).items()}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, AttributeError) as error:
            raise ConfigError(f"{self._path} is no file of keys ({error!r}); restore it or delete it") from error
        for key in keys.values():
            _require_key(key)
        return keys


def _verified(key: str, headers: Mapping[str, str], body: bytes, now: float) -> str:
    try:
        return verify([key], headers, body, now=now)
    except BadWebhook:
        return ""


def _require_key(key: str) -> None:
    try:
        verify([key], _SHAPED, b"", now=0)
    except BadWebhook:
        return


_SHAPED: Final = {"webhook-id": "id", "webhook-timestamp": "0", "webhook-signature": f"v1,{'A' * 43}="}
"""What any key can be tried on."""
