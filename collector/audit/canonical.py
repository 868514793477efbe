"""Canonical JSON (RFC 8785) of what may become a payload; what the format cannot hold becomes text."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

import rfc8785

_MAX_INT: Final = (1 << 53) - 1
_MAX_DEPTH: Final = 50


def canonical(value: object) -> bytes:
    """The canonical bytes of plain data; never raises for data that ``dataclasses.asdict`` may yield.

    Numbers that JSON's readers would not agree on (whole ones beyond 2^53, NaN, infinities) are written as strings,
    a half surrogate as ``?``.
    """
    try:
        return rfc8785.dumps(value)  # type: ignore[arg-type]
    except (rfc8785.CanonicalizationError, UnicodeError, RecursionError, AttributeError):
        return rfc8785.dumps(_plain(value, _MAX_DEPTH))


def whole_text(text: object) -> str:
    """The text without half surrogates, which UTF-8 cannot hold."""
    return str(text).encode("utf-8", "replace").decode()


def _plain(value: object, depth: int) -> Any:
    if depth == 0:
        return "nested too deep"
    if isinstance(value, Mapping):
        return {whole_text(key): _plain(inner, depth - 1) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(inner, depth - 1) for inner in value]
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int(value) if abs(value) <= _MAX_INT else str(int(value))
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    return whole_text(value)
