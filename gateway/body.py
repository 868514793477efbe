"""Bodies: JSON in which every reader finds the same values.

An object that names a field twice is one document to those who take the first and another to those who take the last.
The guards would judge one of them, and the upstream act on the other; so it is refused.
"""

from __future__ import annotations

import json
from collections import Counter
from http import HTTPStatus
from typing import Any, Final

import orjson

from gateway.denied import Denied, bad_request

_QUOTE_IN_DISGUISE: Final = b"\\u0022"


class NotJson(Denied):
    """400: a body is something else than JSON."""

    def __init__(self, error: Exception) -> None:
        super().__init__(HTTPStatus.BAD_REQUEST, "invalid_request", f"the body is not JSON: {error}")


def json_of(raw: bytes) -> Any:
    """The value that a body holds.

    Raises:
        NotJson: it holds none.
        Denied: 400, it names a field twice, or is nested too deep to be written again.
    """
    try:
        value = orjson.loads(raw)
        again = orjson.dumps(value)
    except orjson.JSONDecodeError as error:
        raise NotJson(error) from None
    except orjson.JSONEncodeError as error:
        raise bad_request(f"the body cannot be read: {error}") from None
    # A field that was dropped took its quotes along; nothing but an escaped quote could make up for them.
    if again.count(b'"') != raw.count(b'"') or _QUOTE_IN_DISGUISE in raw:
        _refuse_twins(raw)
    return value


def _refuse_twins(raw: bytes) -> None:
    """
    Raises:
        Denied: 400, an object names a field twice.
    """
    try:
        json.loads(raw, object_pairs_hook=_once)
    except (ValueError, RecursionError):  # what orjson takes and this does not
        raise bad_request("the body is JSON that not every reader reads alike") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        times = Counter(name for name, _ in pairs)
        twice = next(name for name in times if times[name] > 1)
        raise bad_request(f"the body names the field {twice[:64]!r} twice; name it once")
    return fields
