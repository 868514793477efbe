"""The types of the agent registry (``agents.toml``); :mod:`governance.registry` reads the file and watches strangers.

::

    [agents.ticket-helper]
    owner = "jo@example.com"
    team = "support"
    risk = "normal"                   # low, normal or high
    tokens_per_minute = 20000         # budgets, shown on the board and used by the burn detector
    usd_per_minute = 0.5
    periodic = ["heartbeat"]          # operations that repeat on purpose and are not judged as loops
    handles = ["ticket.commented"]    # routing keys; 'fusebox rabbitmq provision' binds its queue to them
    publishes = ["ticket.suggested"]  # routing keys its AMQP user is permitted to write
    approvals = { by = ["dana", "jo"], people = 2, expires_s = 3600 }  # who agrees to what a guard holds

    [[agents.ticket-helper.sql]]      # what it may say in SQL; without one it may say nothing
    tool = "warehouse"                # the gateway's tool; a * stands for any rest
    dialect = "postgres"              # clickhouse, postgres or mysql
    verbs = ["select"]                # of select, insert, update, delete
    tables = { orders = ["id", "status"], "stock.items" = ["*"] }
    max_rows = 1000                   # rows without a real WHERE; 0: no limit

    [[agents.ticket-helper.grants]]   # what policy lets it do, once a policy is configured (docs/guide/policy.md)
    action = "tool_call"              # publish, consume, model_call or tool_call
    resource = "jira.*"               # a * stands for any rest
    when = { target = "GET *" }       # conditions: every fact fits its pattern
    at_most = { "arguments.amount" = 500 }   # and is a number up to this (above: beyond this)
    hold = false                      # true: only after a person agreed

    [roles.reader]                    # agents name it in roles = ["reader"] and have its grants and denies, too
    grants = [{ action = "tool_call", resource = "warehouse" }]
    denies = [{ action = "tool_call", resource = "warehouse", when = { target = "DELETE *" } }]
"""

from __future__ import annotations

import re
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

from fusebox.records import ActionKind

Fact = Annotated[str, StringConstraints(pattern=r"^(target|workflow|environment|arguments(\.[^.]+)+)$")]
"""What a condition may look at; ``arguments.order.total`` is the field ``total`` of the field ``order``."""
_ELSEWHERE: Final = re.compile(r"[?{}\[\]\\]")
"""What other patterns mean something by, and engines not the same: a rule could fit nothing, also one that denies."""


def _only_stars(pattern: str) -> str:
    """
    Raises:
        ValueError: something else than ``*`` looks as if it were special.
    """
    if found := _ELSEWHERE.search(pattern):
        raise ValueError(f"{pattern!r} has a {found[0]!r}; only a * is special in a pattern, so write that instead")
    return pattern


Pattern = Annotated[str, AfterValidator(_only_stars)]
"""Text in which a ``*`` stands for any rest (in a routing key for one word)."""
Bound = Annotated[float, Field(allow_inf_nan=False)]
AGENT_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")


class Risk(StrEnum):
    """How much harm an agent could do; decides how strict its guards are when they cannot know."""

    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"


class SqlVerb(StrEnum):
    """The statements that can be granted; whatever else SQL can do is never granted to an agent."""

    SELECT = "select"
    INSERT = "insert"
    UPDATE = "update"
    DELETE = "delete"


class SqlGrant(BaseModel):
    """What an agent may say in SQL to one tool, or to those that fit a pattern."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tool: str = "*"
    dialect: Literal["clickhouse", "postgres", "mysql"]
    verbs: frozenset[SqlVerb] = frozenset({SqlVerb.SELECT})
    tables: dict[str, tuple[str, ...]] = Field(min_length=1)
    """Tables as statements name them, with their columns; ``*`` for all."""
    max_rows: int = Field(default=1000, ge=0)
    """Rows that a read without a real WHERE may ask for by LIMIT; 0 allows whole tables."""

    def columns(self, table: str) -> tuple[str, ...] | None:
        """The columns of a granted table; None when the table is not granted."""
        return self.tables.get(table)


class ApprovalRule(BaseModel):
    """Who is asked where a guard holds what the agent wants to do. Times are seconds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    by: tuple[str, ...] = ()
    """Operators, and names of keys that sign webhooks; empty: any of them."""
    people: int = Field(default=1, ge=1, le=2)
    """How many of them must agree."""
    expires_s: float = Field(default=900.0, gt=0, le=7 * 86_400)
    """Unanswered for so long is a no; agreed to and unused for so long, it is over too."""

    @model_validator(mode="after")
    def _enough(self) -> Self:
        if self.by and len(set(self.by)) < self.people:
            raise ValueError(f"it takes {self.people} people to agree, and by names {len(set(self.by))}; name more")
        return self


class Rule(BaseModel):
    """Actions, those that fit all of this: what an agent may not do."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    action: ActionKind
    resource: Pattern = Field(min_length=1)
    when: dict[Fact, Pattern] = {}
    """Patterns that facts of the action must fit."""
    at_most: dict[Fact, Bound] = {}
    above: dict[Fact, Bound] = {}
    """Bounds of facts that are numbers."""


class Grant(Rule):
    """Actions that an agent may do."""

    hold: bool = False
    """Only after a person agreed."""


class Role(BaseModel):
    """What agents of a kind may do, and may not."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    grants: tuple[Grant, ...] = ()
    denies: tuple[Rule, ...] = ()
    """Win over every grant, wherever that comes from."""


class AgentEntry(Role):
    """One registered agent."""

    owner: str
    team: str = ""
    risk: Risk = Risk.NORMAL
    tokens_per_minute: int | None = Field(None, gt=0)
    usd_per_minute: float | None = Field(None, gt=0, allow_inf_nan=False)
    periodic: frozenset[str] = frozenset()
    handles: tuple[Pattern, ...] = ()
    publishes: tuple[Pattern, ...] = ()
    sql: tuple[SqlGrant, ...] = ()
    roles: tuple[str, ...] = ()
    approvals: ApprovalRule = ApprovalRule()


class Registry(BaseModel):
    """All registered agents of one tenant."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    agents: dict[str, AgentEntry] = {}
    roles: dict[str, Role] = {}

    @field_validator("agents")
    @classmethod
    def _ids(cls, agents: dict[str, AgentEntry]) -> dict[str, AgentEntry]:
        for agent in agents:
            if not AGENT_ID.fullmatch(agent):
                raise ValueError(f"agent id {agent!r} must match {AGENT_ID.pattern}")
        return agents

    @model_validator(mode="after")
    def _roles(self) -> Self:
        for agent, entry in self.agents.items():
            unknown = [role for role in entry.roles if role not in self.roles]
            if unknown:
                known = ", ".join(self.roles) or "none"
                raise ValueError(f"agent {agent!r} has the role {unknown[0]!r}, and there are {known}")
        return self

    def risk(self, agent: str) -> Risk:
        """The agent's risk class; ``normal`` for strangers."""
        entry = self.agents.get(agent)
        return entry.risk if entry else Risk.NORMAL

    def approval_rule(self, agent: str) -> ApprovalRule:
        """Who is asked about the agent; the usual rule for strangers."""
        entry = self.agents.get(agent)
        return entry.approvals if entry else ApprovalRule()

    def sql_grants(self, agent: str, tool: str) -> tuple[SqlGrant, ...]:
        """The agent's SQL grants for a tool; none for strangers."""
        entry = self.agents.get(agent)
        return tuple(grant for grant in entry.sql if fnmatchcase(tool, grant.tool)) if entry else ()
