"""The guard: what an agent sends to tools, what models answer, and what comes from outside."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any, Final

from fusebox import happenings
from fusebox.guard import deny
from fusebox.registry import Registry, SqlGrant
from gateway.filter.canaries import Canaries
from gateway.filter.injection import score, signals
from gateway.filter.links import links
from gateway.filter.pictures import Pictures
from gateway.filter.settings import FilterSettings
from gateway.filter.shell import shell
from gateway.filter.sql import UNREADABLE, judge
from gateway.filter.sql_calls import COMMAND
from gateway.filter.statements import Found, all_texts, commands, fragments, in_argument, in_text
from gateway.filter.threats import GUARD, Ruling, Threat, Weight, ruling

_NOTHING: Final = SqlGrant(dialect="postgres", tables={"": ()})
"""Only to see whether a text is SQL at all."""


class OutputFilter:
    """Stateless and thread-safe; fails closed.

    Args:
        settings: what operators wrote.
        registry: whose SQL grants count.
    """

    name = GUARD

    def __init__(self, settings: FilterSettings, registry: Registry) -> None:
        self._settings, self._registry = settings, registry
        granted = {grant.tool for entry in registry.agents.values() for grant in entry.sql}
        self._sql_tools = granted - {"*"}

    def arguments(self, agent: str, tool: str, value: Any, canaries: tuple[str, ...] = ()) -> Ruling:
        """Rule on the arguments of a tool call, a text or a JSON value.

        Args:
            canaries: what was planted in the agent's context (:meth:`Canaries.plant`).
        """
        return _closed(agent, lambda: ruling(list(self._in_arguments(agent, tool, value, canaries))))

    def answer(
        self, agent: str, text: str, canaries: tuple[str, ...] = (), *, whole: bool = True,
        pictures: Pictures | None = None,
    ) -> Ruling:  # fmt: skip
        """Rule on what a model says.

        Args:
            whole: False while the answer grows: a statement that has not come to its end is not judged yet.
            pictures: of the stream whose piece this is.
        """
        return _closed(agent, lambda: ruling(list(self._in_answer(agent, text, canaries, whole, pictures))))

    def content(self, text: str, agent: str = "") -> Ruling:
        """Score content from outside; a hold when the settings ask for one, else for audit only."""
        return _closed(agent, lambda: self._scored(text))

    def _in_arguments(self, agent: str, tool: str, value: Any, canaries: tuple[str, ...]) -> Iterator[Threat]:
        grants = self._registry.sql_grants(agent, tool)
        runs_sql = any(fnmatchcase(tool, name) for name in self._sql_tools)  # whoever has the grant
        for name, text in all_texts(value):
            found = list(in_argument(name, text, runs_sql, query=runs_sql or bool(grants)))
            for each in found:
                yield from _judged(each, grants, f"{agent} has no SQL grant for {tool}")
            if not found:
                yield from fragments(text)
            yield from self._led_away(text)
        yield from _canary("\n".join(text for _, text in all_texts(value)), canaries)
        for line in filter(None, commands(value)):
            yield from self._led_away(line)

    def _led_away(self, text: str) -> Iterator[Threat]:
        """By links, and by commands, which may post data to known hosts only."""
        away = list(links(text, self._settings.hosts, self._settings.unknown_links))
        yield from away
        yield from shell(text, strange=bool(away) or "://" not in text, hosts=self._settings.hosts)

    def _in_answer(
        self, agent: str, text: str, canaries: tuple[str, ...], whole: bool, pictures: Pictures | None
    ) -> Iterator[Threat]:
        grants = self._registry.agents[agent].sql if agent in self._registry.agents else ()
        for each in in_text(text, whole):
            for threat in _judged(each, grants, f"{agent} has no SQL grant"):
                yield replace(threat, weight=self._settings.answers)
        yield from shell(text)
        yield from links(text, self._settings.hosts, self._settings.unknown_links, pictures)
        yield from _canary(text, canaries)

    def _scored(self, text: str) -> Ruling:
        found = signals(text)
        sure = score(found)
        hold = self._settings.hold_at is not None and sure >= self._settings.hold_at
        weight = Weight.HOLD if hold else Weight.REPORT
        return ruling([Threat(f"injection.{signal.name}", "a sign of instructions", weight) for signal in found], sure)


def _judged(found: Found, grants: Iterable[SqlGrant], without: str) -> Iterator[Threat]:
    """One grant that allows the statement is enough; else what the closest one says."""
    judged = [judge(found.sql, grant) for grant in grants]
    closest = min(judged or [judge(found.sql, _NOTHING)], key=len)
    if not found.certain and any(threat.rule in (UNREADABLE, COMMAND) for threat in closest):
        return  # prose
    yield from closest if judged else [Threat("sql.grant", without)]


def _canary(text: str, canaries: tuple[str, ...]) -> Iterator[Threat]:
    if canaries and Canaries.seen(text, canaries):
        yield Threat("canary", "a canary that was planted in the context")


def _closed(agent: str, work: Callable[[], Ruling]) -> Ruling:
    try:
        return work()
    except Exception as error:  # a guard that cannot answer denies, loudly
        happenings.emit(happenings.GUARD_FAILED, guard=GUARD, agent=agent, error=type(error).__name__)
        return Ruling(verdict=deny(GUARD, f"filter failed: {type(error).__name__}"))
