"""The types of the agent registry."""

import pytest
from pydantic import ValidationError

from fusebox.registry import AgentEntry, Registry, Risk


def test_strangers_are_of_normal_risk() -> None:
    registry = Registry(agents={"a": AgentEntry(owner="jo", risk=Risk.HIGH)})
    assert (registry.risk("a"), registry.risk("b")) == (Risk.HIGH, Risk.NORMAL)


@pytest.mark.parametrize("agent", ["", "-a", "a b", "a/b", "a,b", "a\n", "é", "a" * 129])
def test_ids_that_would_break_a_queue_or_header_are_refused(agent: str) -> None:
    with pytest.raises(ValidationError):
        Registry(agents={agent: AgentEntry(owner="jo")})


@pytest.mark.parametrize("entry", [{}, {"owner": "jo", "boss": "x"}, {"owner": "jo", "tokens_per_minute": 0}])
def test_entries_are_checked(entry: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        AgentEntry.model_validate(entry)
