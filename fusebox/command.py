"""Commands: signed bytes that order a trip, kill, resume, reset or set_mode.

Format (ASCII, one line)::

    fusebox1.<key id>.<base64url payload>.<base64url Ed25519 signature>

The payload is canonical JSON (sorted keys, no white space, UTF-8). The signature covers ``fusebox1.<key id>.`` and
the payload *as sent*: it is checked before anything of the payload is parsed. The algorithm is fixed; there is no
field that could downgrade it.

Which bytes arrive, in which order and over which carrier does not matter: KILL is a join (see
:mod:`breakers.latch`), everything else is only obeyed within ±300 s of its issue, by :meth:`Clock.wall`.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import secrets
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from fusebox.errors import BadCommand, StaleCommand

_PREFIX = "fusebox1"
_MAX_BYTES = 65_536
MAX_SNAPSHOT = 8 << 20
"""Bytes of a signed snapshot of the board, which tells of each agent of a process: of 4,096 at most."""
WINDOW_S = 300.0
ALL = "all"
KINDS = ("agent", "tenant", "workflow", "tool")
MAX_NAME = 128


class Order(StrEnum):
    """What a Command orders."""

    KILL = "kill"
    RESUME = "resume"
    TRIP = "trip"
    RESET = "reset"
    SET_MODE = "set_mode"


@dataclass(frozen=True, slots=True)
class Command:
    """The content of a Command.

    ``scope`` is ``agent:<id>`` or ``all``; of a KILL and its RESUME also ``tenant:<name>``, ``workflow:<id>`` or
    ``tool:<name>``. A KILL's ``id`` is the kill id; a RESUME lists in ``lifts`` the kill ids
    that it lifts. ``mode`` belongs to SET_MODE (``observe_only``, ``disabled`` or ``normal``); ``open_s`` (seconds)
    and ``finding`` belong to TRIP.
    """

    order: Order
    scope: str
    operator: str
    reason: str
    issued_at: float
    tenant: str = "default"
    lifts: tuple[str, ...] = ()
    mode: str = ""
    finding: str = ""
    open_s: float = 0.0
    id: str = field(default_factory=lambda: f"cmd_{secrets.token_hex(8)}")
    nonce: str = field(default_factory=lambda: secrets.token_hex(8))

    @property
    def until(self) -> float:
        """Unscaled Unix seconds after which nobody obeys it; a KILL is never stale."""
        return math.inf if self.order is Order.KILL else self.issued_at + WINDOW_S


def agent_scope(agent: str) -> str:
    """The scope that names one agent."""
    return f"agent:{agent}"


def narrow(scope: str) -> bool:
    """True when ``scope`` is a part of what agents do (a workflow, a tool) instead of agents."""
    return scope.startswith(("workflow:", "tool:"))


def names_someone(scope: str) -> bool:
    """True when ``scope`` is one: ``all``, or a kind and a name of at most 128 characters."""
    kind, _, name = scope.partition(":")
    return scope == ALL or (kind in KINDS and 0 < len(name) <= MAX_NAME)


def covers(scope: str, agent: str) -> bool:
    """True when ``scope`` includes ``agent``."""
    return scope == ALL or scope == agent_scope(agent)


def canonical(value: object) -> bytes:
    """Canonical JSON bytes of plain data."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


class Signer:
    """Holds one Ed25519 private key and signs with it."""

    def __init__(self, key_id: str, key: Ed25519PrivateKey) -> None:
        self.key_id = key_id
        self._key = key

    @classmethod
    def generate(cls) -> Signer:
        """A signer with a fresh key, named after the hash of nothing but chance."""
        return cls(f"key-{secrets.token_hex(4)}", Ed25519PrivateKey.generate())

    @classmethod
    def load(cls, text: str) -> Signer:
        """Read what :meth:`dump` wrote.

        Raises:
            ValueError: the text is not such a file.
        """
        try:
            data = json.loads(text)
            return cls(data["key_id"], Ed25519PrivateKey.from_private_bytes(base64.b64decode(data["private"])))
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a Command key: {error!r}") from error

    def dump(self) -> str:
        """The private key as JSON text (store it 0600)."""
        return json.dumps({"key_id": self.key_id, "private": base64.b64encode(self._key.private_bytes_raw()).decode()})

    def public_entry(self) -> dict[str, str]:
        """This key's entry in a public allow-list."""
        return {"public": base64.b64encode(self._key.public_key().public_bytes_raw()).decode()}

    def sign(self, payload: object) -> bytes:
        """Sign plain data (or a :class:`Command`) in the format above."""
        data = asdict(payload) if isinstance(payload, Command) else payload
        head = f"{_PREFIX}.{self.key_id}.{_encode(canonical(data))}"
        return f"{head}.{_encode(self._key.sign(head.encode()))}".encode()


