"""Two people: whatever lets a high-risk agent run that is stopped takes two operators.

The machine's own token is nobody's: whoever can read it may be the one who shows a token of their own beside it.
"""

from __future__ import annotations

from typing import Final

from breakers.circuit import Circuits
from collector.audit.entry import Note
from collector.audit.journal import Journal
from collector.setup import LOCAL
from collector.watch.refusal import FORBIDDEN, Refusal
from fusebox.command import ALL, agent_scope
from fusebox.records import State
from fusebox.registry import Registry, Risk

_TWO: Final = 2


class TwoPeople:
    """See the module. What is refused is journaled."""

    def __init__(self, registry: Registry, circuits: Circuits, journal: Journal, *, tenant: str) -> None:
        self._registry, self._circuits, self._journal = registry, circuits, journal
        self._tenant = f"tenant:{tenant}"

    def require(self, scope: str, operator: str, second: str) -> None:
        """For a resume.

        Raises:
            Refusal: 403, the scope has a high-risk agent in it, and they are not two people.
        """
        risky = [agent for agent, entry in self._registry.agents.items() if entry.risk is Risk.HIGH]
        freed = [agent for agent in risky if scope in (ALL, self._tenant, agent_scope(agent))]
        if freed and len({operator, second} - {"", LOCAL}) < _TWO:
            raise self._refusal(operator, scope, freed[0])

    def require_running(self, operator: str, agent: str) -> None:
        """For an order that one operator gives: it must not do what a resume does.

        Raises:
            Refusal: 403, the agent is of high risk and stopped.
        """
        stopped = self._circuits.circuit(agent).state in (State.OPEN, State.HALF_OPEN)
        if stopped and self._registry.risk(agent) is Risk.HIGH:
            raise self._refusal(operator, agent_scope(agent), agent)

    def _refusal(self, operator: str, scope: str, agent: str) -> Refusal:
        self._journal.record(Note("refused", f"operator:{operator}", scope, f"a resume of {agent} takes two operators"))
        return Refusal(
            FORBIDDEN,
            f"{agent} is high-risk (agents.toml): a second operator must agree (the machine's own token is nobody's); "
            "'fusebox resume … --second-token-file FILE' with a token of theirs, and yours in FUSEBOX_OPERATOR_TOKEN",
        )
