"""The circuit of each agent, as one process uses it.

The board decides, this process obeys its own snapshot. Reading (:meth:`Circuits.circuit`, :meth:`Circuits.verdict`)
does no I/O. A trip acts in the snapshot first and then goes to the board, so a store that hangs delays nobody but the
caller, once: until :meth:`Circuits.refresh` finds the store again, decisions are taken on the snapshot alone and are
owed to the board. While the store is away circuits can open here, but no probe is admitted and none closes by itself.

No lock is held around anybody's work.
"""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Callable, Container, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from threading import Lock
from typing import Final

import pybreaker

from breakers import wishes
from breakers.agree import Agreement, told
from breakers.board import MODES, Board, Step, shown
from breakers.rows import Row
from breakers.settings import CircuitSettings
from breakers.snapshot import Circuit, Snapshot
from breakers.storage import BoardStorage
from fusebox import happenings
from fusebox.clock import Clock
from fusebox.errors import AgentTripped, ConfigError
from fusebox.guard import CIRCUIT, allow, deny
from fusebox.records import Action, ActionKind, Finding, State, Transition, Verdict

__all__ = ["Circuit", "CircuitSettings", "Circuits"]

LISTENER_FAILED: Final = happenings.declare(
    "circuit_listener_failed", logging.ERROR, "a listener of transitions raised; the transition stands"
)
_ALLOWED: Final = allow(CIRCUIT)
_PERMIT: ContextVar[tuple[str, str] | None] = ContextVar("fusebox_probe_permit", default=None)


def _nobody(transition: Transition) -> None:
    """The listener of those who need none."""


