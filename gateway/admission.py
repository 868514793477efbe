"""Admission: the guards that every process of an agent asks (latch, snapshot, circuit, policy), in front of a call.

A circuit that is half-open lets one probe through. Who holds the permit may be the agent's own process, which then acts
through this gateway: its calls pass. Where nobody probes, the call at hand becomes the probe; what an upstream does to
it says nothing about the agent, and gives the permit back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import Final

from fusebox import guard
from fusebox.errors import AgentTripped, Refused
from fusebox.guard import Guards
from fusebox.records import Action, Decision, State, Verdict
from gateway.asking import Asking
from gateway.denied import Denied, by_guard
from rabbitmq.runtime import Runtime

_ADMITTED: Final = nullcontext[Verdict | None](None)
"""Of nearly every call, as it remembers nothing."""


class Admission:
    """Asks the runtime's guards.

    Args:
        incident: where people read about a stopped agent.
    """

    def __init__(self, runtime: Runtime, incident: Callable[[str], str]) -> None:
        self._runtime, self._incident = runtime, incident
        self._probing: set[str] = set()
        self._asking = Asking("policy")

    async def entered(self, action: Action) -> AbstractContextManager[Verdict | None]:
        """To be entered around one call; gives the verdict of a guard that wants people asked first.

        Raises:
            Denied: a guard said no; it is audited.
        """
        verdict = await self._ask(self._runtime.guards, action)
        if verdict.allowed:
            return _ADMITTED
        with ExitStack() as stack:
            if verdict.decision is Decision.DENY and self._probe(action, verdict, stack):
                verdict = await self._ask(self._runtime.action_guards, action)
            self._refuse(action, verdict)
            return _holding(stack.pop_all(), None if verdict.allowed else verdict)

    def require_standing(self, action: Action) -> None:
        """For what is no call: what stops an agent in all it does stops this, and nothing else is asked.

        Raises:
            Denied: it is killed or tripped, or nobody has heard yet that it is not.
        """
        self._refuse(action, self._runtime.agent_guards.check(action))

    async def may(self, action: Action) -> bool:
        """True when the guards that look at the action at hand allow it; a no, or a hold, is audited."""
        verdict = await self._ask(self._runtime.action_guards, action)
        if not verdict.allowed:
            self._runtime.audit.ruled(action, verdict)
        return verdict.allowed

    async def again(self, action: Action) -> None:
        """Ask once more, after people were asked: what they agreed to may be denied by now.

        Raises:
            Denied: a guard says no.
        """
        verdict = await self._ask(self._runtime.guards, action)
        if verdict.guard == guard.CIRCUIT:  # a probe, or else its flight is cut
            verdict = await self._ask(self._runtime.action_guards, action)
        self._refuse(action, verdict)

    def _refuse(self, action: Action, verdict: Verdict) -> None:
        if verdict.decision is Decision.DENY:
            self._runtime.denied(action, verdict)
            raise by_guard(action.agent, verdict, self._incident(action.agent))

    async def _ask(self, guards: Guards, action: Action) -> Verdict:
        """A policy server is asked on a thread: other calls need not wait for it."""
        policy = self._runtime.policy
        if policy is None or not policy.remote or policy.remembers(action):
            return guards.check(action)
        return await self._asking.answer(lambda: guards.check(action))

    def _probe(self, action: Action, verdict: Verdict, stack: ExitStack) -> bool:
        if verdict.guard != guard.CIRCUIT or action.agent in self._probing:
            return False
        if self._elsewhere(action.agent):
            return True
        circuits = self._runtime.circuits
        if circuits.circuit(action.agent).state is State.OPEN and not circuits.due(action.agent):
            return False
        try:
            stack.enter_context(self._as_probe(action))
        except AgentTripped:  # the board has said by now whose the permit is: it may be younger than what we knew
            return self._elsewhere(action.agent)
        return True

    def _elsewhere(self, agent: str) -> bool:
        circuits = self._runtime.circuits
        return circuits.circuit(agent).state is State.HALF_OPEN and circuits.probing(agent)

    @contextmanager
    def _as_probe(self, action: Action) -> Iterator[None]:
        self._probing.add(action.agent)
        denied: Denied | None = None
        try:
            with self._runtime.circuits.calling(action.agent):
                try:
                    yield
                except Denied as error:
                    denied = error
                    raise Refused(action, guard.deny("gateway", error.code)) from error
        except Refused:
            if denied is None:
                raise
            raise denied from None
        finally:
            self._probing.discard(action.agent)


@contextmanager
def _holding(probe: ExitStack, verdict: Verdict | None) -> Iterator[Verdict | None]:
    with probe:
        yield verdict
