"""Link: this process's tie to *watch*: carriers bring Commands in, the uplink takes Receipts and reports out.

Verification: where a carrier is configured, an agent may not act before a signed snapshot that names it arrived
(:class:`AgentUnverified`). One that the latch file vouches for may act on its last word while *watch* is away; when it
joins it still waits a moment for the snapshot. The agent's risk class decides: ``low`` never waits,
``high`` always needs the snapshot, and a word since: from *watch* (a snapshot, a poll that was answered) or from a
shared board. When the last one is older than ``keep_s``, an agent of that class waits until there is a newer one.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Callable
from dataclasses import asdict
from typing import Final

from breakers.circuit import Circuits
from breakers.latch import Latch
from breakers.obey import Obedience
from fusebox import forks, guard, happenings
from fusebox.clock import Clock
from fusebox.command import MAX_SNAPSHOT, Command, Keyring
from fusebox.errors import BadCommand, StaleCommand, StoreUnavailable
from fusebox.records import Action, Receipt, State, Transition, Verdict, new_id
from fusebox.registry import Registry, Risk
from rabbitmq.broker import Broker
from rabbitmq.carriers import BrokerCarrier, HttpCarrier
from rabbitmq.receiver import Carrier, Json, Receiver
from rabbitmq.stream_carrier import StreamCarrier, StreamSource
from rabbitmq.untold import Untold
from rabbitmq.uplink import ClientSource, TokenSource, Uplink

LATCH_UNWRITTEN: Final = happenings.declare(
    "latch_unwritten", logging.CRITICAL, "the latch file cannot be written: kills hold in memory, resumes are refused"
)
_KNOWN: Final = guard.allow(guard.UNVERIFIED)
KEYS_CHANGED: Final = happenings.declare(
    "command_keys_changed",
    logging.WARNING,
    "the list of Command keys was changed; this process obeys the new ones alone",
)
SNAPSHOT_TAKEN: Final = happenings.declare("snapshot_taken", logging.INFO, "a signed board snapshot was applied")


class Link(Receiver):
    """Carriers, uplink and what they have taught this process.

    Args:
        client: the current HTTP client of *watch*, or None while it is unknown.
        stream: the Redis stream of Commands, or None while no Redis is known.
        broker: a remote broker, or None.
        held: how many messages wait, by agent of this process.
        obeyed: called after a Command took effect.
        rejected: called with the reason for which a Command was not obeyed; one of a few sentences.
    """

    def __init__(
        self, latch: Latch, circuits: Circuits, clock: Clock, *, client: ClientSource, stream: StreamSource,
        broker: Broker | None, token: TokenSource, held: Callable[[], dict[str, int]],
        obeyed: Callable[[Command | None], None], rejected: Callable[[str], None],
    ) -> None:  # fmt: skip
        self.process = f"{socket.gethostname()}-{os.getpid()}-{new_id('p')[2:8]}"
        self._latch, self._circuits, self._clock = latch, circuits, clock
        self._client, self._stream, self._broker, self._token = client, stream, broker, token
        self._held, self._obeyed, self._rejected = held, obeyed, rejected
        self.heard_at = clock.monotonic()
        self._verified: set[str] = set()
        self._untold = Untold(latch, circuits.tenant)
        self._learned = threading.Condition()
        self.uplink = Uplink(client, broker, token)
        self._stopped = False
        self._keyring: Keyring | None = None
        self._obedience: Obedience | None = None
        self._carriers: list[Carrier] = []

    def obey(self, keyring: Keyring) -> None:
        """From now on Commands signed by these keys are obeyed, and no others; the first time the carriers open."""
        if self._keyring is not None:
            self._keyring.replace(keyring)
            happenings.emit(KEYS_CHANGED)
            return
        self._keyring = keyring
        self._obedience = Obedience(keyring, self._latch, self._circuits, self._clock)
        carriers: list[Carrier] = [HttpCarrier(self._client, self), StreamCarrier(self._stream, self)]
        if self._broker is not None:
            carriers.append(BrokerCarrier(self._broker, self, self._token))
        for carrier in carriers:
            carrier.start()
        self._carriers = carriers

    @property
    def controlled(self) -> bool:
        """True when this process obeys Commands at all."""
        return self._keyring is not None

    def start(self) -> None:
        """Start talking; :meth:`obey` starts listening."""
        self.uplink.start()

    def join(self, agent: str, patience: float = 2.0) -> None:
        """An agent joins this process: wait up to ``patience`` seconds for a snapshot that names it."""
        if not self._carriers or not self.uplink.reachable:
            return
        for carrier in self._carriers:
            carrier.hurry()
        with self._learned:
            self._learned.wait_for(lambda: agent in self._verified, patience)
        self.announce()

    def opened(self, signed: bytes) -> Json:
        """The payload of bytes that *watch* has signed.

        Raises:
            BadCommand: it has not, or there are no keys to tell by.
        """
        if self._keyring is None:
            raise BadCommand("no Command keys are known here")
        return self._keyring.open(signed)

    def verified(self, agent: str) -> bool:
        """True once a snapshot has said how things stand with ``agent``."""
        return agent in self._verified

    def stop(self, timeout: float = 2.0) -> None:
        """Give the lease back and end every thread; legal twice."""
        if self._stopped:
            return
        self._stopped = True
        if self.uplink.reachable:
            self.uplink.send("leave", {"process": self.process})
        for carrier in self._carriers:
            carrier.stop(timeout)
        self.uplink.stop(timeout)

    def announce(self) -> None:
        """Tell *watch* at once which agents run here and what they hold, without waiting for the next poll."""
        if self._carriers:
            self.uplink.send("poll", {**self.introduction(), "cursor": 0, "wait": 0})

    def report(self, transition: Transition) -> None:
        """Tell *watch* that a circuit of this process moved."""
        self.uplink.send("reports", {"process": self.process, "transition": asdict(transition)})

    # --- what carriers call -----------------------------------------------------------------------------------------
    def heard(self) -> None:
        self.heard_at = self._clock.monotonic()

    def unverified(self) -> bool:
        return not self._verified.issuperset(self._held())

    def introduction(self) -> Json:
        agents = {agent: {"held": count} for agent, count in self._held().items()}
        who = {"process": self.process, "host": socket.gethostname(), "pid": os.getpid(), "agents": agents}
        return who | self._untold.words(agents)

    def command(self, signed: bytes, *, past: bool = False) -> None:
        assert self._obedience is not None
        try:
            command = self._obedience.apply(signed, past=past)
        except StaleCommand as error:
            happenings.emit(happenings.COMMAND_STALE, error=str(error))
            self._rejected("a genuine Command came outside its window")
            return
        except BadCommand as error:
            happenings.emit(happenings.COMMAND_REJECTED, error=str(error))
            self._rejected("a Command was forged, damaged or meant for others")
            return
        except (
            OSError
        ) as error:  # a kill is in force all the same; without a Receipt people see that something is wrong
            happenings.emit(LATCH_UNWRITTEN, error=str(error))
            self._obeyed(None)
            return
        if command is not None:
            self._obeyed(command)
            self._acknowledge(command.id)

    def snapshot(self, signed: bytes, nonce: str) -> int:
        assert self._keyring is not None
        try:
            data = self._keyring.open(signed, MAX_SNAPSHOT)
        except BadCommand:
            self._rejected("a board snapshot was forged or damaged")
            raise
        if data.get("kind") != "snapshot" or not nonce or data.get("nonce") != nonce:
            raise BadCommand("snapshot is not the answer to the nonce drawn here")
        cursor = self._learn(data)
        self._vouch(_agents(data))
        self.heard()
        with self._learned:
            self._verified.update(_agents(data))
            self._learned.notify_all()
        happenings.emit(SNAPSHOT_TAKEN, process=self.process)
        self._obeyed(None)
        return cursor

    def _learn(self, data: Json) -> int:
        try:
            self._latch.lift([str(i) for i in data["lifted"]])
            for kill_id, scope in dict(data["kills"]).items():
                self._latch.kill(str(kill_id), str(scope), reason="snapshot", time=self._clock.now())
            for agent, told in dict(data["circuits"]).items():
                self._learn_circuit(str(agent), dict(told))
            for command in data.get("due", ()):  # lost on its way; the snapshot has said what it would have
                self._acknowledge(str(command))
            self._untold.heard(data)
            return int(data["cursor"])
        except OSError as error:
            happenings.emit(LATCH_UNWRITTEN, error=str(error))
            raise StoreUnavailable(f"the latch file cannot be written: {error}") from error
        except (KeyError, TypeError, ValueError) as error:
            raise BadCommand(f"snapshot has the wrong shape: {error!r}") from error

    def _vouch(self, agents: list[str]) -> None:
        try:
            for agent in agents:
                self._latch.vouch(agent)
        except OSError as error:  # this process knows; only its successor will have to ask again
            happenings.emit(LATCH_UNWRITTEN, error=str(error))

    def _learn_circuit(self, agent: str, told: Json) -> None:
        if told.get("mode", "normal") != self._circuits.circuit(agent).mode:
            self._circuits.set_mode(agent, str(told["mode"]), reason="snapshot", actor="watch")
        probing = self._circuits.circuit(agent).state is State.HALF_OPEN  # then the board's word is the older one
        if told["state"] == "open" and not probing:
            open_s = max(0.1, float(told["open_for"]))
            self._circuits.trip(agent, reason=str(told["reason"]), actor="watch", open_s=open_s)

    def _acknowledge(self, command: str) -> None:
        receipt = Receipt(command, self.process, tuple(self._held()), self._clock.now(), self._circuits.tenant)
        body = {"process": receipt.process, "command": receipt.command, "agents": list(receipt.agents)}
        self.uplink.send("receipts", {**body, "applied_at": receipt.applied_at})


def _agents(snapshot: Json) -> list[str]:
    return [str(agent) for agent in snapshot["circuits"]]


class SnapshotGuard:
    """Denies until this process knows what is latched; and a high-risk agent, when that was too long ago.

    Args:
        keep_s: seconds for which the last word holds.
    """

    name = guard.UNVERIFIED

    def __init__(self, link: Link, latch: Latch, registry: Registry, circuits: Circuits, keep_s: float) -> None:
        self._link, self._latch, self._registry = link, latch, registry
        self._circuits, self._keep_s = circuits, keep_s
        self._generation = forks.generation()

    def check(self, action: Action) -> Verdict:
        if forks.generation() != self._generation:  # threads do not survive a fork: no Command would ever be heard
            return guard.deny(self.name, "this process was forked from the agent's; build the Agent after the fork")
        if not self._link.controlled:
            return _KNOWN
        risk = self._registry.risk(action.agent)
        if self._link.verified(action.agent):
            return self._stale() if risk is Risk.HIGH else _KNOWN
        if risk is Risk.LOW or (risk is Risk.NORMAL and self._latch.vouched(action.agent)):
            return _KNOWN
        return guard.deny(
            self.name, "no signed board snapshot yet: start watch ('fusebox up') or check FUSEBOX_CONTROL_URL"
        )

    def _stale(self) -> Verdict:
        if self._circuits.since_agreed(self._link.heard_at) <= self._keep_s:
            return _KNOWN
        return guard.deny(
            self.name,
            f"no word from watch or the board for {self._keep_s:.0f} s, and the agent is high-risk: bring one back",
        )
