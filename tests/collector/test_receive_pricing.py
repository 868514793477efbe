"""Prices as straight lines: what a line says is what the library says, to the last digit."""

from __future__ import annotations

import random
from typing import Any

import pytest
from genai_prices.data_snapshot import get_snapshot

from collector.receive import pricing
from collector.receive.pricing import price_of
from fusebox import names
from fusebox.prices import SHIPPED, Cost, PriceBook
from fusebox.usage import Usage

AT = 1_790_000_000.0


def chat(usage: Usage, model: str, provider: str) -> dict[str, Any]:
    return {
        names.GEN_AI_OPERATION: "chat",
        names.GEN_AI_PROVIDER: provider,
        names.GEN_AI_REQUEST_MODEL: model,
        names.USAGE_INPUT: usage.input_tokens,
        names.USAGE_OUTPUT: usage.output_tokens,
        names.USAGE_CACHE_READ: usage.cache_read,
        names.USAGE_CACHE_CREATION: usage.cache_creation,
    }


def usages(rng: random.Random) -> list[Usage]:
    """Ordinary ones, one beyond every tier, and one whose cache is larger than its input."""
    found = []
    for most in (200, 30_000, 300_000, 3_000_000):
        total = rng.randint(1, most)
        read = rng.choice([0, rng.randint(0, total)])
        found.append(Usage(total, rng.randint(0, 9_000), read, rng.choice([0, rng.randint(0, total - read)])))
    return [*found, Usage(10, 5, 50)]


def test_every_known_model_costs_what_the_library_says() -> None:
    rng = random.Random(7)
    models = [(p.id, m.id) for p in get_snapshot().providers for m in p.models]
    straight = 0
    for provider, model in rng.sample(models, 250):
        for usage in usages(rng):
            hour = AT // 3600 * 3600
            expected = SHIPPED.cost_of(usage, model, provider, hour)
            assert price_of(chat(usage, model, provider), AT, AT) == expected, (provider, model, usage)
        line = pricing._line(SHIPPED, model, provider, int(AT // 3600), "")
        straight += bool(line and line.limit)
    assert straight > 200


@pytest.mark.parametrize(("tokens", "tier"), [(200_000, 0), (200_001, 1)])
def test_a_model_that_gets_dearer_does_so_at_its_step(tokens: int, tier: int) -> None:
    cost = price_of(chat(Usage(tokens), "claude-sonnet-4-5", "anthropic"), AT, AT)
    assert cost is not None
    assert float(cost.usd) == pytest.approx(tokens * (3e-6, 6e-6)[tier])


LATER = 1_795_800_000.0 // 3600 * 3600
"""The price list has tiers of October 2026 on."""
TIER = "openai.response.service_tier"


@pytest.mark.parametrize(
    ("told", "tier"),
    [
        ({TIER: "flex"}, "flex"),
        ({"gen_ai.openai.response.service_tier": "priority"}, "priority"),
        ({"openai.request.service_tier": "flex"}, "flex"),
        ({"openai.request.service_tier": "priority", TIER: "default"}, ""),
        ({"openai.request.service_tier": "auto"}, ""),
        ({TIER: "auto", "openai.request.service_tier": "flex"}, "flex"),
        ({TIER: "no such thing!"}, ""),
        ({TIER: 7}, ""),
    ],
)
def test_a_call_costs_what_the_tier_that_served_it_does(told: dict[str, Any], tier: str) -> None:
    usage = Usage(12_345, 678, 1_000)
    cost = price_of(chat(usage, "o3", "openai") | told, LATER, LATER)
    usual = SHIPPED.cost_of(usage, "o3", "openai", LATER)
    assert cost == SHIPPED.cost_of(usage, "o3", "openai", LATER, tier)
    assert cost
    assert usual
    assert (cost.usd != usual.usd) is bool(tier)


def test_an_unknown_model_is_asked_about_once() -> None:
    asked = []

    class Book(PriceBook):
        def cost_of(self, usage: Usage, model: str, provider: str, at: float, tier: str = "") -> Cost | None:
            asked.append(model)
            return super().cost_of(usage, model, provider, at, tier)

    book = Book()
    for tokens in range(1, 100):
        assert price_of(chat(Usage(tokens), "a model of tomorrow", ""), AT, AT, book) is None
    assert len(asked) == 1


@pytest.mark.parametrize("provider", ["azure.ai.openai", "azure.ai.inference", "az.ai.inference"])
def test_a_model_on_azure_is_priced_by_azures_list_however_it_is_spelled(provider: str) -> None:
    for model in ("gpt-4o", "phi-4", "ada"):
        assert SHIPPED.cost_of(Usage(1000, 100), model, provider, AT) == SHIPPED.cost_of(
            Usage(1000, 100), model, "azure", AT
        ), model
        cost = price_of(chat(Usage(1000, 100), model, provider), AT, AT)
        assert cost
        assert "azure/" in cost.price
    assert SHIPPED.cost_of(Usage(1000, 100), "mistral-large-2411", provider, AT), (
        "what Azure's list does not have is still priced"
    )
