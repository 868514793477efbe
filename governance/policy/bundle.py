"""Bundle: a folder of Rego policies, read at once, with the revision that names exactly this text.

::

    <folder>/**/*.rego         modules; those called *_test.rego are run by 'fusebox policy test' and by nothing else
                               (hidden files and folders, an editor's or a mount's, are none)
    <folder>/data.json         optional: an object that policies read as data.<key>; data.registry is Fusebox's
    <folder>/revision.signed   optional: the revision, signed with an Ed25519 key (required once policy_keys is set)

The revision is the SHA-256 over the names and hashes of the modules and of ``data.json``, in order; tests are not part
of it. The signature is in the format of :mod:`fusebox.command`, over ``{"policy": revision}``: whoever may write the
folder cannot make agents obey a policy that nobody signed. They can put back one that was signed once: a key that must
not vouch for it any more is taken out of ``policy_keys``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from fusebox.command import Keyring, Signer, canonical
from fusebox.errors import BadCommand
from fusebox.rundir import write_atomic
from governance.policy.ruling import BadPolicy

DATA: Final = "data.json"
REGISTRY: Final = "registry"
SIGNED: Final = "revision.signed"
_TESTS: Final = "_test.rego"
_MAX_BYTES: Final = 4 << 20
_PUBLIC: Final = 0o644


@dataclass(frozen=True, slots=True)
class Bundle:
    """What a folder holds."""

    modules: Mapping[str, str]
    """Path in the folder, and text."""
    data: Mapping[str, Any] = field(default_factory=dict)
    tests: Mapping[str, str] = field(default_factory=dict)

    @property
    def revision(self) -> str:
        """Its SHA-256, in hex."""
        parts = {**self.modules, DATA: canonical(dict(self.data)).decode()}
        listed = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in parts.items()}
        return hashlib.sha256(canonical(listed)).hexdigest()


def read_bundle(folder: Path, keys: Keyring | None = None) -> Bundle:
    """Read a folder.

    Args:
        keys: who may sign; None: nobody has to.

    Raises:
        BadPolicy: there is no policy in it, it cannot be read, or the signature is missing or wrong.
    """
    try:
        bundle = _read(folder)
    except (OSError, ValueError) as error:
        raise BadPolicy(f"{folder}: {error}") from error
    if not bundle.modules:
        raise BadPolicy(f"{folder} holds no policy (*.rego); 'fusebox policy init' writes the default one there")
    if keys is not None:
        _verify(folder / SIGNED, bundle.revision, keys)
    return bundle


def sign_bundle(folder: Path, signer: Signer) -> str:
    """Sign what the folder holds now; its revision.

    Raises:
        BadPolicy: as :func:`read_bundle`.
    """
    revision = read_bundle(folder).revision
    write_atomic(folder / SIGNED, signer.sign({"policy": revision}).decode(), _PUBLIC)
    return revision


def stamp(folder: Path) -> tuple[tuple[str, int, int], ...]:
    """Changes whenever a file of the folder does; cheap enough to ask every second."""
    return tuple((str(path), *_times(path)) for path in _shown(folder, ".rego", ".json", ".signed"))


def _shown(folder: Path, *suffixes: str) -> list[Path]:
    """Files of these kinds, but for hidden ones, in order."""
    found = (path for path in sorted(folder.rglob("*")) if path.suffix in suffixes)
    return [path for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts)]


def _times(path: Path) -> tuple[int, int]:
    try:
        stat = path.stat()
    except OSError:  # gone between the two looks, or a link to nothing: who reads it says so
        return 0, 0
    return stat.st_mtime_ns, stat.st_size


def _read(folder: Path) -> Bundle:
    files = _shown(folder, ".rego")
    if sum(file.stat().st_size for file in files) > _MAX_BYTES:
        raise ValueError(f"more than {_MAX_BYTES >> 20} MiB of policies")
    texts = {file.relative_to(folder).as_posix(): file.read_text(encoding="utf-8") for file in files}
    file = folder / DATA
    data = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    if not isinstance(data, dict):
        raise ValueError(f"{DATA} is not an object")
    if REGISTRY in data:
        raise ValueError(f"{DATA} has {REGISTRY!r}, which is where policies find agents.toml; use another name")
    tests = {name: text for name, text in texts.items() if name.endswith(_TESTS)}
    return Bundle({name: text for name, text in texts.items() if name not in tests}, data, tests)


def _verify(path: Path, revision: str, keys: Keyring) -> None:
    try:
        signed = keys.open(path.read_bytes().strip())
    except FileNotFoundError:
        raise BadPolicy(f"{path} is missing and policy_keys is set; 'fusebox policy sign' writes it") from None
    except (OSError, BadCommand) as error:
        raise BadPolicy(f"{path}: {error}; only a key of policy_keys may sign") from error
    if signed.get("policy") != revision:
        raise BadPolicy(f"{path} is for another text than the folder holds; sign it again once it was reviewed")
