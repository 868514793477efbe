"""Who signs checkpoints: a key in a 0600 file beside the journal, or a command that holds the key elsewhere."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from fusebox.errors import ConfigError
from fusebox.rundir import write_atomic

KEY: Final = "key"
NEXT: Final = "key.next"
PUBLIC: Final = "key.pub"
_COMMAND_S: Final = 10.0
_READABLE: Final = 0o644


class SigningFailed(Exception):
    """The signer did not sign; it is asked again."""


class Signer(Protocol):
    """Signs checkpoints."""

    public: str
    """The public key, base64 of its 32 bytes."""

    def sign(self, message: bytes) -> bytes:
        """The Ed25519 signature of ``message``.

        Raises:
            SigningFailed: not now.
        """


class KeySigner:
    """A private key in memory."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.public = base64.b64encode(key.public_key().public_bytes_raw()).decode()

    @classmethod
    def generate(cls) -> KeySigner:
        """A fresh key."""
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def load(cls, path: Path) -> KeySigner:
        """Read what :meth:`save` wrote.

        Raises:
            ConfigError: the file cannot be read.
        """
        try:
            return cls.of(path.read_text())
        except (OSError, ValueError) as error:
            raise ConfigError(f"the audit key {path} cannot be read ({error}); restore it from your backup") from error

    @classmethod
    def of(cls, private: str) -> KeySigner:
        """The key whose private half is given in base64.

        Raises:
            ValueError: it is none.
        """
        return cls(Ed25519PrivateKey.from_private_bytes(base64.b64decode(private.strip(), validate=True)))

    @property
    def private(self) -> str:
        """The private half in base64."""
        return base64.b64encode(self._key.private_bytes_raw()).decode()

    def save(self, path: Path) -> None:
        """Write the private key, 0600, in one step."""
        write_atomic(path, self.private + "\n")

    def sign(self, message: bytes) -> bytes:
        return self._key.sign(message)


class CommandSigner:
    """A command with two words: ``… public`` prints the public key, ``… sign`` signs its standard input.

    Both answer in base64 on one line. The command may talk to whatever holds the key.

    Raises:
        ConfigError: it does not tell its public key.
    """

    def __init__(self, command: str) -> None:
        self._command = shlex.split(command)
        try:
            self.public = self._ask("public").decode()
            public_key(self.public)
        except (SigningFailed, ValueError) as error:
            raise ConfigError(
                f"audit_signer = {command!r}: '{command} public' must print an Ed25519 public key in base64 ({error})"
            ) from error

    def sign(self, message: bytes) -> bytes:
        try:
            return base64.b64decode(self._ask("sign", message), validate=True)
        except ValueError as error:
            raise SigningFailed(f"the signer's answer is not base64: {error}") from error

    def _ask(self, word: str, message: bytes = b"") -> bytes:
        try:
            done = subprocess.run(
                [*self._command, word], input=message, capture_output=True, check=True, timeout=_COMMAND_S
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise SigningFailed(f"{' '.join(self._command)} {word}: {error}") from error
        return done.stdout.strip()


def signer_of(folder: Path, command: str | None) -> Signer:
    """The signer of the chain in ``folder``; a key is made where there is none.

    Raises:
        ConfigError: the key, or the command, does not work.
    """
    signer: Signer
    if command:
        signer = CommandSigner(command)
    elif (folder / KEY).exists() or any(folder.glob("*.jsonl")):
        signer = KeySigner.load(folder / KEY)
    else:
        signer = KeySigner.generate()
        signer.save(folder / KEY)
    if not (folder / PUBLIC).exists():
        write_atomic(folder / PUBLIC, signer.public + "\n", _READABLE)
    return signer


@dataclass(frozen=True, slots=True)
class Change:
    """A key to change to, as it waits in ``key.next``."""

    signer: KeySigner
    actor: str
    reason: str


def plan_change(folder: Path, actor: str, reason: str) -> str:
    """Make the key that the chain's writer changes to within a second (or when it starts); its id."""
    fresh = KeySigner.generate()
    write_atomic(folder / NEXT, json.dumps({"private": fresh.private, "actor": actor, "reason": reason}))
    return key_id(fresh.public)


def planned(folder: Path) -> Change | None:
    """The change that waits, if any.

    Raises:
        ConfigError: ``key.next`` cannot be read.
    """
    path = folder / NEXT
    try:
        data = json.loads(path.read_text())
        return Change(KeySigner.of(data["private"]), str(data["actor"]), str(data["reason"]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{path} cannot be read ({error}); remove it and change the key again") from error


def public_key(text: str) -> Ed25519PublicKey:
    """A public key from its base64.

    Raises:
        ValueError: it is none.
    """
    return Ed25519PublicKey.from_public_bytes(base64.b64decode(text, validate=True))


def key_id(public: str) -> str:
    """How checkpoints name a key."""
    return hashlib.sha256(base64.b64decode(public)).hexdigest()[:16]


def verified(public: str, message: bytes, signature: str) -> bool:
    """True when the key signed the message."""
    try:
        public_key(public).verify(base64.b64decode(signature, validate=True), message)
    except (ValueError, binascii.Error, InvalidSignature):
        return False
    return True


def read_public(path: Path) -> dict[str, str]:
    """The public keys of a file by id: one a line, base64, what follows a space is a remark.

    Raises:
        ConfigError: the file cannot be read, or holds something else.
    """
    try:
        words = [line.split()[0] for line in path.read_text().splitlines() if line.strip()]
        for word in words:
            public_key(word)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} holds no public keys ({error}); 'fusebox audit keys' prints them") from error
    return {key_id(word): word for word in words}
