"""Question: the input document of an action, and the part of it that tells it from others.

::

    {"agent", "tenant", "team", "risk", "roles", "action", "resource", "target", "arguments", "workflow", "environment",
     "facts", "standing"}

``action`` is publish, consume, model_call or tool_call; ``resource`` the routing key, model or tool; ``target`` what it
works on (in the gateway: method and path). ``arguments`` is a summary, bounded in size; prompts are never in it.
``facts`` has the value of what the agent's conditions look at, under the name they give it. ``standing`` has what the
registry lists for the agent (:mod:`governance.policy.grants`), for a server only: the embedded engine, to which parsing
it each time would take most of the time, has it as ``data.registry[agent]``.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

from fusebox.fingerprint import text_of
from fusebox.records import Action
from governance.policy.grants import ARGUMENTS, WORKFLOW, Grants
from governance.policy.ruling import Engine, Question

MAX_TEXT: Final = 1_000
MAX_ITEMS: Final = 100
MAX_DEPTH: Final = 6
MAX_BYTES: Final = 65_536
TARGET: Final = "target"
CUT: Final = "_cut"
"""Stands in an object, true, where something was left out or has no name, and in the place of what not every reader
reads alike; a policy can refuse what it cannot see."""

Key = tuple[str, ...]


class Questions:
    """Makes them.

    Args:
        engine: who will be asked.
        environment: the name of this deployment.
    """

    def __init__(self, grants: Grants, engine: Engine, environment: str) -> None:
        self._grants, self._environment = grants, environment
        self._reads, self._remote = engine.reads, engine.remote
        self._facts: dict[str, tuple[str, ...]] = {}

    def key(self, action: Action, summary: Any) -> Key:
        """Equal for two actions that the policy cannot tell apart."""
        facts = self._facts_of(action.agent)
        key = (action.agent, action.tenant, action.kind.value, action.operation)
        read = (self._value(name, action, summary) for name in (*sorted(self._reads), *facts))
        return (*key, *(json.dumps(value, sort_keys=True) for value in read))

    def summary(self, action: Action) -> Any:
        """The arguments, as far as anybody looks at them."""
        return summary_of(action.arguments) if self.judges_arguments(action.agent) else {}

    def judges_arguments(self, agent: str) -> bool:
        """True when a verdict on the agent may depend on arguments."""
        return ARGUMENTS in self._reads or any(fact.startswith(ARGUMENTS) for fact in self._facts_of(agent))

    def judges_unrecorded(self, agent: str) -> bool:
        """True when a verdict on the agent may depend on what is not on record: arguments, and each workflow."""
        return self.judges_arguments(agent) or WORKFLOW in self._reads or WORKFLOW in self._facts_of(agent)

    def names_target(self, agent: str) -> bool:
        """True when a verdict on the agent may depend on the target, and so is about one target only."""
        return TARGET in self._reads or TARGET in self._facts_of(agent)

    def question(self, action: Action, summary: Any) -> Question:
        """The whole document."""
        standing = self._grants.of(action.agent)
        return {
            "agent": action.agent, "tenant": action.tenant, "team": standing.team, "risk": standing.risk.value,
            "roles": list(standing.roles), "action": action.kind.value, "resource": action.operation,
            "target": action.target, "arguments": summary, "workflow": action.workflow,
            "environment": self._environment,
            "facts": {fact: _plain(self._value(fact, action, summary)) for fact in self._facts_of(action.agent)},
            **({"standing": standing.document()} if self._remote else {}),
        }  # fmt: skip

    def _facts_of(self, agent: str) -> tuple[str, ...]:
        found = self._facts.get(agent)
        if found is None:
            found = tuple(sorted(self._grants.of(agent).facts))
            if agent in self._grants:
                self._facts[agent] = found
        return found

    def _value(self, name: str, action: Action, summary: Any) -> Any:
        head, _, path = name.partition(".")
        if head == ARGUMENTS:
            return _found(summary, path.split(".")) if path else summary
        return {TARGET: action.target, WORKFLOW: action.workflow, "environment": self._environment}[head]


def summary_of(arguments: object) -> Any:
    """Arguments as plain JSON, bounded: long texts, long lists and deep nesting are cut, and say so (:data:`CUT`).

    So does a number that is none (NaN) or without end, which no bound could judge, and a field that is named twice.

    Text that is JSON (a request's body) is read as such. What is no object then is ``value`` of one that says so, too.
    """
    if arguments is None:
        return {}
    text = text_of(arguments)
    try:
        value = json.loads(text, object_pairs_hook=_once) if len(text) <= MAX_BYTES else {CUT: True}
    except ValueError:
        value = text
    return _bounded(value if isinstance(value, dict) else {CUT: True, "value": value}, MAX_DEPTH)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object; which value a field has that is named twice, its reader decides."""
    fields = dict(pairs)
    if len(fields) < len(pairs):
        times = Counter(name for name, _ in pairs)
        fields |= {name: {CUT: True} for name in fields if times[name] > 1}
    return fields


def _bounded(value: Any, depth: int) -> Any:
    if isinstance(value, str):
        return value if len(value) <= MAX_TEXT else {CUT: True, "text": value[:MAX_TEXT], "length": len(value)}
    if isinstance(value, float) and not math.isfinite(value):
        return {CUT: True}
    if not isinstance(value, dict | list):
        return value
    if depth == 0:
        return {CUT: True}
    if isinstance(value, list):
        short = [_bounded(item, depth - 1) for item in value[:MAX_ITEMS]]
        return short if len(value) <= MAX_ITEMS else {CUT: True, "items": short, "length": len(value)}
    kept = {name: _bounded(item, depth - 1) for name, item in list(value.items())[:MAX_ITEMS]}
    return kept if len(value) <= MAX_ITEMS else {**kept, CUT: True}


def _plain(value: Any) -> Any:
    """A fact as patterns are to see it: ``true`` is a text."""
    return str(value).lower() if isinstance(value, bool) else value


def _found(value: Any, path: list[str]) -> Any:
    """What is there; ``{CUT: true}`` where it may be, but cannot be seen: in what was cut, in a text, in a list."""
    for part in path:
        if value is None:
            return None
        if not isinstance(value, Mapping) or (CUT in value and part not in value):
            return {CUT: True}
        value = value.get(part)
    return value
