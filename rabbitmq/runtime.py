"""Runtime: what one process has once, however many Agents live in it.

Broker, telemetry, guards, inline detectors, circuits, latch and the link to *watch*. Nothing here is global: the
default runtime belongs to :mod:`rabbitmq.agent`, tests and demos build their own.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import replace
from typing import Final, Protocol

from breakers.board import Board
from breakers.circuit import Circuits
from breakers.detectors.cycle import Cycle
from breakers.guards import CircuitGuard, LatchGuard, verdict_on
from breakers.latch import Latch
from breakers.panel import Panel
from breakers.rules import Mode, load_rules
from fusebox import guard, happenings
from fusebox.clock import Clock, system_clock
from fusebox.command import Command
from fusebox.config import Config
from fusebox.errors import AgentKilled, ApprovalPending, Refused
from fusebox.exporter import CollectorExporter
from fusebox.guard import Guards
from fusebox.records import Action, ActionKind, Decision, Event, Finding, State, Transition, Verdict
from fusebox.registry import Registry
from fusebox.rundir import url_of
from fusebox.store import Store, open_store
from fusebox.telemetry import Telemetry
from governance.approvals.client import Approvals
from governance.audit import AuditClient
from governance.context import Bounds, Contexts
from governance.policy.guard import PolicyGuard
from governance.policy.source import open_policy
from governance.registry import load_registry
from rabbitmq.amqp import AmqpBroker
from rabbitmq.broker import Broker
from rabbitmq.chores import Chores
from rabbitmq.claims import Claims
from rabbitmq.inprocess import InProcessBroker
from rabbitmq.lineage import LineageCodec, LineageGuard
from rabbitmq.link import Link, SnapshotGuard
from rabbitmq.outbox import new_outbox
from rabbitmq.retry import retry_topology
from rabbitmq.topology import base_topology
from rabbitmq.wiring import KeyList, agent_token, command_stream, context_key, control_clients, url_of_store

TICK_S: Final = 0.1
_TOLD: Final = ("operator:", "watch")
"""Actors of transitions that *watch* ordered: it needs no report of its own word."""
_PATIENCE_S: Final = 2.0
SLOW_S: Final = 0.5
"""How long an agent that was warned about waits after each action, and for how long that goes on."""
SLOW_FOR_S: Final = 60.0

SLOWED: Final = happenings.declare(
    "agent_slowed", logging.INFO, "an inline detector warns of an agent: for a minute it waits after each action"
)
STOPPED: Final = happenings.declare(
    "agent_stopped", logging.WARNING, "the circuit of an agent of this process has opened, or somebody killed the agent"
)


class Member(Protocol):
    """What the runtime needs of an Agent."""

    name: str

    def tick(self) -> None:
        """Look after consumers and held messages."""

    def shut(self) -> None:
        """Take no further messages: the circuit has opened."""

    def cut(self) -> None:
        """Cancel coroutines: the agent was killed."""

    @property
    def held(self) -> int:
        """Messages that wait because the circuit is, or was, open."""


class Runtime:
    """The parts one process shares. Build it with :meth:`from_config`."""

    def __init__(
        self, config: Config, broker: Broker, store: Store, clock: Clock, registry: Registry, name: str
    ) -> None:
        self.config, self.broker, self.clock, self.name = config, broker, clock, name
        self.capture_content = config.capture_content
        self.registry = registry
        self.lineage = LineageCodec(config.secret("lineage_key"))
        self.telemetry = Telemetry(CollectorExporter(config), service=name, clock=clock)
        rules = load_rules(config.rules_file)
        self.circuits = Circuits(Board(store, clock, config.tenant), clock, rules.circuit, listener=self._moved)
        self.latch = Latch(config.data_dir / "latch" / "agents.jsonl", tenant=config.tenant)
        self._keys = KeyList(config)
        self.link = self._new_link()
        self.claims = Claims(store, clock, self.link.process, config.tenant)
        self.contexts = Contexts(store, config.tenant, context_key(config, store.shared), _bounds(config))
        self.approvals = Approvals(control_clients(config), self.link.opened, config.tenant, self.link.process)
        self.audit = AuditClient(self.link.uplink.send, clock, process=self.link.process)
        known = SnapshotGuard(self.link, self.latch, registry, self.circuits, rules.circuit.keep_s)
        self.policy = open_policy(config, registry, clock)
        self.agent_guards = Guards([LatchGuard(self.latch), known, CircuitGuard(self.circuits)])
        """Those that stop an agent in all it does."""
        rings = [LineageGuard(registry, self.circuits)] if rules.rule(Cycle.name).mode is Mode.ENFORCE else []
        asked = [PolicyGuard(self.policy, self.audit.ruled)] if self.policy is not None else []
        self.action_guards = Guards([*rings, *asked])
        """Those that look at the action at hand; a circuit's probe must pass them, too."""
        self.guards = Guards([self.agent_guards, self.action_guards])
        self.outbox = new_outbox(config, broker, clock, name, lambda agent: self.latch.killed(agent) is None)
        self._slow: dict[str, float] = {}
        self._panel = Panel(rules, registry)
        self._members: dict[str, Member] = {}
        self._told: dict[str, str] = {}
        self._chores = Chores(clock)
        self._wake, self._stopping = threading.Event(), threading.Event()
        self._ticker = threading.Thread(target=self._run, name="fusebox-ticker", daemon=True)

    @classmethod
    def from_config(
        cls, config: Config, *, broker: Broker | None = None, name: str = "", clock: Clock | None = None
    ) -> Runtime:
        """Wire a runtime as the configuration says.

        Raises:
            ConfigError: a file or setting is wrong.
        """
        amqp = config.secret("amqp_url")
        chosen = broker or (AmqpBroker(amqp, client_name=name) if amqp else InProcessBroker())
        store = open_store(url_of_store(config))
        return cls(config, chosen, store, clock or system_clock(), load_registry(config.agents_file), name or "agent")

    # --- lifecycle ------------------------------------------------------------------------------------------------
    def start(self) -> None:
        """Connect and listen; legal twice."""
        if self._ticker.ident:
            return
        self.broker.start()
        self.broker.declare(base_topology() + retry_topology())
        self.outbox.start()
        self.link.start()
        self._find_keys()
        self.audit.start()
        if self.policy is not None:
            self.policy.start()
        self._ticker.start()

    def stop(self, timeout: float = 10.0) -> None:
        """Deliver what can be delivered within ``timeout`` seconds; legal before start and twice."""
        self._stopping.set()
        self._wake.set()
        # Without a collector there is nobody to wait for.
        patience = min(timeout, _PATIENCE_S) if url_of(self.config, "receive", "otlp_endpoint") else 0.0
        if self._ticker.ident:
            self._ticker.join(timeout)
            self.audit.stop(patience)
            self.link.stop(patience)
        self.outbox.stop(min(timeout, _PATIENCE_S))
        self.telemetry.stop(patience)
        self.broker.stop(timeout)
        if self.policy is not None:
            self.policy.stop(timeout)

    def join(self, *members: Member) -> None:
        """Agents start in this process; the snapshot that names one names all."""
        self._members |= {member.name: member for member in members}
        self.link.join(members[-1].name)

    def part(self, member: Member) -> None:
        """An Agent stops."""
        self._members.pop(member.name, None)
        self._chores.forget(member.name)

    # --- what actions call ----------------------------------------------------------------------------------------
    def observe(self, event: Event) -> None:
        """Let the inline detectors see what happened."""
        finding = self._panel.observe(event)
        if finding is not None:
            self.found(finding)

    def found(self, finding: Finding) -> None:
        """Act on a Finding: open the agent's own circuit, at once; or, when it warns, slow the agent down."""
        if finding.action == "warn":
            now = self.clock.monotonic()
            for agent in [agent for agent, until in self._slow.copy().items() if until <= now]:
                self._slow.pop(agent, None)  # where it stands: others are warned, and looked up, meanwhile
            self._slow[finding.agent] = now + SLOW_FOR_S
            happenings.emit(SLOWED, agent=finding.agent, detector=finding.detector, reason=finding.reason)
        if finding.action != "open":
            return
        self.circuits.trip(finding.agent, reason=finding.reason, actor=f"detector:{finding.detector}", finding=finding)

    def pause(self, agent: str) -> float:
        """Seconds that the agent is to wait after an action: some while after a warning, else 0."""
        if not self._slow:
            return 0.0
        if self._slow.get(agent, 0.0) <= self.clock.monotonic():
            self._slow.pop(agent, None)
            return 0.0
        return SLOW_S if self.circuits.circuit(agent).mode == "normal" else 0.0

    def denied(self, action: Action, verdict: Verdict) -> None:
        """A guard refused an action: audited, counted."""
        self.audit.ruled(action, verdict)

    def refused(self, refused: Refused) -> None:
        """An action did not happen: held, where people are asked about it, or denied."""
        rule = self.held if isinstance(refused, ApprovalPending) else self.denied
        rule(refused.action, refused.verdict)

    def held(self, action: Action, verdict: Verdict) -> None:
        """A message waits because a guard said no: audited, counted."""
        self.audit.ruled(action, replace(verdict, decision=Decision.HOLD))

    def _rejected(self, reason: str) -> None:
        """A Command was not obeyed: audited with what guards deny, so once, then counted by the minute."""
        agent = next(iter(self._members), "")
        if agent:
            self.audit.ruled(Action(ActionKind.CONSUME, agent, "command"), guard.deny("command", reason))

    def fence(self, action: Action) -> None:
        """Refuse the result of work that outlived its agent.

        Raises:
            AgentKilled: the agent was cut while it worked.
        """
        kill = self.latch.stops(action)
        if kill is not None:
            verdict = verdict_on(kill, "while it worked")
            self.denied(action, verdict)
            raise AgentKilled(action, verdict)

    # --- what moves -----------------------------------------------------------------------------------------------
    def _moved(self, transition: Transition) -> None:
        self._panel.forget(transition.agent)
        member = self._members.get(transition.agent)
        if member is not None and transition.after is State.OPEN:
            member.shut()
            self._tell(transition)
        if not transition.actor.startswith(_TOLD):
            self.link.report(transition)
        self._wake.set()

    def _tell(self, transition: Transition) -> None:
        """Whoever looks at the process, and not at the board, sees why its agent has fallen silent."""
        if transition.after is State.OPEN and transition.agent in self._members:
            happenings.emit(STOPPED, agent=transition.agent, reason=transition.reason, by=transition.actor)

    def _obeyed(self, _command: Command | None) -> None:
        for member in list(self._members.values()):
            kill = self.latch.killed(member.name)
            if kill is not None and self._told.get(member.name) != kill.id:
                self._told[member.name] = kill.id
                happenings.emit(STOPPED, agent=member.name, reason=kill.reason, by=kill.operator)
            member.cut()
        self._wake.set()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._wake.wait(TICK_S)
            self._wake.clear()
            self._chores.do("", self._refresh)
            for member in list(self._members.values()):
                self._chores.do(member.name, member.tick)

    def _refresh(self) -> None:
        for transition in self.circuits.refresh():
            self._panel.forget(transition.agent)
            self._tell(transition)
        self.latch.refresh()
        self.claims.refresh()
        self._find_keys()

    def _find_keys(self) -> None:
        """Agents may start before ``fusebox up`` ever made keys, and outlive them; those in the list are obeyed."""
        keyring = self._keys.news()
        if keyring is not None:
            self.link.obey(keyring)
            for agent in list(self._members):
                self.link.join(agent, patience=0.0)

    def _new_link(self) -> Link:
        return Link(
            self.latch, self.circuits, self.clock, client=control_clients(self.config),
            stream=lambda: command_stream(self.config), broker=self.broker if self.broker.remote else None,
            token=agent_token(self.config), held=lambda: {m.name: m.held for m in list(self._members.values())},
            obeyed=self._obeyed, rejected=self._rejected,
        )  # fmt: skip


def _bounds(config: Config) -> Bounds:
    return Bounds(config.context_max_entries, config.context_max_bytes, config.context_keep_s)
