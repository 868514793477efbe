"""Workflow: what the agents of one workflow remember together, as handlers see it (``ctx.workflow``).

::

    for entry in ctx.workflow.history(type="delay"): ...
    ctx.workflow.remember({"ship": "MV Ada", "days": 3}, type="delay")
    eta = ctx.workflow.facts.get("eta")
    ctx.workflow.facts.put("eta", "2026-03-04", version=eta.number if eta else 0)

Every read is a span that says which entries the agent was given (``search_memory``, ``fusebox.context.read``), every
write one that says which it added (``create_memory``; operation names of the GenAI conventions): what an agent knew
when it decided is a question to the database. See :mod:`governance.context` for what is kept, and how.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from opentelemetry.trace import SpanKind
from pydantic_core import to_jsonable_python

from fusebox import guard, names
from fusebox.errors import BadMessage, ContextTampered
from fusebox.eventmap import Value
from fusebox.records import Action, ActionKind
from fusebox.span import Span
from fusebox.telemetry import ids
from governance.context import FACT, Entry, History
from rabbitmq.broker import Header
from rabbitmq.runtime import Runtime

GUARD: Final = "context"
"""Who refuses a context that was tampered with, in the audit log."""
_MAX_KNOWN: Final = 1 << 53
_MAX_BODY: Final = 32_768


class Workflow:
    """One agent's view of the workflow it works for. Its text is the workflow's id."""

    def __init__(self, id: str, agent: str, runtime: Runtime, known: int = 0) -> None:
        self.id = id
        self.facts = Facts(self)
        self._agent, self._runtime, self._known = agent, runtime, known

    def __str__(self) -> str:
        return self.id

    def handed_to(self, agent: str, runtime: Runtime) -> Workflow:
        """The same workflow as another agent sees it, who then knows what this one knows."""
        return Workflow(self.id, agent, runtime, self._known)

    @property
    def headers(self) -> dict[str, Header]:
        """What a message says about the context, so that its reader notices when some of it is gone."""
        return {names.H_CONTEXT: self._known} if self._known else {}

    def history(self, **recall: Any) -> History:
        """What was remembered, oldest first; all of it, or what :meth:`governance.context.History.recall` finds.

        Raises:
            StoreUnavailable: the state store did not answer.
            ContextLost, ContextTampered: it is not what was written.
            ConfigError: the store is shared and there is no ``context_key``.
        """
        with self._span("search_memory") as span:
            found = self._read().recall(**recall)
            span.set_attribute(names.CONTEXT_READ, _ranges([entry.number for entry in found]))
        return found

    def remember(self, body: object, *, type: str = "note") -> Entry:
        """Add an entry for all agents of the workflow; ``body`` is anything with a JSON form.

        Raises:
            AgentKilled: the agent was cut while it worked.
            BadMessage: the body has no JSON form, or ``type`` is no name or ``fact``.
            ContextFull: it is larger than ``context_max_bytes``.
            StoreUnavailable, ContextLost, ConfigError: as in :meth:`history`.
        """
        if type == FACT:
            raise BadMessage("facts are written by facts.put(), with the version that they replace")
        return self._write(body, type)

    def _write(self, body: object, type: str, name: str = "", version: int = 0) -> Entry:
        self._runtime.fence(self._action("create_memory"))
        with self._span(
            "create_memory", {names.CONTEXT_TYPE: type, **({names.CONTEXT_NAME: name} if name else {})}
        ) as s:
            draft = Entry(type, self._agent, self._runtime.clock.now(), *ids(s), _plain(body), name)
            entry = self._runtime.contexts.write(self.id, draft, version=version, known=self._known)
            self._known = entry.number
            s.set_attribute(names.CONTEXT_WROTE, entry.number)
            if self._runtime.capture_content:
                s.set_attribute(names.CONTEXT_BODY, json.dumps(entry.body)[:_MAX_BODY])
        return entry

    def _read(self) -> History:
        try:
            history = self._runtime.contexts.read(self.id, self._known)
        except ContextTampered as error:
            self._runtime.denied(self._action("search_memory"), guard.deny(GUARD, str(error)))
            raise
        self._known = history.newest
        return history

    def _action(self, operation: str) -> Action:
        return Action(
            ActionKind.TOOL_CALL, self._agent, operation, tenant=self._runtime.config.tenant, workflow=self.id
        )

    @contextmanager
    def _span(self, operation: str, more: Mapping[str, Value] | None = None) -> Iterator[Span]:
        attributes: dict[str, Value] = {
            names.GEN_AI_OPERATION: operation,
            names.GEN_AI_AGENT_ID: self._agent,
            names.TENANT: self._runtime.config.tenant,
            names.WORKFLOW: self.id,
            **(more or {}),
        }
        with self._runtime.telemetry.span(f"{operation} workflow", SpanKind.CLIENT, attributes) as span:
            yield span


class Facts:
    """The facts of a workflow: names with one value each, changed by whoever knows the value that is to be replaced."""

    def __init__(self, workflow: Workflow) -> None:
        self._workflow = workflow

    def get(self, name: str) -> Entry | None:
        """The entry that gave the fact its value (``body``; its ``number`` is the version), or None.

        Raises:
            StoreUnavailable, ContextLost, ContextTampered, ConfigError: as :meth:`Workflow.history`.
        """
        with self._workflow._span("search_memory", {names.CONTEXT_NAME: name}) as span:
            fact = self._workflow._read().facts.get(name)
            span.set_attribute(names.CONTEXT_READ, str(fact.number) if fact else "")
        return fact

    def put(self, name: str, value: object, *, version: int) -> Entry:
        """Give a fact a value, if its version is still ``version`` (0: if it has none yet); the new version is returned
        as the entry's ``number``.

        Raises:
            ContextConflict: another agent was first; read it again.
            AgentKilled, BadMessage, ContextFull, StoreUnavailable, ContextLost, ConfigError: as
                :meth:`Workflow.remember`.
        """
        return self._workflow._write(value, FACT, name, version)


def known_of(headers: Mapping[str, Header]) -> int:
    """The newest entry that a message's sender knew of; 0 where it says nothing that makes sense."""
    known = headers.get(names.H_CONTEXT, 0)
    return known if isinstance(known, int) and 0 <= known < _MAX_KNOWN else 0


def _plain(body: object) -> Any:
    try:
        return to_jsonable_python(body)
    except (ValueError, RecursionError) as error:  # no JSON form; what contains itself
        raise BadMessage(f"what a workflow remembers must be JSON: {error}") from error


def _ranges(numbers: list[int]) -> str:
    """Ascending numbers as ``1-3,7``."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][1] + 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in parts)
