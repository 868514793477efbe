"""What operators write: one ``[[limits]]`` each, and which rows of the quota a call falls under.

::

    [[limits]]
    scope = "agent"          # agent, team, model, tenant or workflow
    name = "*"               # each for itself; or one name, or a beginning and *: all of those together
    measure = "tokens"       # requests, tokens or usd
    limit = 20000
    window_s = 60            # any 60 seconds; or budget = "hour", "day", "month" (UTC) or "lifetime"

Of several limits on the same scope, measure and window the most exact name counts alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from enum import StrEnum
from typing import Final, NamedTuple
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field, model_validator

from fusebox.errors import ConfigError
from fusebox.registry import Registry

MICRO: Final = 1_000_000
"""Money is counted in whole millionths of a US dollar, rounded up."""

_MOST: Final = 10**15
"""Units, more than any limit has; numbers of any size are not for JSON."""

_LARGEST: Final = 10**14
"""Units that a limit may have: a hundred million dollars, or so many tokens."""

_SAFE: Final = ":@+*/"
"""What a row's name keeps of its subject beside letters, digits and ``_.-~``; blanks and line ends are written %XX."""


class Scope(StrEnum):
    """Who shares a limit; ``workflow`` is one run of a workflow, by its id."""

    AGENT = "agent"
    TEAM = "team"
    MODEL = "model"
    TENANT = "tenant"
    WORKFLOW = "workflow"


class Measure(StrEnum):
    """What is counted."""

    REQUESTS = "requests"
    TOKENS = "tokens"
    USD = "usd"


_REQUESTS, _TOKENS = Measure.REQUESTS, Measure.TOKENS


class Budget(StrEnum):
    """Over which stretch a budget runs: calendar hours, days and months of UTC, or as long as its subject exists."""

    HOUR = "hour"
    DAY = "day"
    MONTH = "month"
    LIFETIME = "lifetime"


class Limit(BaseModel):
    """One limit, as an operator writes it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    scope: Scope
    name: str = Field(default="*", min_length=1)
    measure: Measure
    limit: Decimal = Field(gt=0)
    window_s: int | None = Field(default=None, gt=0, le=86_400)
    budget: Budget | None = None

    @model_validator(mode="after")
    def _one_stretch(self) -> Limit:
        if (self.window_s is None) == (self.budget is None):
            raise ValueError("give either window_s or budget")
        if self.measure is not Measure.USD and self.limit % 1:
            raise ValueError(f"a limit in {self.measure} is a whole number, not {self.limit}")
        if self.units > _LARGEST:
            raise ValueError(f"a limit of {self.limit} {self.measure} is more than can be counted; leave it out")
        return self

    @property
    def stretch(self) -> str:
        """``60s`` or the budget's name: part of the row's name."""
        return f"{self.window_s}s" if self.window_s else str(self.budget)

    @property
    def units(self) -> int:
        """The limit in what rows count: requests, tokens, or millionths of a dollar."""
        return int(self.limit * MICRO) if self.measure is Measure.USD else int(self.limit)

    def fits(self, subject: str) -> bool:
        """True when it holds for a subject of its scope."""
        return self.name in ("*", subject) or (self.name.endswith("*") and subject.startswith(self.name[:-1]))


class Call(NamedTuple):
    """Whose call it is. An empty team, model or workflow falls under no limit of that scope."""

    agent: str
    team: str = ""
    model: str = ""
    workflow: str = ""
    tenant: str = "default"

    def subject(self, scope: Scope) -> str:
        """Its name in a scope."""
        return str(getattr(self, scope.value))


class Demand(NamedTuple):
    """What a call may cost at worst; or, at settlement, what it did cost."""

    input_tokens: int = 0
    output_tokens: int = 0
    usd: Decimal = Decimal(0)
    requests: int = 1

    def units(self, measure: Measure) -> int:
        """The demand in what rows count."""
        if measure is _TOKENS:
            tokens = self.input_tokens + self.output_tokens
            return tokens if tokens < _MOST else _MOST
        if measure is _REQUESTS:
            return self.requests
        return min(int((self.usd * MICRO).to_integral_value(ROUND_CEILING)), _MOST)


NOTHING: Final = Demand(requests=0)
"""What a call cost that never reached its provider."""


@dataclass(frozen=True, slots=True)
class Counted:
    """A limit as it holds for one call."""

    row: str
    limit: Limit
    subject: str
    units: int


def limits_on(call: Call, limits: Iterable[Limit]) -> tuple[Counted, ...]:
    """The rows a call falls under, each with the limit that counts."""
    chosen: dict[tuple[str, ...], Limit] = {}
    for limit in limits:
        subject = call.subject(limit.scope)
        if subject and limit.fits(subject):
            place = (limit.scope, limit.measure, limit.stretch)
            if place not in chosen or _exactness(limit) > _exactness(chosen[place]):
                chosen[place] = limit
    return tuple(_counted(limit, call.subject(limit.scope)) for limit in chosen.values())


def _counted(limit: Limit, subject: str) -> Counted:
    together = subject if limit.name == "*" else limit.name
    row = f"{limit.measure}/{limit.stretch}/{limit.scope}/{quote(together, _SAFE)}"
    return Counted(row, limit, together, limit.units)


def registered_limits(registry: Registry) -> tuple[Limit, ...]:
    """``tokens_per_minute`` and ``usd_per_minute`` of the registry's agents, as limits."""
    return tuple(
        Limit(scope=Scope.AGENT, name=agent, measure=measure, limit=Decimal(str(budget)), window_s=60)
        for agent, entry in registry.agents.items()
        for measure, budget in ((Measure.TOKENS, entry.tokens_per_minute), (Measure.USD, entry.usd_per_minute))
        if budget
    )


def refuse_unmatched(limits: Iterable[Limit], known: dict[Scope, set[str]]) -> None:
    """Refuse a limit that could never count: its name is none of those that exist in its scope, or is taken by another
    limit on the same measure and stretch.

    Args:
        known: the names of each scope; scopes that are left out are not checked.

    Raises:
        ConfigError: the text names the limit.
    """
    placed: dict[tuple[str, ...], Limit] = {}
    for limit in limits:
        place = (limit.scope, limit.name, limit.measure, limit.stretch)
        if place in placed:
            row = "/".join((limit.measure, limit.stretch, limit.scope, limit.name))
            both = f"{placed[place].limit} and {limit.limit}"
            raise ConfigError(f"limits: {row} is limited twice, to {both} (agents.toml counts, too); leave one of them")
        placed[place] = limit
        names = known.get(limit.scope)
        if limit.name != "*" and names is not None and not any(limit.fits(name) for name in names):
            there = ", ".join(sorted(names)) or "nothing"
            raise ConfigError(f"limits: no {limit.scope} is called {limit.name!r}; there is {there}")


def _exactness(limit: Limit) -> tuple[bool, int]:
    return not limit.name.endswith("*"), len(limit.name)
