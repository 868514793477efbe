"""Which alerts a rule is about: routes, inhibitions and silences ask this one question."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any

from pydantic import BaseModel, ConfigDict, field_validator

from collector.alerts.alert import MEANINGS, Alert, Severity


class Match(BaseModel):
    """Takes an alert when every list that is not empty holds it.

    Attributes:
        agents: agent ids, with ``*`` and ``?``.
        teams: teams of the registry.
        severities: ``critical``, ``warning``, ``info``.
        types: types of alerts, with ``*`` and ``?``; one that is no alert's is refused.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    agents: tuple[str, ...] = ()
    teams: tuple[str, ...] = ()
    severities: tuple[Severity, ...] = ()
    types: tuple[str, ...] = ()

    @field_validator("types")
    @classmethod
    def _known(cls, types: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in types:
            if not any(fnmatchcase(type, pattern) for type in MEANINGS):
                raise ValueError(f"{pattern!r} is no type of alert; there are {', '.join(sorted(MEANINGS))}")
        return types

    def takes(self, alert: Alert) -> bool:
        """True when the rule is about this alert."""
        return (
            _any(self.agents, alert.agent)
            and (not self.teams or alert.team in self.teams)
            and (not self.severities or alert.severity in self.severities)
            and _any(self.types, alert.type)
        )

    @property
    def words(self) -> str:
        """For people."""
        lists: dict[str, Sequence[Any]] = {
            "agents": self.agents, "teams": self.teams, "severities": self.severities, "types": self.types,
        }  # fmt: skip
        told = [f"{name} {', '.join(map(str, values))}" for name, values in lists.items() if values]
        return "; ".join(told) or "every alert"


def _any(patterns: Sequence[str], text: str) -> bool:
    return not patterns or any(fnmatchcase(text, pattern) for pattern in patterns)
