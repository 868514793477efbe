"""Rows: approvals as they lie in the state store, one hash for each at ``fusebox:<tenant>:approval:<id>``.

::

    version   a whole number, from 1
    approval  JSON of :class:`governance.approvals.approval.Approval`
    seal      HMAC-SHA256, in hex, of "<key of the hash>\\n<version>\\n<approval>"

A row is written by one atomic compare-and-set: only where the version before is what is there. The seal's key is
*watch*'s alone, so who can write to the store can lose a row, or put back an earlier one, and make none.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Final

from fusebox.errors import Permanent
from fusebox.store import Script, Store
from governance.approvals.approval import Approval


class Forged(Permanent):
    """A row that was not written here."""


def _write(row: dict[str, str], args: tuple[str, ...]) -> int:
    seen, version, approval, seal = args
    if row.get("version", "0") != seen:
        return 0
    row.update(version=version, approval=approval, seal=seal)
    return 1


_WRITE: Final = Script(
    """
    if (redis.call('HGET', KEYS[1], 'version') or '0') ~= ARGV[1] then return 0 end
    redis.call('HSET', KEYS[1], 'version', ARGV[2], 'approval', ARGV[3], 'seal', ARGV[4])
    return 1
    """,
    _write,
)


class Rows:
    """The rows of one tenant.

    Args:
        key: seals them.

    Every method raises :class:`fusebox.errors.StoreUnavailable` when the store does not answer.
    """

    def __init__(self, store: Store, tenant: str, key: bytes) -> None:
        self._store, self._key, self._prefix = store, key, f"fusebox:{tenant}:approval:"

    def read(self, id: str) -> Approval | None:
        """The approval, or None when there is no row.

        Raises:
            Forged: there is one that was not written here.
        """
        place = self._prefix + id
        row = self._store.read(place)
        if not row:
            return None
        version, text, seal = (row.get(name, "") for name in ("version", "approval", "seal"))
        if not hmac.compare_digest(self._seal(place, version, text).encode(), seal.encode("utf-8", "replace")):
            raise Forged(f"{id} is not what was written")
        try:
            return Approval.of(json.loads(text))
        except (KeyError, TypeError, ValueError) as error:
            raise Forged(f"{id} is of another version: {error!r}") from error

    def write(self, approval: Approval, ttl: int) -> bool:
        """Write it for ``ttl`` seconds; False when another version than the one before it is there."""
        place, version = self._prefix + approval.id, str(approval.version)
        text = json.dumps(approval.json(), separators=(",", ":"))
        args = (str(approval.version - 1), version, text, self._seal(place, version, text))
        return bool(self._store.run(_WRITE, place, *args, ttl=ttl))

    def _seal(self, place: str, version: str, text: str) -> str:
        sealed = f"{place}\n{version}\n{text}".encode("utf-8", "replace")
        return hmac.new(self._key, sealed, hashlib.sha256).hexdigest()
