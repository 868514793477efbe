"""Attributes as they are stored: one value per key, text for everything that is not a scalar, bounded.

Both encodings of OTLP, and every SDK, come out the same; the database's protobuf reader knows no arrays or maps.
"""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import math
import re
from collections.abc import Collection, Iterable, Iterator, Set
from typing import Final, Protocol

from google.protobuf.message import Message
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from fusebox import happenings, names
from fusebox.eventmap import READ, Value

MAX_VALUE: Final = 64 << 10
"""Bytes of UTF-8 in one attribute value."""
MAX_ATTRIBUTES: Final = 128
MAX_NAME: Final = 4096
"""Bytes of UTF-8 in a name, a URL or a status message."""
SURELY_SHORT: Final = MAX_NAME // 4
"""Characters of a name: UTF-8 has at most four bytes for one."""
_SURELY_SHORT: Final = MAX_VALUE // 4
"""Characters: UTF-8 has at most four bytes for one."""
_MAX_KEY: Final = 256
_FIRST_KEPT: Final = (
    "gen_ai.", "fusebox.", "messaging.", "error.", "service.", "llm.output_messages.", "llm.token_count.",
    names.LLM_PROVIDER, names.LLM_SYSTEM,
)  # fmt: skip
_MESSAGE_STARTS: Final = '{"role"'
"""Within a text of JSON it would be escaped, so it is an object; one within a message is told by what follows."""
_TRIES: Final = 16
_MESSAGE: Final = re.compile(r"(?:gen_ai\.prompt|llm\.input_messages)\.(\d{1,9})\.")
_NOTHING: Final[Set[str]] = frozenset()

DROPPED: Final = happenings.declare(
    "attributes_dropped",
    logging.DEBUG,
    "attributes not stored: too many, repeated, overlong keys, or not theirs to say",
)
SHORTENED: Final = happenings.declare("texts_cut", logging.DEBUG, "attribute values, names and bodies stored cut")


class Attributes(Protocol):
    """A ``repeated KeyValue`` field."""

    def __iter__(self) -> Iterator[KeyValue]: ...
    def __len__(self) -> int: ...
    def __delitem__(self, index: slice) -> None: ...
    def add(self) -> KeyValue: ...
    def append(self, pair: KeyValue) -> None: ...
    def extend(self, pairs: Iterable[KeyValue]) -> None: ...


def clean(attributes: Attributes, facts: dict[str, Value], remove: Set[str] = _NOTHING) -> int:
    """Normalise ``attributes`` in place and put their values into ``facts``, which is empty.

    Args:
        remove: keys that a sender has no say in.

    Returns:
        How many were taken out: those, repeated, empty and overlong keys, and what exceeds 128. Of too many, the ones
        that Fusebox itself reads stay.
    """
    for pair in attributes:  # the hottest lines of receive, hence without a call for each pair
        value = pair.value
        text = value.string_value
        short = text if text and len(text) <= _SURELY_SHORT else value.int_value  # 0 is no answer: then look closely
        facts[pair.key] = short or normalise(value, pair.key)
    if len(facts) == len(attributes) <= MAX_ATTRIBUTES and remove.isdisjoint(facts) and _sound(facts):
        return 0  # which is nearly always so
    kept = _kept(attributes, remove)
    facts.clear()
    facts.update({pair.key: normalise(pair.value, pair.key) for pair in kept})
    dropped = len(attributes) - len(kept)
    if dropped:
        happenings.emit(DROPPED, count=dropped)
        del attributes[:]
        attributes.extend(kept)
    return dropped


def _sound(keys: Collection[str]) -> bool:
    return "" not in keys and max(map(len, keys), default=0) <= _MAX_KEY


def _kept(attributes: Attributes, remove: Set[str]) -> list[KeyValue]:
    unique: dict[str, KeyValue] = {}
    for pair in attributes:
        key = pair.key
        if key and key not in remove and len(key) <= _MAX_KEY:
            unique.setdefault(key, pair)
    if len(unique) <= MAX_ATTRIBUTES:
        return list(unique.values())
    return sorted(unique.values(), key=lambda pair: _rank(pair.key))[:MAX_ATTRIBUTES]