class Keyring:
    """The public keys whose Commands a process obeys."""

    def __init__(self, keys: dict[str, Ed25519PublicKey]) -> None:
        self._keys = keys

    @classmethod
    def load(cls, text: str) -> Keyring:
        """Read a public allow-list: ``{"keys": {"<key id>": {"public": "<base64>"}}}``.

        Raises:
            ValueError: the text is not such a list.
        """
        try:
            keys = {k: base64.b64decode(v["public"]) for k, v in json.loads(text)["keys"].items()}
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not a list of Command keys: {error!r}") from error
        return cls({k: Ed25519PublicKey.from_public_bytes(raw) for k, raw in keys.items()})

    def replace(self, other: Keyring) -> None:
        """From now on obey those keys, and no others."""
        self._keys = other._keys

    def open(self, signed: bytes, most: int = _MAX_BYTES) -> dict[str, object]:
        """Verify signed bytes, of which there are ``most``, and return their payload.

        Raises:
            BadCommand: size, shape, key or signature is wrong.
        """
        try:
            return self._open(signed, most)
        except (ValueError, UnicodeError, binascii.Error, InvalidSignature, RecursionError) as error:
            raise BadCommand(f"signature or shape is wrong: {error!r}") from error

    def _open(self, signed: bytes, most: int) -> dict[str, object]:
        if len(signed) > most:
            raise BadCommand(f"longer than {most >> 10} KiB")
        prefix, key_id, payload, signature = signed.decode("ascii").split(".")
        if prefix != _PREFIX or key_id not in self._keys:
            raise BadCommand("unknown version or key")
        head = f"{prefix}.{key_id}.{payload}"
        self._keys[key_id].verify(_decode(signature), head.encode())
        data = json.loads(_decode(payload))
        if not isinstance(data, dict):
            raise BadCommand("payload is not an object")
        return data

    def verify(self, signed: bytes, wall: float) -> Command:
        """Verify a Command at time ``wall`` (unscaled Unix seconds).

        Raises:
            BadCommand: the signature is wrong, or the payload is no Command.
            StaleCommand: it is outside its window. A KILL never is.
        """
        command = _command(self.open(signed))
        if command.order is not Order.KILL and not abs(wall - command.issued_at) <= WINDOW_S:
            raise StaleCommand(f"{command.order} is outside its ±{WINDOW_S:.0f} s window")
        return command


def allow_list(*signers: Signer) -> str:
    """The public allow-list of these keys, as JSON text."""
    return json.dumps({"keys": {s.key_id: s.public_entry() for s in signers}}, indent=2)


def _command(data: dict[str, object]) -> Command:
    """The Command that a payload spells; a signer of another version may spell it differently."""
    try:
        order, lifts = Order(str(data["order"])), tuple(str(kill) for kill in _typed(data["lifts"], list))
        command = Command(**{**data, "order": order, "lifts": lifts})  # type: ignore[arg-type]
        for text in (command.scope, command.operator, command.reason, command.tenant, command.mode, command.id):
            _typed(text, str)
        for number in (command.issued_at, command.open_s):
            _typed(number, int, float)
    except (TypeError, ValueError, KeyError) as error:
        raise BadCommand(f"payload is not a Command: {error!r}") from error
    if not command.id or not names_someone(command.scope):
        raise BadCommand("payload is not a Command: id or scope is wrong")
    return command


def _typed(value: Any, *types: type) -> Any:
    if not isinstance(value, types):
        raise TypeError(f"{value!r} is not {types[0].__name__}")
    return value


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
