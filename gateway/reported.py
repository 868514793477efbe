"""Answers in one piece, and errors that an upstream reports in one, or in an event, though its HTTP status was 200."""

from __future__ import annotations

import codecs
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

import orjson

from gateway.denied import Denied
from gateway.upstream import Failed

_ASKED: Final = frozenset({"invalid_request_error", "BadRequestError"})
_BUSY: Final = frozenset({"rate_limit_error", "rate_limit_exceeded"})
_FAULTS: Final = frozenset({None, "server_error", "vector_store_timeout"})


def object_of(body: bytes) -> dict[str, Any]:
    """The JSON object that an answer in one piece is.

    Raises:
        Failed: it is none.
    """
    try:
        told = orjson.loads(body.removeprefix(codecs.BOM_UTF8))
    except orjson.JSONDecodeError:
        told = None
    if not isinstance(told, dict):
        raise garbled("the upstream's answer is not JSON")
    return told


def garbled(sentence: str) -> Failed:
    """The failure that an answer is which cannot be read."""
    return Failed(Denied(HTTPStatus.BAD_GATEWAY, "upstream_garbled", sentence), fault=True)


def error_in(told: Mapping[str, Any]) -> Failed | None:
    """The failure that an answer in one piece, or an event, is; None for any other."""
    kind = told.get("type")
    if kind == "error" or told.get("object") == "error":
        return _reported(told.get("error") or told)
    if told.get("status") == "failed":
        return ended_badly(told.get("error"))
    return _reported(told["error"]) if kind is None and told.get("error") else None


def ended_badly(error: Any) -> Failed:
    """What the Responses API says of an answer that came to nothing."""
    code = _field(error, "code")
    return _failed(error, fault=code in _FAULTS, may=code in _FAULTS | _BUSY)  # all others are about what was asked


def _reported(error: Any) -> Failed:
    code, type_ = _field(error, "code"), _field(error, "type")
    busy = code == HTTPStatus.TOO_MANY_REQUESTS or not _BUSY.isdisjoint((code, type_))
    asked = type_ in _ASKED or (isinstance(code, int) and HTTPStatus.BAD_REQUEST <= code < 500)
    return _failed(error, fault=not (busy or asked), may=busy or not asked)


def _failed(error: Any, *, fault: bool, may: bool) -> Failed:
    """
    Args:
        may: another attempt may do better.
    """
    message = _field(error, "message") or error
    denied = Denied(HTTPStatus.BAD_GATEWAY, "upstream_error", f"the upstream reports an error: {str(message)[:500]}")
    return Failed(denied, fault=fault, again=may, elsewhere=may, asked=not may)


def _field(error: Any, name: str) -> Any:
    """A word or a number that an error says."""
    value = error.get(name) if isinstance(error, Mapping) else None
    return value if isinstance(value, str | int) else None
