"""From bytes to an export request: protobuf, or OTLP's dialect of JSON (whose ids are hex)."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from enum import StrEnum
from functools import cache
from typing import Any, Final

from google.protobuf.json_format import ParseDict, ParseError
from google.protobuf.message import DecodeError

from collector.receive.inflate import LARGE
from collector.receive.outline import refuse_dense, refuse_dense_text, refuse_too_many, refuse_too_scattered
from collector.receive.refusal import Refusal, Why
from collector.receive.signals import Signal

# SystemError: protobuf's C part looks up a JSON name with a lone surrogate and leaves the encoding error behind.
_BROKEN: Final = (DecodeError, ParseError, ValueError, TypeError, AttributeError, RecursionError, SystemError)
_IDS: Final = ("traceId", "spanId", "parentSpanId", "trace_id", "span_id", "parent_span_id")


class Encoding(StrEnum):
    """The two encodings of OTLP, named by their content types."""

    PROTOBUF = "application/x-protobuf"
    JSON = "application/json"


def encoding_of(content_type: str) -> Encoding:
    """The encoding a ``Content-Type`` names.

    Raises:
        Refusal: it is neither of the two.
    """
    try:
        return Encoding(content_type.partition(";")[0].strip().lower())
    except ValueError:
        raise Refusal(
            Why.UNSUPPORTED, f"Content-Type {content_type[:50]!r} is neither {Encoding.PROTOBUF} nor {Encoding.JSON}"
        ) from None


def decode(body: bytes, encoding: Encoding, signal: Signal) -> Any:
    """Parse a request; an instance of ``signal.request``.

    Raises:
        Refusal: the body is no such request in that encoding, or holds too much.
    """
    try:
        return _from_protobuf(body, signal) if encoding is Encoding.PROTOBUF else _from_json(body, signal)
    except _BROKEN as error:
        text = f"the body is not an OTLP {signal.name} request in {encoding}: {error}"
        raise Refusal(Why.MALFORMED, text.encode(errors="replace").decode()[:300]) from error


def _from_protobuf(body: bytes, signal: Signal) -> Any:
    if len(body) > LARGE:
        refuse_dense(body, signal.noun)
    return signal.request.FromString(body)


def _from_json(body: bytes, signal: Signal) -> Any:
    if len(body) > LARGE:
        refuse_dense_text(body, signal.noun)
    data = json.loads(body)
    for place, item in enumerate(_items(data, signal.levels)):
        refuse_too_many(place + 1, signal.noun)
        for part in (item, *(item.get("links") or ())):
            _repair_ids(part)
    request = signal.request()
    ParseDict(data, request, ignore_unknown_fields=True)
    return request


def _items(data: Any, levels: tuple[str, str, str]) -> Iterator[dict[str, Any]]:
    """Every span or log record. Raises: Refusal: there are too many around them."""
    resources, scopes, items = levels
    groups = 0
    for resource in _list(data, resources):
        groups += 1
        _refuse_old(resource, scopes)
        for scope in _list(resource, scopes):
            groups += 1
            yield from _list(scope, items)
    refuse_too_scattered(groups)


def _list(part: dict[str, Any], name: str) -> list[Any]:
    """A list by its name in JSON, or by that in the protocol's definition, which the parser takes, too."""
    return part.get(name) or part.get(_original(name)) or []


def _refuse_old(resource: dict[str, Any], scopes: str) -> None:
    """Until 2022 scopes had another name in JSON, and the parser would pass over them (in protobuf it is a number, the
    same then as now). Raises: Refusal: these do."""
    old = scopes.replace("scope", "instrumentationLibrary")
    if _list(resource, old):
        raise Refusal(Why.MALFORMED, f"{old} is OTLP from before 2022, and not stored; upgrade what sends it: {scopes}")


@cache
def _original(name: str) -> str:
    return re.sub("[A-Z]", lambda letter: f"_{letter[0].lower()}", name)


def _repair_ids(part: dict[str, Any]) -> None:
    """Ids as protobuf's JSON has them; spans, their links and log records have some."""
    for name in _IDS:
        if name in part:
            part[name] = _base64_of_hex(part[name])


def _base64_of_hex(value: object) -> str:
    """A wrong id becomes an empty one: it costs its span, not the whole request."""
    try:
        return base64.b64encode(bytes.fromhex(str(value or ""))).decode()
    except ValueError:
        return ""
