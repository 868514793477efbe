"""Grants: what the registry says an agent may do, in the form in which policies read it.

By action, a list of ``{"name", "resource", "separators", "conditions"}`` each for ``denies``, ``holds`` and
``grants``. Patterns are those of Rego's ``glob.match``: with no separators a ``*`` stands for any rest. The routing
keys an agent ``handles`` and ``publishes`` are grants, too: there a ``*`` is one word and ``#`` any number, as AMQP has
it. A condition is ``{"fact", "like"}``, ``{"fact", "at_most"}`` or ``{"fact", "above"}``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from fusebox.command import canonical
from fusebox.records import ActionKind
from fusebox.registry import AgentEntry, Registry, Risk, Role, Rule

Entry = Mapping[str, Any]
ByAction = Mapping[str, list[Entry]]
ARGUMENTS: Final = "arguments"
WORKFLOW: Final = "workflow"
_WORDS: Final = (".",)
_REVISION: Final = 12


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known of one agent."""

    risk: Risk = Risk.NORMAL
    team: str = ""
    roles: tuple[str, ...] = ()
    denies: ByAction = field(default_factory=dict)
    holds: ByAction = field(default_factory=dict)
    grants: ByAction = field(default_factory=dict)

    @property
    def facts(self) -> frozenset[str]:
        """What its conditions look at."""
        lists = (self.denies, self.holds, self.grants)
        entries = (entry for by_action in lists for listed in by_action.values() for entry in listed)
        return frozenset(condition["fact"] for entry in entries for condition in entry["conditions"])

    def document(self) -> dict[str, ByAction]:
        """As policies read it."""
        return {"denies": self.denies, "holds": self.holds, "grants": self.grants}

    def names(self) -> list[str]:
        """Of its holds and grants, in order."""
        return list(dict.fromkeys(str(entry["name"]) for entry in self._granted()))

    @property
    def unknowable(self) -> frozenset[str]:
        """The names of those that look at what is not on record: arguments, and each workflow."""
        return frozenset(
            str(entry["name"])
            for entry in self._granted()
            if any(condition["fact"].startswith((ARGUMENTS, WORKFLOW)) for condition in entry["conditions"])
        )

    def _granted(self) -> list[Entry]:
        return [e for by_action in (self.holds, self.grants) for listed in by_action.values() for e in listed]


STRANGER: Final = Standing()
"""Nobody registered it: nothing is granted."""


class Grants:
    """Of all agents."""

    def __init__(self, registry: Registry) -> None:
        self._standings = {agent: _standing(agent, entry, registry) for agent, entry in registry.agents.items()}
        told = {agent: [s.roles, s.team, s.risk, s.document()] for agent, s in self._standings.items()}
        self.revision = hashlib.sha256(canonical(told)).hexdigest()[:_REVISION]

    def of(self, agent: str) -> Standing:
        """What is known of an agent."""
        return self._standings.get(agent, STRANGER)

    def __contains__(self, agent: str) -> bool:
        return agent in self._standings

    def document(self) -> dict[str, dict[str, ByAction]]:
        """Of every agent, as policies read it."""
        return {agent: standing.document() for agent, standing in self._standings.items()}

    def agents(self) -> list[str]:
        """Who is registered."""
        return list(self._standings)


def _standing(agent: str, entry: AgentEntry, registry: Registry) -> Standing:
    sources: list[tuple[str, Role]] = [(agent, entry), *((role, registry.roles[role]) for role in entry.roles)]
    denies = [(source, deny) for source, role in sources for deny in role.denies]
    grants = [(source, grant) for source, role in sources for grant in role.grants]
    granted = _listed((source, grant) for source, grant in grants if not grant.hold)
    for action, keys in ((ActionKind.CONSUME, entry.handles), (ActionKind.PUBLISH, entry.publishes)):
        granted.setdefault(action.value, []).extend(_keys(agent, action, keys))
    held = _listed((source, grant) for source, grant in grants if grant.hold)
    return Standing(entry.risk, entry.team, entry.roles, _listed(denies), held, granted)


def _listed(rules: Iterable[tuple[str, Rule]]) -> dict[str, list[Entry]]:
    listed: dict[str, list[Entry]] = {}
    for source, rule in rules:
        patterns = [{"fact": fact, "like": pattern} for fact, pattern in sorted(rule.when.items())]
        ends = [{"fact": fact, "at_most": most} for fact, most in sorted(rule.at_most.items())]
        starts = [{"fact": fact, "above": least} for fact, least in sorted(rule.above.items())]
        conditions: list[dict[str, Any]] = [*patterns, *ends, *starts]
        listed.setdefault(rule.action.value, []).append(
            _entry(_name(source, rule), rule.resource, None, conditions)
        )  # fmt: skip
    return listed


def _keys(agent: str, action: ActionKind, keys: Iterable[str]) -> Iterator[Entry]:
    for key in keys:
        yield _entry(f"{agent}: {action} {key}", key.replace("#", "**"), list(_WORDS), [])
        if key.endswith(".#"):  # which is no word at all, too
            yield _entry(f"{agent}: {action} {key}", key.removesuffix(".#"), list(_WORDS), [])


def _entry(name: str, resource: str, separators: list[str] | None, conditions: list[dict[str, Any]]) -> Entry:
    return {"name": name, "resource": resource, "separators": separators, "conditions": conditions}


def _name(source: str, rule: Rule) -> str:
    conditions = [f"{fact} = {pattern}" for fact, pattern in sorted(rule.when.items())]
    conditions += [f"{fact} <= {most:g}" for fact, most in sorted(rule.at_most.items())]
    conditions += [f"{fact} > {least:g}" for fact, least in sorted(rule.above.items())]
    return f"{source}: {rule.action} {rule.resource}" + (f" when {', '.join(conditions)}" if conditions else "")
