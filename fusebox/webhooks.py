"""Standard Webhooks, symmetric version ``v1``: sign what is sent, verify what is received.

Headers: ``webhook-id`` (the same on every retry: the receiver's idempotency key), ``webhook-timestamp`` (Unix seconds
of the attempt) and ``webhook-signature`` (``v1,<base64>``, several separated by a space while keys rotate). The
HMAC-SHA256 covers ``<id>.<timestamp>.<raw body>``; its key is what the base64 after ``whsec_`` decodes to.

>>> secret = "whsec_" + "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
>>> sent = signed_headers(secret, "alert_1", 1_760_000_000, b"{}")
>>> verify([secret], sent, b"{}", now=1_760_000_010)
'alert_1'
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import secrets as _secrets
from collections.abc import Iterable, Mapping
from typing import Final

from fusebox.errors import ConfigError, Permanent

ID: Final = "webhook-id"
TIMESTAMP: Final = "webhook-timestamp"
SIGNATURE: Final = "webhook-signature"
TOLERANCE_S: Final = 300.0

_PREFIX: Final = "whsec_"
_KEY_BYTES: Final = range(24, 65)
_MAX_SIGNATURES: Final = 8
_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,128}")
_TIME: Final = re.compile(r"[0-9]{1,12}")
_ENTRY: Final = re.compile(r"v1,[A-Za-z0-9+/]{43}=")


class BadWebhook(Permanent):
    """A webhook that must not be believed: answer 401 and nothing else."""


def new_secret() -> str:
    """A fresh ``whsec_…`` secret of 32 random bytes."""
    return _PREFIX + base64.b64encode(_secrets.token_bytes(32)).decode()


def key_of(secret: str) -> bytes:
    """The HMAC key inside a ``whsec_…`` secret.

    Raises:
        ConfigError: the text is not a secret of 24 to 64 bytes.
    """
    try:
        key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not secret.startswith(_PREFIX) or len(key) not in _KEY_BYTES:
        raise ConfigError("a webhook secret is whsec_ and the base64 of 24 to 64 random bytes")
    return key


def sign(secret: str, id: str, timestamp: int, body: bytes) -> str:
    """The ``webhook-signature`` of one attempt at ``timestamp`` (Unix seconds).

    Raises:
        ConfigError: the secret is none.
        ValueError: ``id`` holds anything but letters, digits, ``_`` and ``-``.
    """
    if not _ID.fullmatch(id):
        raise ValueError(f"webhook id {id!r} must match {_ID.pattern}")
    mac = hmac.new(key_of(secret), f"{id}.{timestamp}.".encode() + body, hashlib.sha256)
    return f"v1,{base64.b64encode(mac.digest()).decode()}"


def signed_headers(secret: str, id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The three headers of one attempt."""
    return {ID: id, TIMESTAMP: str(timestamp), SIGNATURE: sign(secret, id, timestamp, body)}


def verify(
    secrets: Iterable[str], headers: Mapping[str, str], body: bytes, *, now: float, tolerance: float = TOLERANCE_S
) -> str:
    """Check a received webhook against any of ``secrets`` at time ``now`` (unscaled Unix seconds).

    Returns:
        The webhook id. Remember it for at least twice the tolerance: a repeated one is a retry or a replay.

    Raises:
        BadWebhook: a header is missing or malformed, no signature fits, or the timestamp is out of tolerance in
            either direction. Nothing else is ever raised for what a stranger sent.
        ConfigError: one of ``secrets`` is none.
    """
    given = {name.lower(): value for name, value in headers.items()}
    id, timestamp = _match(given, ID, _ID), int(_match(given, TIMESTAMP, _TIME))
    signatures = given.get(SIGNATURE, "").split(" ")
    if not 0 < len(signatures) <= _MAX_SIGNATURES:
        raise BadWebhook(f"{SIGNATURE} must hold 1 to {_MAX_SIGNATURES} signatures")
    candidates = [s.encode() for s in signatures if _ENTRY.fullmatch(s)]
    expected = [sign(secret, id, timestamp, body).encode() for secret in secrets]
    # No early exit: the time taken says nothing about which pair fits.
    if not sum(hmac.compare_digest(a, b) for a in candidates for b in expected):
        raise BadWebhook("no signature fits the body")
    if abs(now - timestamp) > tolerance:
        raise BadWebhook(f"{TIMESTAMP} is more than {tolerance:.0f} s away from this machine's clock")
    return id


def _match(headers: Mapping[str, str], name: str, pattern: re.Pattern[str]) -> str:
    value = headers.get(name, "")
    if not pattern.fullmatch(value):
        raise BadWebhook(f"{name} is missing or malformed")
    return value