class Circuits:
    """All circuits of a tenant, from one process.

    The listener hears each transition that *this* process brought about, on the thread that did. What others brought
    about is the return value of :meth:`adopt` and :meth:`refresh`.
    """

    def __init__(
        self,
        board: Board,
        clock: Clock,
        settings: CircuitSettings = CircuitSettings(),  # noqa: B008 - frozen
        listener: Callable[[Transition], None] = _nobody,
    ) -> None:
        self.tenant = board.tenant
        self._settings = settings
        self._listener = listener
        self._clock = clock
        self._view = Snapshot(clock)
        self._agreement = Agreement(board, self._view, clock)
        self._lock = Lock()
        self._failures: Counter[str] = Counter()
        self._permits: dict[str, str] = {}

    # --- reading: the snapshot only --------------------------------------------------------------------------------
    def circuit(self, agent: str) -> Circuit:
        """The agent's circuit as this process knows it."""
        return self._view.circuit(agent)

    def all(self) -> list[Circuit]:
        """All circuits that ever moved, by agent."""
        return self._view.circuits()

    def due(self, agent: str) -> bool:
        """True when the open time is over and a probe may be asked for."""
        return self._view.retry_after(agent) == 0.0

    def probing(self, agent: str) -> bool:
        """True while as many probes as there may be are at work, in whichever process: another would be refused."""
        return self._view.probing(agent) >= self._settings.probes

    def permit(self, agent: str) -> str:
        """The probe permit that this context (thread or coroutine) holds; empty for none."""
        holding, holder = _PERMIT.get() or ("", "")
        return holder if holding == agent else ""

    def verdict(self, agent: str, permit: str = "") -> Verdict:
        """May the agent act now? In half-open, only with a probe permit, this one or that of this context."""
        circuit = self._view.stopping.get(agent)
        if circuit is None or (circuit.state is State.HALF_OPEN and (permit or self.permit(agent)) in circuit.probes):
            return _ALLOWED
        reason = f"circuit is {circuit.state}: {circuit.reason}"
        return deny(CIRCUIT, reason, finding=circuit.finding, retry_after=self._view.retry_after(agent))

    def since_agreed(self, or_at: float = -math.inf) -> float:
        """Seconds since this process agreed with a shared board, or since ``or_at`` (monotonic) if that is later."""
        return self._clock.monotonic() - max(or_at, self._agreement.agreed_at)

    # --- deciding --------------------------------------------------------------------------------------------------
    def trip(
        self,
        agent: str,
        *,
        reason: str,
        actor: str,
        finding: Finding | None = None,
        open_s: float | None = None,
        finding_id: str = "",
    ) -> Transition | None:
        """Open the circuit, for ``open_s`` seconds when given.

        Returns:
            None when it is open already (``open_s`` can still prolong that) or its mode is not ``normal``.
        """
        known = finding.id if finding else finding_id
        return self._decide(agent, wishes.trip(self._settings, reason, actor, finding=known, open_s=open_s), finding)

    def half_open(self, agent: str, *, reason: str, actor: str) -> Transition | None:
        """Let one probe through; None unless the circuit is open."""
        return self._decide(agent, wishes.half_open(reason, actor))

    def reset(self, agent: str, *, reason: str, actor: str) -> Transition | None:
        """Close the circuit and forgive its trips; None when it is closed."""
        return self._decide(agent, wishes.reset(reason, actor))

    def set_mode(self, agent: str, mode: str, *, reason: str, actor: str) -> Transition | None:
        """Change the mode; None when it is that already.

        Raises:
            ConfigError: no such mode.
        """
        if mode not in MODES:
            raise ConfigError(f"mode {mode!r} is none of {', '.join(sorted(MODES))}")
        return self._decide(agent, wishes.mode(mode, reason, actor))

    def adopt(self, transition: Transition) -> Transition | None:
        """Apply what another process says of its own agent; None when the board knows better or knew already."""
        step = self._agreement.settle(transition.agent, wishes.adopt(self._settings, transition))
        return self._told(transition.agent, step, transition.finding)

    def refresh(self) -> list[Transition]:
        """Agree with a shared board again: pay what is owed, renew this process's probes, take what is new.

        Call it at the start and then every second or so; it never raises for a store that is away.

        Returns:
            What other processes brought about.
        """
        renewals = [(agent, wishes.renew(self._settings, holder)) for holder, agent in list(self._permits.items())]
        noticed = self._agreement.refresh(renewals)
        for transition in noticed:
            self.clear_failures(transition.agent)
        return noticed

    def since(self, last: Transition) -> Transition | None:
        """How a circuit came to stand otherwise than this transition left it; None when it does not."""
        return self._agreement.since(last)

    def forget(self, keep: Container[str] = ()) -> int:
        """Have the board let go of some circuits that have been closed for a month, but for those of the agents in
        ``keep``; how many."""
        return self._agreement.forget(keep)

    # --- running a handler -----------------------------------------------------------------------------------------
    @contextmanager
    def calling(self, agent: str) -> Iterator[None]:
        """Around one handler run: admits it, and learns from how it ends.

        Inside, in this context (thread or coroutine), a probe's own actions are let through.

        Raises:
            AgentTripped: the circuit is open, or half-open with enough probes at work.
        """
        self._agreement.load(agent)
        circuit = self.circuit(agent)
        if circuit.mode != "normal":
            yield
            return
        if circuit.state is State.CLOSED and not self.failures(agent):
            try:
                yield
            except BaseException:  # nothing stood against the run: pybreaker has something to decide only now
                with self._breaker(BoardStorage(self, agent, circuit)).calling():
                    raise
            return
        with ExitStack() as stack:
            self._enter(agent, stack)
            yield

    def _breaker(self, storage: BoardStorage) -> pybreaker.CircuitBreaker:
        return pybreaker.CircuitBreaker(
            fail_max=self._settings.fail_max, exclude=[storage.excuse], state_storage=storage,
            throw_new_error_on_trip=False,
        )  # fmt: skip

    def _enter(self, agent: str, stack: ExitStack) -> None:
        try:
            storage = BoardStorage(self, agent, self.circuit(agent))
            stack.callback(self._leave, agent, storage)
            stack.enter_context(self._breaker(storage).calling())
        except pybreaker.CircuitBreakerError:
            action = Action(ActionKind.CONSUME, agent, "handle", tenant=self.tenant)
            raise AgentTripped(action, self.verdict(agent)) from None
        if storage.holder:
            stack.enter_context(self._permitted(agent, storage))

    @contextmanager
    def _permitted(self, agent: str, storage: BoardStorage) -> Iterator[None]:
        token = _PERMIT.set((agent, storage.holder))
        self._permits[storage.holder] = agent
        try:
            yield
        finally:
            _PERMIT.reset(token)
            del self._permits[storage.holder]

    def _leave(self, agent: str, storage: BoardStorage) -> None:
        """A probe that proved nothing gives its permit back."""
        if storage.holder and storage.excused:
            self._agreement.ask(agent, wishes.release(storage.holder))

    # --- what pybreaker wishes (storage.Machine) -------------------------------------------------------------------
    def admit(self, agent: str, holder: str) -> Circuit:
        """Ask the board for the probe permit; without the board nobody gets it."""
        self._ask(agent, wishes.probe(self._settings, holder))
        return self.circuit(agent)

    def failed(self, agent: str, *, holder: str, version: int, error: str) -> None:
        """Open, if the circuit is still where the failing run found it."""
        count = self.failures(agent)
        reason = f"the probe failed: {error}" if holder else f"{count} handler runs failed in a row, the last: {error}"
        self._decide(agent, wishes.trip_after_run(self._settings, reason, holder=holder, version=version))

    def succeeded(self, agent: str, holder: str) -> None:
        """Close, if the probe still holds its permit; never without the board."""
        self._ask(agent, wishes.close(self._settings, holder))

    def failures(self, agent: str) -> int:
        """Consecutive failed runs in this process."""
        return self._failures[agent]

    def count_failure(self, agent: str) -> None:
        """One more."""
        with self._lock:
            self._failures[agent] += 1

    def clear_failures(self, agent: str) -> None:
        """None any more."""
        if agent in self._failures:
            with self._lock:
                self._failures.pop(agent, None)

    # --- what became of a wish -------------------------------------------------------------------------------------
    def _ask(self, agent: str, wish: Row) -> None:
        """For what only the board may grant."""
        step = self._agreement.ask(agent, wish)
        if step is not None:
            self._announce(agent, step)

    def _decide(self, agent: str, wish: Row, finding: Finding | None = None) -> Transition | None:
        return self._announce(agent, self._agreement.settle(agent, wish), finding)

    def _announce(self, agent: str, step: Step, finding: Finding | None = None) -> Transition | None:
        transition = self._told(agent, step, finding)
        if transition is not None:
            try:
                self._listener(transition)
            except Exception as error:  # whoever listens must not stop a circuit from moving
                happenings.emit(LISTENER_FAILED, agent=agent, error=repr(error))
        return transition

    def _told(self, agent: str, step: Step, finding: Finding | None) -> Transition | None:
        if not step.moved:
            return None
        self.clear_failures(agent)
        after = shown(step.row["state"], step.row["mode"])
        return told(agent, step.before, after, step.row, self.tenant, finding)
