"""What an inference cost, in US dollars: own prices first, then the dated prices of ``genai-prices``.

The library is loaded on first use (it carries its price table along; nothing is fetched). A model that neither knows
is ``None``: unpriced, never free. Own prices are a TOML file (the setting ``prices_file``)::

    [[price]]
    model = "gpt-5-mini"       # as spans name it; a * at the end stands for any rest
    provider = "openai"        # left out: any
    service_tier = "flex"      # as answers name it; left out: any
    from = 2026-01-01          # UTC; left out: always. Of several the latest that has begun counts
    input_mtok = 0.20          # US dollars for a million tokens
    output_mtok = 1.60
    cache_read_mtok = 0.02     # left out: as input
    cache_write_mtok = 0.25    # left out: as input
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from fusebox.errors import ConfigError
from fusebox.toml_file import explain
from fusebox.usage import Usage

_MILLION: Final = 1_000_000
_AZURE: Final = ("azure.ai.openai", "azure.ai.inference", "az.ai.openai", "az.ai.inference")
"""What the GenAI conventions, old and new, call a provider whom the shipped prices would take for another."""
_USUAL: Final = ("default", "standard")
_TIER: Final = re.compile(r"[a-z][a-z0-9_-]{0,31}")
_Money = Annotated[Decimal, Field(ge=0)]


@dataclass(frozen=True, slots=True)
class Cost:
    """A price and its name: ``genai-prices <version> <provider>/<model>`` or ``own <hash> …``, and the service tier."""

    usd: Decimal
    price: str


class OwnPrice(BaseModel):
    """One ``[[price]]``; US dollars for a million tokens."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str = Field(min_length=1)
    provider: str = ""
    service_tier: str = ""
    since: date = Field(date.min, alias="from")
    input_mtok: _Money
    output_mtok: _Money
    cache_read_mtok: _Money | None = None
    cache_write_mtok: _Money | None = None

    @field_validator("service_tier")
    @classmethod
    def _told(cls, tier: str) -> str:
        """One that no call is ever served at would leave its price unused, without a word."""
        if tier and not service_tier(tier):
            raise ValueError(
                f"{tier!r} is no tier of its own; write it as answers do (flex), and leave out the usual one"
            )
        return tier

    def fits(self, model: str, provider: str, at: float, tier: str) -> bool:
        """True when it is the price of ``model`` at that time (Unix seconds)."""
        named = model == self.model or (self.model.endswith("*") and model.startswith(self.model[:-1]))
        return named and self.provider in ("", provider) and self.service_tier in ("", tier) and at >= self.begins

    @property
    def name(self) -> str:
        """What rows call it."""
        return f"{self.provider or '*'}/{self.model} {self.service_tier}".rstrip()

    @property
    def begins(self) -> float:
        """Unix seconds from which it holds."""
        return datetime.combine(self.since, time(), UTC).timestamp() if self.since > date.min else 0.0

    def of(self, usage: Usage) -> Decimal | None:
        """The cost, or None when the usage contradicts itself (more cache than input)."""
        plain = usage.input_tokens - usage.cache_read - usage.cache_creation
        if plain < 0:
            return None
        read = self.input_mtok if self.cache_read_mtok is None else self.cache_read_mtok
        write = self.input_mtok if self.cache_write_mtok is None else self.cache_write_mtok
        total = plain * self.input_mtok + usage.cache_read * read + usage.cache_creation * write
        return (total + usage.output_tokens * self.output_mtok) / _MILLION


class PriceBook:
    """Own prices over the shipped ones.

    Args:
        own: prices that win over the shipped ones.
        identity: which edition of them this is; it stands in every row that they priced.
    """

    def __init__(self, own: Iterable[OwnPrice] = (), identity: str = "") -> None:
        self._own = sorted(
            own, reverse=True,
            key=lambda price: (bool(price.service_tier), price.begins, bool(price.provider), len(price.model)),
        )  # fmt: skip
        self._identity = identity

    @classmethod
    def load(cls, path: Path | None) -> PriceBook:
        """The book of a prices file; without one, the shipped prices alone.

        Raises:
            ConfigError: the file is missing, or a price in it cannot be read.
        """
        if path is None:
            return cls()
        try:
            text = path.read_text(encoding="utf-8")
            data = tomllib.loads(text, parse_float=Decimal)
            _refuse_unknown(data)
            own = [OwnPrice(**entry) for entry in data.get("price", ())]
        except ValidationError as error:
            raise ConfigError(f"prices_file {path}: {explain(error)}") from error
        except (OSError, ValueError, TypeError) as error:
            raise ConfigError(f"prices_file {path}: {error}") from error
        return cls(own, hashlib.sha256(text.encode()).hexdigest()[:12])

    def cost_of(self, usage: Usage, model: str, provider: str, at: float, tier: str = "") -> Cost | None:
        """The cost of ``usage`` at time ``at`` (Unix seconds), or None when the model has no known price.

        A provider spelled in a way the shipped prices do not know must not make a known model unpriced. A tier (the
        provider's ``service_tier``) of which no price is known costs what the usual one does.
        """
        for price in self._own:
            if price.fits(model, provider, at, tier):
                usd = price.of(usage)
                return None if usd is None else Cost(usd, f"own {self._identity} {price.name}")
        provider = "azure" if provider in _AZURE else provider
        cost = _shipped(usage, model, provider, at, tier)
        return cost or (_shipped(usage, model, "", at, tier) if provider else None)


def service_tier(told: object) -> str | None:
    """A tier of a provider's service as price lists name it: empty for the usual one, None where nothing is told."""
    if not isinstance(told, str) or told == "auto" or not _TIER.fullmatch(told):  # "auto" lets the provider choose
        return None
    return "" if told in _USUAL else told


SHIPPED: Final = PriceBook()
"""``genai-prices`` alone."""


def _refuse_unknown(data: dict[str, Any]) -> None:
    unknown = set(data) - {"price"}
    if unknown:
        raise ValueError(f"{', '.join(sorted(unknown))} is unknown; prices are written as [[price]]")


def _shipped(usage: Usage, model: str, provider: str, at: float, tier: str) -> Cost | None:
    import genai_prices  # optional: only who prices needs it

    try:
        when = datetime.fromtimestamp(at, UTC)
        result = genai_prices.calc_price(
            genai_prices.Usage(
                input_tokens=usage.input_tokens,
                output_tokens=usage.output_tokens,
                cache_read_tokens=usage.cache_read or None,
                cache_write_tokens=usage.cache_creation or None,
            ),
            model_ref=model,
            provider_id=provider or None,
            genai_request_timestamp=when,
            price_context={"service_tier": tier} if tier else None,
        )
    except (LookupError, ValueError, OverflowError, OSError):  # unknown model, or a time outside the calendar
        return None
    name = f"genai-prices {genai_prices.__version__} {result.provider.id}/{result.model.id}"
    variants = [each for each in result.model.price_variants or () if each.when.get("service_tier") == tier]
    known = any(each.constraint is None or each.constraint.active(when) for each in variants)
    return Cost(Decimal(result.total_price), f"{name} {tier}" if known else name)
