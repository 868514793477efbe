"""Standard Webhooks: sign what is sent, verify what is received.

Headers: ``webhook-id`` (the same on every retry: the receiver's idempotency key), ``webhook-timestamp`` (Unix seconds
of the attempt) and ``webhook-signature`` (``<version>,<base64>``, several separated by a space while keys rotate).
Every signature covers ``<id>.<timestamp>.<raw body>``.

=======  ===========  =================================================================================================
version  algorithm    keys, each a prefix and base64
=======  ===========  =================================================================================================
``v1``   HMAC-SHA256  ``whsec_``: 24 to 64 random bytes that both sides know
``v1a``  Ed25519      ``whsk_``: the private key (32 bytes of seed, then the 32 of the public key), for who sends;
                      ``whpk_``: the public key, for who receives
=======  ===========  =================================================================================================

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

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from fusebox.errors import ConfigError, Permanent

ID: Final = "webhook-id"
TIMESTAMP: Final = "webhook-timestamp"
SIGNATURE: Final = "webhook-signature"
TOLERANCE_S: Final = 300.0

_PREFIX: Final = "whsec_"
_PRIVATE: Final = "whsk_"
_PUBLIC: Final = "whpk_"
_KEY_BYTES: Final = range(24, 65)
_SEED: Final = 32
_MAX_SIGNATURES: Final = 8
_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,128}")
_TIME: Final = re.compile(r"[0-9]{1,12}")
_ENTRY: Final = re.compile(r"v1,[A-Za-z0-9+/]{43}=|v1a,[A-Za-z0-9+/]{86}==")


class BadWebhook(Permanent):
    """A webhook that must not be believed: answer 401 and nothing else."""


def new_secret() -> str:
    """A fresh ``whsec_…`` secret of 32 random bytes."""
    return _PREFIX + base64.b64encode(_secrets.token_bytes(32)).decode()


def new_key_pair() -> tuple[str, str]:
    """A fresh Ed25519 pair: the private ``whsk_…`` and the public ``whpk_…``."""
    private = Ed25519PrivateKey.generate()
    public = private.public_key().public_bytes_raw()
    return _text(_PRIVATE, private.private_bytes_raw() + public), _text(_PUBLIC, public)


def public_of(private: str) -> str:
    """The ``whpk_…`` that belongs to a ``whsk_…``.

    Raises:
        ConfigError: the text is no private key.
    """
    return _text(_PUBLIC, _private_key(private).public_key().public_bytes_raw())


def key_of(secret: str) -> bytes:
    """The HMAC key inside a ``whsec_…`` secret.

    Raises:
        ConfigError: the text is not a secret of 24 to 64 bytes.
    """
    key = _decoded(_PREFIX, secret)
    if len(key) not in _KEY_BYTES:
        raise ConfigError("a webhook secret is whsec_ and the base64 of 24 to 64 random bytes")
    return key


def require_signing_key(key: str) -> None:
    """Refuse what :func:`sign` cannot sign with.

    Raises:
        ConfigError: it is neither a ``whsec_…`` nor a ``whsk_…``.
    """
    sign(key, "id", 0, b"")


def sign(key: str, id: str, timestamp: int, body: bytes) -> str:
    """One entry of ``webhook-signature``, of one attempt at ``timestamp`` (Unix seconds).

    Args:
        key: ``whsec_…`` signs with HMAC-SHA256 (``v1``), ``whsk_…`` with Ed25519 (``v1a``).

    Raises:
        ConfigError: the key is none.
        ValueError: ``id`` holds anything but letters, digits, ``_`` and ``-``.
    """
    if not _ID.fullmatch(id):
        raise ValueError(f"webhook id {id!r} must match {_ID.pattern}")
    text = _signed_text(id, timestamp, body)
    if key.startswith(_PRIVATE):
        return _text("v1a,", _private_key(key).sign(text))
    return _text("v1,", hmac.new(key_of(key), text, hashlib.sha256).digest())


def signed_headers(keys: str | Iterable[str], id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The three headers of one attempt, signed with one key, or with each of several while they rotate."""
    signatures = [sign(key, id, timestamp, body) for key in ([keys] if isinstance(keys, str) else keys)]
    return {ID: id, TIMESTAMP: str(timestamp), SIGNATURE: " ".join(signatures)}


