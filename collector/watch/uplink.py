"""What agent processes say, whichever way it came: one method per kind of the control protocol.

A principal speaks only for the agents its token is bound to, and only for process ids of its own.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from breakers.circuit import Circuits
from breakers.latch import Latch
from collector.audit.entry import Note
from collector.audit.journal import Journal, JournalBroken
from collector.tokens import Principal
from collector.watch import process_bodies
from collector.watch.body import parse
from collector.watch.dispatch import Dispatch
from collector.watch.leases import Leases, Receipts
from collector.watch.lifted import Lifted
from collector.watch.noted import Noted
from collector.watch.poll import CommandLog
from collector.watch.refusal import BAD_REQUEST, CONFLICT, FORBIDDEN, NOT_FOUND, Refusal
from collector.watch.reported import Reported
from collector.watch.rulings import Rulings
from collector.watch.trips import Trips
from fusebox import happenings
from fusebox.clock import Clock
from fusebox.command import ALL, agent_scope, narrow
from fusebox.records import State
from rabbitmq.untold import KILLS

Json = dict[str, Any]
Handler = Callable[[Principal, Any], Json]
"""``handler(principal, body)``; raises :class:`Refusal`."""

RECEIPT: Final = happenings.declare("receipt_received", logging.DEBUG, "a process applied a Command")
NOT_AWAITED: Final = happenings.declare(
    "receipt_not_awaited", logging.INFO, "a process applied a Command of before the start; nobody waits for its Receipt"
)
RECEIPT_UNJOURNALED: Final = happenings.declare(
    "receipt_unjournaled", logging.WARNING, "a Receipt counts, but could not be written to the journal"
)
KILLS_UNTOLD: Final = happenings.declare(
    "kills_untold",
    logging.ERROR,
    "more kills are in force than a snapshot can carry; resume workflows and tools that are over",
)
_MAX_KILLS: Final = 500
_REASON: Final = 500
_AGENT_STATES: Final = (State.CLOSED, State.OPEN, State.HALF_OPEN)


class Uplink:
    """Handlers for agent processes.

    Args:
        more: those that others have, by kind.
    """

    def __init__(
        self, latch: Latch, circuits: Circuits, journal: Journal, dispatch: Dispatch, log: CommandLog, leases: Leases,
        receipts: Receipts, trips: Trips, rulings: Rulings, lifted: Lifted, reported: Reported, noted: Noted,
        clock: Clock, more: Mapping[str, Handler],
    ) -> None:  # fmt: skip
        self._latch, self._circuits, self._journal, self._dispatch = latch, circuits, journal, dispatch
        self._log, self._leases, self._receipts, self._trips = log, leases, receipts, trips
        self._rulings, self._lifted, self._reported, self._noted = rulings, lifted, reported, noted
        self._clock = clock
        self._handlers: dict[str, Handler] = {
            "snapshot": self.snapshot, "poll": self.poll, "receipts": self.receipt, "reports": self.report,
            "denials": self.denials, "commits": self.commits, "leave": self.leave, **more,
        }  # fmt: skip

    def handle(self, kind: str, principal: Principal, data: Any) -> Json:
        """One call, by the last part of its path. A poll is answered without waiting.

        Raises:
            Refusal: it is not done.
        """
        handler = self._handlers.get(kind)
        if handler is None:
            raise Refusal(NOT_FOUND, f"there is no call {kind!r}; there are {', '.join(self._handlers)}")
        return handler(principal, data)

    def snapshot(self, principal: Principal, data: Any) -> Json:
        """The signed board, over the caller's nonce, and the Commands that it stands for in the caller's place."""
        body = parse(process_bodies.Snapshot, data)
        refuse_foreign(principal, body.agents)
        payload = {
            "kind": "snapshot", "nonce": body.nonce, "cursor": self._log.cursor, "kills": self._kills(body.agents),
            "lifted": [*self._lifted.newest(), *self._reported.lifted(body.process)],
            "circuits": {agent: self._circuit(agent) for agent in body.agents},
            "due": self._receipts.due(body.process), "asks": [KILLS],
        }  # fmt: skip
        return {"signed": self._dispatch.sign(payload)}

    def lease(self, principal: Principal, data: Any) -> process_bodies.Poll:
        """The part of a poll that does not wait: renew the lease."""
        body = parse(process_bodies.Poll, data)
        refuse_foreign(principal, body.agents)
        _refuse_others(principal, body)
        held = {agent: told.held for agent, told in body.agents.items()}
        before = self._leases.kills(body.process)
        self._leases.renew(
            principal.name, body.process, host=body.host, pid=body.pid, agents=held, wait=body.wait, kills=body.kills,
            more=body.more,
        )  # fmt: skip
        self._note_kills(body.process, before)
        return body

    def poll(self, principal: Principal, data: Any) -> Json:
        """Renew the lease and answer at once."""
        return answer(*self._log.since(self.lease(principal, data).cursor))

    async def long_poll(self, body: process_bodies.Poll) -> Json:
        """Wait for Commands, after :meth:`lease`.

        Raises:
            Refusal: 409, a snapshot has to come first; who says 0 does not read the answer.
        """
        if body.cursor and self._reported.lifted(body.process):
            raise Refusal(CONFLICT, "this process holds kills that are lifted; take a snapshot first")
        return answer(*await self._log.wait(body.cursor, body.wait))

    def receipt(self, principal: Principal, data: Any) -> Json:
        """A process has applied a Command."""
        body = parse(process_bodies.ReceiptBody, data)
        refuse_foreign(principal, body.agents)
        self._leases.own(principal.name, body.process)
        if not self._receipts.known(body.command):  # who starts now reads the Commands that the stream has kept
            happenings.emit(NOT_AWAITED, command=body.command, process=body.process)
        elif self._receipts.receive(body.command, body.process, body.applied_at):
            happenings.emit(RECEIPT, command=body.command, process=body.process)
            self._note_receipt(body)
        return {}

    def report(self, principal: Principal, data: Any) -> Json:
        """A circuit of the process moved."""
        body = parse(process_bodies.Report, data)
        transition = body.transition.record()
        refuse_foreign(principal, [transition.agent, *([transition.finding.agent] if transition.finding else [])])
        self._leases.own(principal.name, body.process)
        if transition.tenant != principal.tenant:
            raise Refusal(FORBIDDEN, f"this token is of tenant {principal.tenant!r}, not {transition.tenant!r}")
        if transition.after not in _AGENT_STATES:
            raise Refusal(BAD_REQUEST, f"a process cannot report {transition.after.value}; operators order that")
        # Nobody reports from the future: what the agent does until then would be older than its circuit's last move.
        self._trips.reported(replace(transition, time=min(transition.time, self._clock.now())))
        return {}

    def denials(self, principal: Principal, data: Any) -> Json:
        """Guards of the process ruled."""
        body = parse(process_bodies.Denials, data)
        refuse_foreign(principal, [row.agent for row in body.rows])
        self._leases.own(principal.name, body.process)
        self._rulings.take(principal.name, body)
        return {}

    def commits(self, principal: Principal, data: Any) -> Json:
        """What people had agreed to was done, or came to nothing."""
        body = parse(process_bodies.Commits, data)
        refuse_foreign(principal, [row.agent for row in body.rows])
        self._leases.own(principal.name, body.process)
        self._rulings.committed(principal.name, body)
        return {}

    def leave(self, principal: Principal, data: Any) -> Json:
        """An orderly stop."""
        body = parse(process_bodies.Leave, data)
        self._leases.leave(principal.name, body.process)
        self._receipts.left(body.process)
        return {}

    def _kills(self, agents: Iterable[str]) -> dict[str, str]:
        scopes = {agent_scope(agent) for agent in agents}
        kills = [(id, kill.scope) for id, kill in self._latch.kills().items()]
        concerned = [kill for kill in kills if kill[1] in scopes or not kill[1].startswith(agent_scope(""))]
        # One kill is enough to stop an agent; when there are more than a Command can carry, the widest and newest stay.
        concerned.sort(key=lambda kill: not narrow(kill[1]))
        if len(concerned) > _MAX_KILLS:
            happenings.emit(KILLS_UNTOLD, count=len(concerned) - _MAX_KILLS)
        return dict(concerned[-_MAX_KILLS:])

    def _circuit(self, agent: str) -> Json:
        circuit = self._circuits.circuit(agent)
        open_for = max(0.0, circuit.retry_at - self._clock.now()) if circuit.retry_at is not None else 0.0
        return {
            "state": circuit.state.value, "reason": circuit.reason[:_REASON], "finding": circuit.finding,
            "open_for": open_for, "mode": circuit.mode,
        }  # fmt: skip

    def _note_kills(self, process: str, before: Mapping[str, str]) -> None:
        unknown = self._reported.among(self._leases.kills(process))
        new = [kill.exactly for kill in unknown if kill.id not in before]
        if new:
            self._noted.add(process, new)

    def _note_receipt(self, body: process_bodies.ReceiptBody) -> None:
        payload = {"agents": body.agents, "applied_at": body.applied_at}
        try:
            self._journal.append(Note("receipt", body.process, body.command, payload=payload))
        except JournalBroken as error:
            happenings.emit(RECEIPT_UNJOURNALED, command=body.command, error=str(error))


def answer(cursor: int, commands: list[str]) -> Json:
    """The answer of a poll."""
    return {"cursor": cursor, "commands": commands}


def _refuse_others(principal: Principal, body: process_bodies.Poll) -> None:
    """
    Raises:
        Refusal: 403, a kill that it reports is none of its own agents.
    """
    own = {ALL, f"tenant:{principal.tenant}", *map(agent_scope, body.agents)}
    others = [scope for scope in body.kills.values() if scope not in own and not narrow(scope)]
    if others:
        raise Refusal(FORBIDDEN, f"a process reports kills of its own agents, not of {', '.join(others[:5])}")


def refuse_foreign(principal: Principal, agents: Iterable[str]) -> None:
    """
    Raises:
        Refusal: 403, the principal is not bound to all of them.
    """
    foreign = [agent for agent in agents if not principal.may_speak_for(agent)]
    if foreign:
        raise Refusal(
            FORBIDDEN,
            f"token {principal.name!r} may not speak for {', '.join(foreign[:5])}; "
            "'fusebox tokens add NAME --agent ID' makes one that may",
        )
