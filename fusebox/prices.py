"""What an inference cost, in US dollars, from the dated prices of ``genai-prices``.

The library is loaded on first use (it carries its price table along; nothing is fetched). A model it does not know
is ``None``: unpriced, never free.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

from fusebox.usage import Usage


@dataclass(frozen=True, slots=True)
class Cost:
    """A price and where it came from (``genai-prices <version> <provider>/<model>``)."""

    usd: Decimal
    price: str


def cost_of(usage: Usage, model: str, provider: str, at: float) -> Cost | None:
    """The cost of ``usage`` at time ``at`` (Unix seconds), or None when the model has no known price."""
    import genai_prices  # optional: only who prices needs it

    try:
        result = genai_prices.calc_price(
            genai_prices.Usage(
                input_tokens=usage.input_tokens,
                output_tokens=usage.output_tokens,
                cache_read_tokens=usage.cache_read or None,
                cache_write_tokens=usage.cache_creation or None,
            ),
            model_ref=model,
            provider_id=provider or None,
            genai_request_timestamp=datetime.fromtimestamp(at, UTC),
        )
    except (LookupError, ValueError, OverflowError, OSError):  # unknown model, or a time outside the calendar
        return None
    return Cost(
        Decimal(result.total_price), f"genai-prices {genai_prices.__version__} {result.provider.id}/{result.model.id}"
    )
