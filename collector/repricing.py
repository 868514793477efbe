"""Repricing: what a price book makes of ledger rows, as a diff. Pure; nothing is written here.

A row changes when the book knows a cost and it is another one. A row without tokens has nothing to price, and a cost
once known is never taken back because a book does not know the model.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import ROUND_DOWN, Decimal
from typing import Any, Final

from fusebox.prices import PriceBook
from fusebox.usage import Usage

_PLACES: Final = Decimal("1e-12")  # of the column, which cuts
_MOST: Final = 1_000_000
"""US dollars that the column cannot hold: a row like that stays unpriced, as it was when it came."""
_HOUR_S: Final = 3600


@dataclass(frozen=True, slots=True)
class Change:
    """One row with its cost (US dollars, None = nobody knew) before and now."""

    agent: str
    provider: str
    model: str
    trace_id: str
    span_id: str
    before: Decimal | None
    before_price: str
    now: Decimal
    price: str

    def body(self) -> dict[str, str]:
        """As the control API takes it."""
        return {
            "trace_id": self.trace_id, "span_id": self.span_id, "cost_usd": f"{self.now:f}", "price": self.price,
            "before_usd": "" if self.before is None else f"{self.before:f}", "before_price": self.before_price,
        }  # fmt: skip


def changes(rows: Iterable[dict[str, Any]], book: PriceBook) -> Iterator[Change]:
    """The rows of the query ``ledger_rows`` that ``book`` prices differently."""
    for row in rows:
        usage = Usage(
            row["input_tokens"], row["output_tokens"], row["cache_read_tokens"], row["cache_creation_tokens"],
            row["reasoning_tokens"],
        )  # fmt: skip
        started = row["time"] - row["duration_s"]
        cost = book.cost_of(usage, row["model"], row["provider"], started // _HOUR_S * _HOUR_S, row["service_tier"])
        if usage == Usage() or cost is None or cost.usd >= _MOST:
            continue
        now = cost.usd.quantize(_PLACES, ROUND_DOWN)
        if now != row["cost_usd"]:
            yield Change(
                row["agent"], row["provider"], row["model"], row["trace_id"], row["span_id"], row["cost_usd"],
                row["price"], now, cost.price,
            )  # fmt: skip
