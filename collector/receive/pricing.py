"""The price of an inference span: only leaf spans, only once, never a guess."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from fusebox import happenings, names
from fusebox.eventmap import Value
from fusebox.prices import SHIPPED, Cost, PriceBook
from fusebox.usage import Usage

UNPRICED: Final = happenings.declare("spans_unpriced", logging.DEBUG, "inference spans whose model has no known price")

_HOUR_S: Final = 3600
_OLDEST: Final = 1_577_836_800.0  # 2020: no provider sold tokens before
_MOST_TOKENS: Final = 1 << 40


def price_of(attributes: Mapping[str, Value], at: float, now: float, book: PriceBook = SHIPPED) -> Cost | None:
    """What a span cost; None when it bills nothing here, reports no usage, or its model has no known price.

    Args:
        at: when the span began; an impossible time counts as ``now``.
    """
    if attributes.get(names.GEN_AI_OPERATION) not in names.INFERENCE_OPERATIONS:
        return None
    if attributes.get(names.DELEGATED) in (True, "true"):
        return None
    usage, model = _usage(attributes), _text(attributes, names.GEN_AI_RESPONSE_MODEL, names.GEN_AI_REQUEST_MODEL)
    if usage == Usage():
        return None
    provider = _text(attributes, names.GEN_AI_PROVIDER, names.GEN_AI_SYSTEM_OLD)
    hour = int((at if _OLDEST <= at <= now + _HOUR_S else now) // _HOUR_S)
    cost = _cost(book, usage, model, provider, hour)
    if cost is None:
        happenings.emit(UNPRICED, model=model[:100], provider=provider[:100])
    return cost


@lru_cache(maxsize=4096)
def _cost(book: PriceBook, usage: Usage, model: str, provider: str, hour: int) -> Cost | None:
    return book.cost_of(usage, model, provider, float(hour * _HOUR_S))


def _usage(a: Mapping[str, Value]) -> Usage:
    return Usage(
        _tokens(a, names.USAGE_INPUT, names.USAGE_INPUT_OLD),
        _tokens(a, names.USAGE_OUTPUT, names.USAGE_OUTPUT_OLD),
        _tokens(a, names.USAGE_CACHE_READ),
        _tokens(a, names.USAGE_CACHE_CREATION),
        _tokens(a, names.USAGE_REASONING),
    )


def _tokens(a: Mapping[str, Value], *candidates: str) -> int:
    for name in candidates:
        value = a.get(name)
        if type(value) is int and 0 <= value < _MOST_TOKENS:
            return value
    return 0


def _text(a: Mapping[str, Value], *candidates: str) -> str:
    return next((str(a[name])[:256] for name in candidates if a.get(name)), "")
