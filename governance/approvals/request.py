"""Request: one action as a person is asked to agree to it, to the last character of its arguments.

The digest binds an answer to exactly this action::

    SHA-256 of the canonical JSON of
      {v: 1, tenant, agent, kind, operation, target, arguments, contract, revision}

``arguments`` is itself canonical JSON, as text. ``contract`` says what the arguments meant when they were shown, their
schema (a function's signature, a tool's address), and ``revision`` which policy asked for a person: when either
changes, so does the digest, and a person is asked again. ``origin`` is the message or workflow that the action belongs
to. It is no part of the digest; an answer counts for one origin only, all the same.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields, is_dataclass
from typing import Any, Final

from pydantic import BaseModel, SecretBytes, SecretStr
from pydantic_core import PydanticSerializationError, to_jsonable_python

from fusebox.command import canonical
from fusebox.errors import Permanent

MAX_ARGUMENTS: Final = 65_536
"""Characters of arguments that a person can be asked to read."""
_VERSION: Final = 1
_BOUND: Final = ("agent", "kind", "operation", "target", "arguments", "contract", "revision")


class Unaskable(Permanent):
    """Nobody can be asked about this: its arguments cannot be shown exactly."""


@dataclass(frozen=True, slots=True)
class Request:
    """What an agent wants to do.

    Attributes:
        arguments: canonical JSON (:func:`exact`).
        guard: who wants a person asked, and ``reason`` why.
    """

    agent: str
    kind: str
    operation: str
    target: str
    arguments: str
    contract: str = ""
    revision: str = ""
    guard: str = ""
    reason: str = ""
    workflow: str = ""
    trace_id: str = ""
    origin: str = ""

    def digest(self, tenant: str) -> str:
        """What an answer is bound to, in hex."""
        bound = {name: getattr(self, name) for name in _BOUND}
        return hashlib.sha256(canonical({"v": _VERSION, "tenant": tenant, **bound})).hexdigest()

    def json(self) -> dict[str, str]:
        """As plain data."""
        return asdict(self)


def exact(value: object) -> str:
    """``value`` as canonical JSON; two values that differ have two texts.

    Raises:
        Unaskable: it has no such text, or a longer one than anybody would read.
    """
    try:
        text = json.dumps(
            _plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
        )  # fmt: skip
        text.encode()
    except (PydanticSerializationError, ValueError, TypeError, RecursionError) as error:
        raise Unaskable(f"its arguments have no exact form that a person could read: {error}") from error
    if len(text) > MAX_ARGUMENTS:
        raise Unaskable(f"its arguments are {len(text)} characters long; nobody is asked about more than 65,536")
    return text


def is_exact(text: str) -> bool:
    """True when ``text`` is what :func:`exact` makes of the value that it says."""
    try:
        return exact(json.loads(text)) == text
    except (Unaskable, ValueError, RecursionError):
        return False


def text_of(body: bytes) -> object:
    """Bytes for :func:`exact`: text as text, anything else in base64 and marked as such."""
    try:
        return body.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(body).decode()}


def _plain(value: object) -> Any:
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{value} is no number that JSON knows")
        return value
    if isinstance(value, bytes):
        return {"base64": base64.b64encode(value).decode()}
    if isinstance(value, Mapping):
        return {_key(name): _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, set | frozenset):
        raise TypeError("a set has no order; give a sorted list")
    if isinstance(value, Iterator):
        raise TypeError("what can be read only once would be read here; give a list")
    if isinstance(value, SecretStr | SecretBytes):
        raise TypeError("a secret cannot be shown; let the function find it itself")
    parts = _fields(value)
    return _plain(to_jsonable_python(value) if parts is None else parts)


def _fields(value: object) -> dict[str, object] | None:
    """All fields of a model or dataclass, also those that its own JSON leaves out or covers up; None for others."""
    if isinstance(value, BaseModel):
        named = [*type(value).model_fields, *(value.model_extra or {})]
    elif is_dataclass(value) and not isinstance(value, type):
        named = [field.name for field in fields(value)]
    else:
        return None
    return {name: getattr(value, name) for name in named}


def _key(name: object) -> str:
    if not isinstance(name, str):
        raise TypeError(f"the key {name!r} is no text")
    return name