def verify(
    keys: Iterable[str], headers: Mapping[str, str], body: bytes, *, now: float, tolerance: float = TOLERANCE_S
) -> str:
    """Check a received webhook against any of ``keys`` (``whsec_…``, ``whpk_…``) at time ``now`` (unscaled seconds).

    Returns:
        The webhook id. Remember it for at least twice the tolerance: a repeated one is a retry or a replay.

    Raises:
        BadWebhook: a header is missing or malformed, no signature fits, or the timestamp is out of tolerance in
            either direction. Nothing else is ever raised for what a stranger sent.
        ConfigError: one of ``keys`` is none.
    """
    given = {name.lower(): value for name, value in headers.items()}
    id, timestamp = _match(given, ID, _ID), int(_match(given, TIMESTAMP, _TIME))
    signatures = given.get(SIGNATURE, "").split(" ")
    if not 0 < len(signatures) <= _MAX_SIGNATURES:
        raise BadWebhook(f"{SIGNATURE} must hold 1 to {_MAX_SIGNATURES} signatures")
    known, candidates = list(keys), [s for s in signatures if _ENTRY.fullmatch(s)]
    text = _signed_text(id, timestamp, body)
    # No early exit: the time taken says nothing about which pair fits.
    if not sum([_fits(key, candidate, text) for candidate in candidates for key in known]):
        raise BadWebhook("no signature fits the body")
    if abs(now - timestamp) > tolerance:
        raise BadWebhook(f"{TIMESTAMP} is more than {tolerance:.0f} s away from this machine's clock")
    return id


def _match(headers: Mapping[str, str], name: str, pattern: re.Pattern[str]) -> str:
    value = headers.get(name, "")
    if not pattern.fullmatch(value):
        raise BadWebhook(f"{name} is missing or malformed")
    return value


def _fits(key: str, entry: str, text: bytes) -> bool:
    version, _, signature = entry.partition(",")
    raw = base64.b64decode(signature)
    if not key.startswith(_PUBLIC):
        expected = hmac.new(key_of(key), text, hashlib.sha256).digest()
        return version == "v1" and hmac.compare_digest(raw, expected)
    try:
        _public_key(key).verify(raw, text)
    except InvalidSignature:
        return False
    return version == "v1a"


def _signed_text(id: str, timestamp: int, body: bytes) -> bytes:
    return f"{id}.{timestamp}.".encode() + body


def _private_key(key: str) -> Ed25519PrivateKey:
    raw = _decoded(_PRIVATE, key)
    if len(raw) in (_SEED, 2 * _SEED):
        private = Ed25519PrivateKey.from_private_bytes(raw[:_SEED])
        if raw[_SEED:] in (b"", private.public_key().public_bytes_raw()):
            return private
    raise ConfigError("a private webhook key is whsk_ and the base64 of 32 bytes of seed and 32 of the public key")


def _public_key(key: str) -> Ed25519PublicKey:
    raw = _decoded(_PUBLIC, key)
    if len(raw) != _SEED:
        raise ConfigError("a public webhook key is whpk_ and the base64 of 32 bytes")
    return Ed25519PublicKey.from_public_bytes(raw)


def _text(prefix: str, raw: bytes) -> str:
    return prefix + base64.b64encode(raw).decode()


def _decoded(prefix: str, text: str) -> bytes:
    """What follows the prefix; nothing when it is not there or is no base64."""
    try:
        return base64.b64decode(text.removeprefix(prefix), validate=True) if text.startswith(prefix) else b""
    except (binascii.Error, ValueError):
        return b""
