"""Seal: what stands in the store is believed only when it carries a MAC over where it stands and what it says.

::

    sealed   <number> <mac> <json>
    mac      HMAC-SHA256 (RFC 2104) of the JSON array [tenant, workflow, number, json], 64 hex digits
"""

from __future__ import annotations

import hashlib
import hmac
import json


def seal(key: bytes, tenant: str, workflow: str, number: int, text: str) -> str:
    """``text`` as entry ``number`` of a workflow."""
    return f"{number} {_mac(key, tenant, workflow, number, text)} {text}"


def unseal(key: bytes, tenant: str, workflow: str, sealed: str) -> tuple[int, str] | None:
    """Number and text; None when nobody with the key put them there."""
    number, mac, text = (*sealed.split(" ", 2), "", "")[:3]
    if not (number.isascii() and number.isdigit() and len(number) <= 15):
        return None
    expected = _mac(key, tenant, workflow, int(number), text)
    return (int(number), text) if hmac.compare_digest(mac.encode(), expected.encode()) else None


def _mac(key: bytes, tenant: str, workflow: str, number: int, text: str) -> str:
    said = json.dumps([tenant, workflow, number, text]).encode()
    return hmac.new(key, said, hashlib.sha256).hexdigest()