def _rank(key: str) -> tuple[int, int]:
    """What is kept first: what Fusebox reads, then the latest messages of a conversation, then the rest as it came."""
    message = _MESSAGE.match(key)
    if message:
        return 1, -int(message[1])
    return (0 if key in READ or key.startswith(_FIRST_KEPT) else 2), 0


def put(attributes: Attributes, key: str, text: str) -> None:
    """Add a text attribute whose key is not there."""
    pair = attributes.add()
    pair.key = key
    pair.value.string_value = text


def cut(text: str, limit: int) -> str:
    """``text``, or its beginning and a marker with the full length and hash when its UTF-8 exceeds ``limit`` bytes."""
    if len(text) * 4 <= limit:
        return text
    data = text.encode()
    if len(data) <= limit:
        return text
    happenings.emit(SHORTENED)
    marker = _marker(data)
    return data[: limit - len(marker.encode())].decode(errors="ignore") + marker


def latest(text: str, limit: int) -> str:
    """The latest messages of a conversation in JSON behind such a marker, itself JSON; cut plainly when that fails."""
    data = text.encode()
    if len(data) <= limit:
        return text
    marker = json.dumps(_marker(data))
    tail, start = data[len(marker) + len("[, ") - limit :].decode(errors="ignore"), -1
    for _ in range(_TRIES):
        start = tail.find(_MESSAGE_STARTS, start + 1)
        found = f"[{marker}, {tail[start:]}"
        if start >= 0 and _is_json(found):
            happenings.emit(SHORTENED)
            return found
    return cut(text, limit)


def _marker(data: bytes) -> str:
    return f"…[cut: {len(data)} bytes, sha256 {hashlib.sha256(data).hexdigest()[:16]}]"


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def shorten(message: Message, *fields: str) -> None:
    """Cut text fields of ``message`` to :data:`MAX_NAME`."""
    for field in fields:
        text: str = getattr(message, field)
        if len(text) > SURELY_SHORT:
            setattr(message, field, cut(text, MAX_NAME))


def normalise(value: AnyValue, key: str = "") -> Value:
    """Make ``value`` a scalar in place, text for what is none, at most :data:`MAX_VALUE` bytes, and return it.

    Of a conversation that is longer the latest messages stay: they tell what was asked.
    """
    match value.WhichOneof("value"):
        case "string_value":
            return _shortened(value, value.string_value, key)
        case "int_value":
            return value.int_value
        case "bool_value":
            return value.bool_value
        case "double_value":
            return value.double_value
        case "bytes_value":
            return _shortened(value, base64.b64encode(value.bytes_value).decode(), key)
        case "array_value" | "kvlist_value":
            return _shortened(value, json.dumps(_plain(value), ensure_ascii=False, separators=(",", ":")), key)
    value.string_value = ""
    return ""


def _shortened(value: AnyValue, text: str, key: str) -> str:
    """Make ``value`` this text, cut to its limit."""
    short = latest(text, MAX_VALUE) if key == names.GEN_AI_INPUT_MESSAGES else cut(text, MAX_VALUE)
    if short != value.string_value:
        value.string_value = short
    return short


def _plain(value: AnyValue) -> object:
    match value.WhichOneof("value"):
        case "array_value":
            return [_plain(item) for item in value.array_value.values]
        case "kvlist_value":
            return {pair.key: _plain(pair.value) for pair in value.kvlist_value.values}
        case "string_value":
            return value.string_value
        case "int_value":
            return value.int_value
        case "bool_value":
            return value.bool_value
        case "double_value":
            return value.double_value if math.isfinite(value.double_value) else str(value.double_value)
        case "bytes_value":
            return base64.b64encode(value.bytes_value).decode()
    return None
