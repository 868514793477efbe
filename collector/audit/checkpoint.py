"""Checkpoints: what a writer's key says about its chain so far. The format is in :mod:`collector.audit`."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import orjson

from collector.audit.keys import Signer, key_id, public_key, verified
from collector.audit.merkle import Frontier
from fusebox.rundir import sync_dir

FILE: Final = "checkpoints.jsonl"
_PREFIX: Final = b"fusebox-audit-checkpoint-1\n"
_KEYS: Final = frozenset(
    {"frontier", "head", "key", "next", "previous", "root", "signature", "size", "time", "writer", "writers"}
)
_TAIL: Final = 1 << 16


class BadCheckpoint(ValueError):
    """A line is no checkpoint."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """See :mod:`collector.audit`. Hashes in hex, ``time`` in Unix microseconds, ``next`` in base64."""

    writer: str
    size: int
    root: str
    head: str
    frontier: tuple[str, ...]
    time: int
    writers: Mapping[str, Mapping[str, Any]]
    previous: str
    key: str
    next: str = ""
    signature: str = ""

    @property
    def message(self) -> bytes:
        """What is signed."""
        data = asdict(self)
        del data["signature"]
        return _PREFIX + _canonical(data)

    @property
    def line(self) -> bytes:
        """Without the LF."""
        return _canonical(asdict(self))

    @property
    def tree(self) -> Frontier:
        """The tree of the first ``size`` entries.

        Raises:
            ValueError: there cannot be such a tree.
        """
        return Frontier(self.size, [bytes.fromhex(peak) for peak in self.frontier])

    def signed(self, signer: Signer) -> Checkpoint:
        """The same under the signer's key.

        Raises:
            SigningFailed: not now.
        """
        named = replace(self, key=key_id(signer.public))
        return replace(named, signature=base64.b64encode(signer.sign(named.message)).decode())

    def signed_by(self, public: str) -> bool:
        """True when that key signed exactly this."""
        return verified(public, self.message, self.signature)


def parse(text: bytes) -> Checkpoint:
    """Read a line. Whose signature it carries is another question.

    Raises:
        BadCheckpoint: it is none, or not in canonical form.
    """
    try:
        data = json.loads(text)
        if set(data) != _KEYS:
            raise BadCheckpoint("other fields than those of a checkpoint")
        found = Checkpoint(**{**data, "frontier": tuple(data["frontier"])})
        if found.next:
            public_key(found.next)
        if not all(isinstance(seen["size"], int) and isinstance(seen["root"], str) for seen in found.writers.values()):
            raise BadCheckpoint("what it says of other writers is not a size and a root each")
        if found.line != text or found.tree.root().hex() != found.root:
            raise BadCheckpoint("not in canonical form, or its frontier has another root")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BadCheckpoint(f"no checkpoint: {error}") from error
    return found


def lines(path: Path) -> list[bytes]:
    """Every whole line of a file of checkpoints; none when there is no file."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return []
    return data[: data.rfind(b"\n") + 1].splitlines()


def last(folder: Path) -> Checkpoint | None:
    """The newest readable checkpoint of the chain in ``folder``."""
    try:
        with (folder / FILE).open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - _TAIL))
            data = file.read()
    except FileNotFoundError:
        return None
    return newest(data[: data.rfind(b"\n") + 1].splitlines())


def append(folder: Path, made: Checkpoint) -> None:
    """Add a checkpoint to those of a chain, durably.

    Raises:
        OSError: nothing of it is there.
    """
    path, line = folder / FILE, made.line + b"\n"
    new = not path.exists()
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        before = os.fstat(fd).st_size
        try:
            if os.write(fd, line) < len(line):
                raise OSError("the disk is full")
            os.fdatasync(fd)
        except OSError:
            os.ftruncate(fd, before)
            raise
    finally:
        os.close(fd)
    if new:
        sync_dir(folder)


def newest(texts: Iterable[bytes]) -> Checkpoint | None:
    """The last one that can be read."""
    found = None
    for text in texts:
        try:
            found = parse(text)
        except BadCheckpoint:
            continue
    return found


def _canonical(data: dict[str, Any]) -> bytes:
    return orjson.dumps(data, option=orjson.OPT_SORT_KEYS)
