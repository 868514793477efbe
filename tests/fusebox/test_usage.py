"""Token usage of each provider's shape, and its price."""

from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace

import pytest

from fusebox.errors import ConfigError
from fusebox.prices import SHIPPED, PriceBook
from fusebox.usage import Usage, usage_of

AT = 1_760_000_000.0
LATER = 1_795_800_000.0


def test_openai_chat_with_details() -> None:
    usage = {
        "prompt_tokens": 10,
        "completion_tokens": 7,
        "prompt_tokens_details": {"cached_tokens": 4},
        "completion_tokens_details": {"reasoning_tokens": 5},
    }
    assert usage_of({"usage": usage}) == Usage(10, 7, cache_read=4, reasoning=5)


def test_openai_responses_as_objects() -> None:
    usage = SimpleNamespace(
        input_tokens=10,
        output_tokens=7,
        input_tokens_details=SimpleNamespace(cached_tokens=4),
        output_tokens_details=None,
    )
    assert usage_of(SimpleNamespace(usage=usage)) == Usage(10, 7, cache_read=4)


def test_anthropic_adds_the_cache_back_to_the_input() -> None:
    usage = {
        "input_tokens": 10,
        "output_tokens": 7,
        "cache_read_input_tokens": 100,
        "cache_creation_input_tokens": None,
    }
    assert usage_of({"usage": usage}) == Usage(110, 7, cache_read=100)


@pytest.mark.parametrize("response", [None, {}, {"usage": None}, {"usage": {}}, {"usage": {"total": 3}}, "text", 7])
def test_no_usage_is_not_free(response: object) -> None:
    assert usage_of(response) is None


@pytest.mark.parametrize(
    "lie", [{"prompt_tokens": 2**63, "completion_tokens": 1}, {"input_tokens": 1, "output_tokens": 10**9 + 1}]
)
def test_more_than_any_call_can_use_is_not_believed(lie: dict[str, int]) -> None:
    assert usage_of({"usage": lie}) is None


def test_nonsense_counts_as_zero() -> None:
    assert usage_of({"usage": {"prompt_tokens": -5, "completion_tokens": True}}) == Usage()


def test_a_known_model_has_a_price_with_its_source() -> None:
    cost = SHIPPED.cost_of(Usage(1_000_000, 0), "gpt-4o-mini", "openai", AT)
    assert cost is not None
    assert cost.usd == Decimal("0.15")
    assert cost.price.startswith("genai-prices ")
    assert cost.price.endswith("openai/gpt-4o-mini")


@pytest.mark.parametrize("tier", ["flex", "priority"])
def test_a_service_tier_has_a_price_of_its_own_where_one_is_known(tier: str) -> None:
    usual, other, unknown = (
        SHIPPED.cost_of(Usage(1_000_000, 0), "o3", "openai", LATER, each) for each in ("", tier, "of-tomorrow")
    )
    assert usual
    assert other
    assert (other.usd < usual.usd) is (tier == "flex")
    assert other.price == f"{usual.price} {tier}"
    assert unknown == usual


def test_own_prices_may_be_of_one_service_tier(tmp_path: Path) -> None:
    (tmp_path / "p.toml").write_text(
        '[[price]]\nmodel = "house"\ninput_mtok = 2\noutput_mtok = 0\nfrom = 2026-01-01\n'
        '[[price]]\nmodel = "house"\nservice_tier = "night"\ninput_mtok = 1\noutput_mtok = 0\n'
    )
    book = PriceBook.load(tmp_path / "p.toml")
    costs = [book.cost_of(Usage(1_000_000), "house", "", LATER, tier) for tier in ("", "night", "day")]
    assert [cost and cost.usd for cost in costs] == [2, 1, 2]
    assert costs[1]
    assert costs[1].price.endswith("*/house night")


@pytest.mark.parametrize("tier", ["default", "standard", "auto", "Flex"])
def test_an_own_price_of_a_tier_that_no_call_is_served_at_is_refused(tmp_path: Path, tier: str) -> None:
    price = f'[[price]]\nmodel = "house"\nservice_tier = "{tier}"\ninput_mtok = 1\noutput_mtok = 0\n'
    (tmp_path / "p.toml").write_text(price)
    with pytest.raises(ConfigError, match="service_tier"):
        PriceBook.load(tmp_path / "p.toml")


def test_cached_input_is_cheaper() -> None:
    full, cached = (SHIPPED.cost_of(Usage(1000, 0, cache_read=n), "gpt-4o-mini", "openai", AT) for n in (0, 1000))
    assert full is not None
    assert cached is not None
    assert 0 < cached.usd < full.usd


@pytest.mark.parametrize(
    ("model", "provider", "at"),
    [
        ("no-such-model", "openai", AT),
        ("", "", AT),
        ("gpt-4o-mini", "openai", 1e30),
    ],
)
def test_what_has_no_price_is_unpriced(model: str, provider: str, at: float) -> None:
    assert SHIPPED.cost_of(Usage(10, 10), model, provider, at) is None


def test_impossible_usage_is_unpriced() -> None:
    assert SHIPPED.cost_of(Usage(10, 0, cache_read=50), "gpt-4o-mini", "openai", AT) is None


def test_a_provider_spelled_in_another_way_does_not_make_a_known_model_free() -> None:
    assert SHIPPED.cost_of(Usage(10, 10), "gpt-4o-mini", "no-such-provider", AT) is not None
