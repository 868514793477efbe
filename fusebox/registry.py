"""The types of the agent registry (``agents.toml``); :mod:`governance.registry` reads the file and watches strangers.

::

    [agents.ticket-helper]
    owner = "jo@example.com"
    team = "support"
    risk = "normal"                   # low, normal or high
    tokens_per_minute = 20000         # budget shown on the board and used by the token-burn detector
    periodic = ["heartbeat"]          # operations that repeat on purpose and are not judged as loops
    handles = ["ticket.commented"]    # routing keys; 'fusebox rabbitmq provision' binds its queue to them
    publishes = ["ticket.suggested"]  # routing keys its AMQP user is permitted to write
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, field_validator

AGENT_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")


class Risk(StrEnum):
    """How much harm an agent could do; decides how strict its guards are when they cannot know."""

    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"


class AgentEntry(BaseModel):
    """One registered agent."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    owner: str
    team: str = ""
    risk: Risk = Risk.NORMAL
    tokens_per_minute: int | None = Field(None, gt=0)
    periodic: frozenset[str] = frozenset()
    handles: tuple[str, ...] = ()
    publishes: tuple[str, ...] = ()


class Registry(BaseModel):
    """All registered agents of one tenant."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    agents: dict[str, AgentEntry] = {}

    @field_validator("agents")
    @classmethod
    def _ids(cls, agents: dict[str, AgentEntry]) -> dict[str, AgentEntry]:
        for agent in agents:
            if not AGENT_ID.fullmatch(agent):
                raise ValueError(f"agent id {agent!r} must match {AGENT_ID.pattern}")
        return agents

    def risk(self, agent: str) -> Risk:
        """The agent's risk class; ``normal`` for strangers."""
        entry = self.agents.get(agent)
        return entry.risk if entry else Risk.NORMAL
