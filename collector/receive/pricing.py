"""The price of an inference span: only leaf spans, only once, never a guess."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Final

from fusebox import happenings, names
from fusebox.eventmap import Value
from fusebox.prices import SHIPPED, Cost, PriceBook, service_tier
from fusebox.usage import Usage

UNPRICED: Final = happenings.declare("spans_unpriced", logging.DEBUG, "inference spans whose model has no known price")

_HOUR_S: Final = 3600
_OLDEST: Final = 1_577_836_800.0  # 2020: no provider sold tokens before
_MOST_TOKENS: Final = 1 << 40
_LIMITS: Final = (2_000_000, 200_000, 128_000, 32_000)
"""Tokens of a request from which on some models get dearer."""
_TRIALS: Final = (Usage(7, 3), Usage(1_009, 11, 101, 13, 5), Usage(31_013, 1_013, 17_011))
_ZERO: Final = Decimal(0)
_NO_USAGE: Final = Usage()
_TIERS: Final = (names.SERVICE_TIER, names.SERVICE_TIER_OLD, names.SERVICE_TIER_ASKED, names.SERVICE_TIER_ASKED_OLD)
_DIGITS: Final = re.compile(r"-?[0-9]{1,20}")


def price_of(attributes: Mapping[str, Value], at: float, now: float, book: PriceBook = SHIPPED) -> Cost | None:
    """What a span cost; None when it bills nothing here, reports no usage or one that cannot be, or its model has no
    known price.

    Args:
        at: when the span began; an impossible time counts as ``now``.
    """
    if attributes.get(names.GEN_AI_OPERATION) not in names.INFERENCE_OPERATIONS:
        return None
    if attributes.get(names.DELEGATED) in (True, "true"):
        return None
    try:
        usage = _usage(attributes)
    except OverflowError:
        return None
    model = _text(attributes, names.GEN_AI_RESPONSE_MODEL, names.GEN_AI_REQUEST_MODEL)
    if usage == _NO_USAGE:
        return None
    provider = _text(attributes, names.GEN_AI_PROVIDER, names.GEN_AI_SYSTEM_OLD)
    hour = int((at if _OLDEST <= at <= now + _HOUR_S else now) // _HOUR_S)
    cost = _cost(book, usage, model, provider, hour, tier_of(attributes))
    if cost is None:
        happenings.emit(UNPRICED, model=model[:100], provider=provider[:100])
    return cost


def tier_of(attributes: Mapping[str, Value]) -> str:
    """The service tier that a span names, its answer's before its request's; empty for the usual one."""
    for name in _TIERS:
        if (told := attributes.get(name)) and (tier := service_tier(told)) is not None:
            return tier
    return ""


def _cost(book: PriceBook, usage: Usage, model: str, provider: str, hour: int, tier: str) -> Cost | None:
    line = _line(book, model, provider, hour, tier)
    if line is None:
        return None
    return line.cost(usage) if _within(usage, line.limit) else _asked(book, usage, model, provider, hour, tier)


def _asked(book: PriceBook, usage: Usage, model: str, provider: str, hour: int, tier: str) -> Cost | None:
    return book.cost_of(usage, model, provider, float(hour * _HOUR_S), tier)


@dataclass(frozen=True, slots=True)
class Line:
    """A price as a straight line: so much for a token of each kind. Asking the library costs thirty times more."""

    price: str
    limit: int
    """Tokens in and out up to which it is one; 0 = it never is."""
    input: Decimal = _ZERO
    cache_read: Decimal = _ZERO
    cache_creation: Decimal = _ZERO
    output: Decimal = _ZERO

    def cost(self, usage: Usage) -> Cost:
        """What the library would say."""
        read, created = usage.cache_read, usage.cache_creation
        fresh = usage.input_tokens - read - created
        usd = fresh * self.input + read * self.cache_read + created * self.cache_creation
        return Cost((usd + usage.output_tokens * self.output).normalize(), self.price)


def _within(usage: Usage, limit: int) -> bool:
    """True for a usage that a line speaks of: no part exceeds its whole, and the whole is small enough."""
    return (
        usage.cache_read + usage.cache_creation <= usage.input_tokens <= limit
        and usage.reasoning <= usage.output_tokens <= limit
    )


@lru_cache(maxsize=1024)
def _line(book: PriceBook, model: str, provider: str, hour: int, tier: str) -> Line | None:
    """The line through a model's prices, as far as it is straight; None when the model has no price at all."""
    known = _asked(book, Usage(1, 1), model, provider, hour, tier)
    if known is None:
        return None
    straight = (line for limit in _LIMITS if (line := _through(book, model, provider, hour, tier, limit)))
    return next(straight, Line(known.price, 0))


def _through(book: PriceBook, model: str, provider: str, hour: int, tier: str, limit: int) -> Line | None:
    corners = (
        Usage(limit), Usage(limit, cache_read=limit), Usage(limit, cache_creation=limit), Usage(output_tokens=limit)
    )  # fmt: skip
    costs = [cost for usage in corners if (cost := _asked(book, usage, model, provider, hour, tier))]
    if len(costs) < len(corners):
        return None
    line = Line(costs[0].price, limit, *[cost.usd / limit for cost in costs])
    trials = (*_TRIALS, Usage(limit, limit, limit // 4, limit // 2, limit // 8))
    told = [_asked(book, usage, model, provider, hour, tier) for usage in trials]
    return line if told == [line.cost(usage) for usage in trials] else None


def _usage(a: Mapping[str, Value]) -> Usage:
    """The tokens of a span as the ledger reads them. Raises: OverflowError: some are a number that cannot be."""
    return Usage(
        _tokens(a, names.USAGE_INPUT, names.USAGE_INPUT_OLD),
        _tokens(a, names.USAGE_OUTPUT, names.USAGE_OUTPUT_OLD),
        _tokens(a, names.USAGE_CACHE_READ),
        _tokens(a, names.USAGE_CACHE_CREATION),
        _tokens(a, names.USAGE_REASONING),
    )


def _tokens(a: Mapping[str, Value], *candidates: str) -> int:
    """The first that says a number other than zero. Raises: OverflowError."""
    for name in candidates:
        value = a.get(name)
        if value:
            count = value if type(value) is int else _number(value)
            if not 0 <= count < _MOST_TOKENS:
                raise OverflowError(name)
            if count:
                return count
    return 0


def _number(value: Value) -> int:
    """A count that came as a fraction or as text; 0 for what is none."""
    if isinstance(value, float):
        return int(value) if value.is_integer() else 0
    return int(value) if isinstance(value, str) and _DIGITS.fullmatch(value) else 0


def _text(a: Mapping[str, Value], *candidates: str) -> str:
    for name in candidates:
        value = a.get(name)
        if value:
            return str(value)[:256]
    return ""
