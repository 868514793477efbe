"""Watch: judges what agents do, keeps the board, takes operators' orders, alerts people. This file only wires.

Order of start: journal → what it says (kills, circuits, openings, alerts due) → alerts → carriers → control API → live
detection → announcement. It stops the other way round.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Final

from breakers.board import Board
from breakers.circuit import Circuits
from breakers.latch import Latch
from breakers.panel import Panel
from breakers.rows import FORGET_S
from breakers.rules import load_rules
from collector.alerts.build import Workshop
from collector.alerts.outbox import Outbox
from collector.alerts.register import Register
from collector.alerts.routing import Router
from collector.alerts.rules import load_alert_rules
from collector.alerts.writer import Writer
from collector.approvers import Approvers
from collector.audit import EVERY_S
from collector.audit.entry import Note
from collector.audit.files import DAMAGED, entries
from collector.audit.journal import Journal, JournalBroken
from collector.configured import declare
from collector.readers import Readers
from collector.scheduling import interrupt_nobody
from collector.setup import LOCAL, load_signer, owned, prepare
from collector.spool import Reader
from collector.tokens import Tokens
from collector.watch import parts
from collector.watch.api import Api
from collector.watch.approving import Approving
from collector.watch.board import BoardView
from collector.watch.callbacks import Callbacks
from collector.watch.canary import Canary
from collector.watch.catching_up import CatchingUp
from collector.watch.changes import Changes
from collector.watch.completeness import Completeness
from collector.watch.damage import Damage
from collector.watch.dead import DeadLetters
from collector.watch.desk import Desk
from collector.watch.dispatch import Dispatch
from collector.watch.door import Door
from collector.watch.errands import Errands
from collector.watch.fleet import Fleet
from collector.watch.forgetting import Forgetting
from collector.watch.heartbeat import Heartbeat
from collector.watch.history import History
from collector.watch.leases import Leases, Receipts
from collector.watch.lifted import Lifted
from collector.watch.live import BEHIND_S, Judge, Live
from collector.watch.noted import Noted
from collector.watch.orders import Orders
from collector.watch.policy import PolicyLook
from collector.watch.poll import CommandLog
from collector.watch.reach import Reach
from collector.watch.records import Records
from collector.watch.relatch import Relatch
from collector.watch.reported import Reported
from collector.watch.roll import Roll
from collector.watch.roster import Named, Roster, VirtualKeys
from collector.watch.rulings import Rulings
from collector.watch.scores import Scores
from collector.watch.server import HttpServer
from collector.watch.telling import Telling
from collector.watch.ticker import Ticker
from collector.watch.trips import Trips
from collector.watch.uplink import Uplink
from collector.watch.vigil import Vigil
from fusebox import happenings
from fusebox.clock import Clock, system_clock
from fusebox.config import Config
from fusebox.exporter import CollectorExporter
from fusebox.lifecycle import Stack, serve
from fusebox.metrics import Gauge, Otel, dropped_by_sdks, incoming
from fusebox.ports import address, bind, port_of
from fusebox.records import Finding, State, Transition
from fusebox.rundir import announce, dashboard_page, withdraw
from fusebox.telemetry import Telemetry
from fusebox.version import __version__
from governance.approvals.rules import ApprovalRules
from governance.registry import load_registry

ROLE: Final = "watch"
_ANY: Final = ("0.0.0.0", "::")
_UNSIGNED_S: Final = 2 * EVERY_S

STARTED: Final = happenings.declare("watch_started", logging.INFO, "watch is ready")


class Watch:
    """The role as one service.

    Attributes:
        url: where the control API answers.

    Raises (on construction):
        DataDirInUse: another watch owns the data folder.
        PortInUse: the control port is taken.
        ConfigError: a file or setting is wrong.
    """

    def __init__(self, config: Config, clock: Clock) -> None:
        self._config, self._clock = config, clock
        self._resources = ExitStack()
        with ExitStack() as resources:
            resources.enter_context(owned(config.data_dir / "journal" / "lock", ROLE))
            self._socket = bind(config.host, config.control_port, "control_port")
            resources.callback(self._socket.close)
            host = "127.0.0.1" if config.host in _ANY else config.host
            self.url = f"http://{address(host, port_of(self._socket))}"
            self._build()
            self._resources = resources.pop_all()

    def start(self) -> None:
        self._restore()
        self._stack.start()
        self._ticker.start()
        announce(self._config.data_dir, ROLE, url=self.url)
        happenings.emit(STARTED, url=self.url)

    def stop(self, timeout: float = 10.0) -> None:
        withdraw(self._config.data_dir, ROLE)
        self._ticker.stop(timeout)
        self._log.close()
        self._scores.stop()
        self._stack.stop(timeout)
        self._count(now=True)
        self._journal.close()
        self._store.close()
        self._resources.close()

    # --- health ---------------------------------------------------------------------------------------------------
    def failing(self) -> list[str]:
        """Parts that should run and do not."""
        state = {
            "live detection has ended; see watch.log": self._live.running,
            self._journal.unsound: not self._journal.unsound,
            "the journal cannot be written; free its disk": not self._journal.owing,
            "the journal is not signed; see checkpoint_failed in watch.log": self._journal.unsigned_s < _UNSIGNED_S,
            f"live detection is {self._live.behind:.0f} s behind the spool": self._live.behind < BEHIND_S,
        }
        broken = [f"{chore}: {error}" for chore, error in self._ticker.failing.items()]
        return [sentence for sentence, well in state.items() if not well] + self._reach.trouble() + broken

    def samples(self) -> Iterator[Gauge | Otel]:
        """Figures for ``/metrics``."""
        yield incoming(self._complete.spans)
        yield dropped_by_sdks(self._complete.dropped)
        seconds = max(0.0, self._clock.now() - self._judge.watermark) if self._judge.watermark else 0.0
        yield Gauge("watch_watermark_age_seconds", "how old the newest span is that was judged", seconds)
        yield Gauge(
            "watch_behind_seconds", "how long live detection has not caught up with the spool", self._live.behind
        )
        yield Gauge("watch_judged_record", "number of the newest spool record that was judged", self._live.position)
        yield Gauge("watch_processes", "agent processes with a live lease", len(self._leases.live()))
        for name, number in self._desk.counts().items():
            yield Gauge(f"watch_alerts_{name}", f"alerts {name}", number)
        for name, state in self._outbox.states().items():
            meaning = "1 while a sink of alerts is tried as usual, 0 while its circuit is open or it is disabled"
            yield Gauge("watch_alert_sink_up", meaning, state == State.CLOSED, {"sink": name})
        yield from self._complete.samples()
        yield from self._reach.samples()

    # --- wiring ---------------------------------------------------------------------------------------------------
    def _build(self) -> None:
        config, clock, folder = self._config, self._clock, self._config.data_dir
        self._registry = load_registry(config.agents_file)
        self._journal = Journal.of(config, clock, ROLE)
        self._latch = Latch(folder / "latch" / "watch.jsonl", tenant=config.tenant)
        self._store = parts.shared_state(config, clock)
        self._rules = load_rules(config.rules_file)
        self._circuits = Circuits(Board(self._store, clock, config.tenant), clock, self._rules.circuit)
        self._panel = Panel(self._rules, self._registry)
        telemetry = Telemetry(CollectorExporter(config), service="fusebox-watch", clock=clock)
        self._scores = Scores(self._panel, telemetry, clock, config.tenant)
        self._history, self._roll, self._lifted = History(), Roll(clock), Lifted(self._latch)
        self._rulings = Rulings(self._journal, self._roll, clock)
        self._leases, self._receipts, self._log = Leases(clock), Receipts(clock), CommandLog(clock.wall())
        self._reported = Reported(self._leases, self._latch, tenant=config.tenant)
        self._tellers()
        self._canary = Canary(config, clock, self._telling.incomplete)
        self._complete = Completeness(self._canary, clock)
        self._changes = Changes(folder, self._journal)
        self._damage = Damage(folder, clock, self._telling.damage)
        self._vigil = Vigil(
            self._receipts, self._complete.lost, clock, unconfirmed=self._telling.unconfirmed, gap=self._telling.gap
        )
        self._wire()

    def _tellers(self) -> None:
        """Who tells people."""
        config, clock, register = self._config, self._clock, Register()
        self._alert_rules = load_alert_rules(config.alerts_file)
        self._writer = writer = Writer(
            lambda: self._alert_rules.links.dashboard or dashboard_page(config.data_dir),
            lambda: (self._alert_rules.links.control or self.url).rstrip("/"),
        )
        self._telling = Telling(self._journal, clock, writer, register, self._registry)
        sinks = Workshop(config, self._alert_rules, clock, self.url).sinks()
        self._outbox = Outbox(config.data_dir / "alerts", sinks, clock, self._telling.ended)
        self._telling.through(self._outbox, Router(self._alert_rules, self._outbox.sinks, clock))
        self._desk = Desk(register, self._outbox, self._journal, writer, self._telling, clock)

    def _wire(self) -> None:
        config, clock = self._config, self._clock
        broker = parts.broker(config, clock)
        disconnector = parts.disconnector(config, self._latch, self._receipts)
        signer = load_signer(config)
        stream = parts.stream(config, clock, self._latch, signer)
        carriers = [each for each in (stream, broker, disconnector) if each]
        ways = [*([stream] if stream else []), *([broker.out] if broker else [])]
        self._reach = Reach(self._circuits, ways, clock, shared=self._store.shared, tell=self._telling.apart)
        dispatch = Dispatch(signer, self._log, self._leases, self._receipts, [each.offer for each in carriers])
        fleet = Fleet(self._circuits, self._leases, self._roll, self._rules.fleet)
        self._trips = Trips(
            self._circuits, self._journal, dispatch, self._history, clock, tenant=config.tenant,
            alert=self._telling.moved, moved=self._panel.forget, refusal=fleet.refusal, page=self._telling.withheld,
            kill=lambda finding: self._kill_for(orders, finding),
        )  # fmt: skip
        orders = Orders(
            self._latch, self._circuits, self._journal, dispatch, self._history, clock,
            self._registry, self._reported, tenant=config.tenant, moved=self._ordered_move, lifted=self._lifted.add,
            told=self._telling.ordered,
        )  # fmt: skip
        self._approve(dispatch)
        noted = Noted(clock)
        uplink = Uplink(
            self._latch, self._circuits, self._journal, dispatch, self._log, self._leases, self._receipts, self._trips,
            self._rulings, self._lifted, self._reported, noted, clock,
            {"hold": self._approving.hold, "standing": self._approving.standing},
        )  # fmt: skip
        self._judge = Judge(
            self._panel,
            self._registry,
            self._roll,
            self._trips,
            self._history,
            clock,
            stranger=self._telling.stranger,
            burning=self._telling.burning,
            outage=self._telling.outage,
            complete=self._complete,
        )
        api = self._api(uplink, orders)
        if broker:
            broker.listen(api.from_broker)
        self._live = Live(lambda: Reader(config.data_dir / "spool", ROLE), self._judge)
        server = HttpServer(api.app(), self._socket, "watch-http")
        dead = [DeadLetters(broker.depth, self._consumers, self._telling.dead_letters)] if broker else []
        rule = self._alert_rules.heartbeat
        heart = [Heartbeat(rule, clock, self._unwell, self._outbox.send)] if rule else []
        policy = PolicyLook(config, self._registry, clock, self._telling.policy_failed)
        self._stack = Stack([self._outbox, *carriers, server, self._live, self._canary, policy, *dead, *heart])
        self._ticker = Ticker({
            "paying the journal's debts": self._journal.settle, "counts in the journal": self._count,
            "lists of tokens": self._roster.check, "changed files": self._changes.check,
            "a board that others move": self._look_at_board,
            "a board that others moved": CatchingUp(self._circuits, self._history, self._trips).look,
            "trips to be carried out": self._trips.chase, "scores": self._scores.tick,
            "damage": self._damage.look, "receipts": self._vigil.look, "approvals": self._approving.look,
            "what reaches nobody": self._reach.look, "kills that processes report": noted.tell,
            "circuits of long ago": Forgetting(self._circuits, self._history, clock).look,
        })  # fmt: skip

    def _approve(self, dispatch: Dispatch) -> None:
        """Who asks people, and hears them."""
        config, folder = self._config, self._config.data_dir
        self._operators, self._approvers = Tokens(folder / "operators.json", config.tenant), Approvers(folder)
        self._approving = Approving(
            self._store, parts.approvals_key(folder), self._journal, ApprovalRules(config.agents_file, self._registry),
            lambda: tuple(sorted({*self._operators.names(), *self._approvers.names()})), dispatch, self._telling,
            self._writer, self._clock, tenant=config.tenant, local=LOCAL, each=config.approvals_each,
        )  # fmt: skip
        self._callbacks = Callbacks(self._approvers, self._approving, self._store, self._clock, config.tenant)

    def _api(self, uplink: Uplink, orders: Orders) -> Api:
        folder, tenant = self._config.data_dir, self._config.tenant
        board = BoardView(
            self._circuits, self._latch, self._registry, self._roll, self._leases, self._history, self._reported,
            self._clock, watermark=lambda: self._judge.watermark, alerts=self._desk.counts,
            unreached=self._desk.unreached, freshness=self._complete.json, receipts=self._receipts.outstanding,
            thresholds={name: self._rules.threshold(name) for name in self._rules.detectors},
        )  # fmt: skip
        agents, operators, readers = Tokens(folder / "principals.json", tenant), self._operators, Readers(folder)
        lists: dict[str, Named] = {
            "principal": agents, "operator": operators, "reader": readers, "virtual key": VirtualKeys(folder),
            "approver": self._approvers,
        }  # fmt: skip
        self._roster = Roster(lists, self._journal)
        self._door = Door(operators, readers, self._journal, self._clock)
        records = Records(self._journal, folder / "journal")
        return Api(
            agents, operators, self._door, uplink, orders, Errands(self._journal), board, self._receipts, records,
            self._desk, self._approving, self._callbacks, self, self._clock,
        )  # fmt: skip

    def _kill_for(self, orders: Orders, finding: Finding) -> None:
        if self._rules.rule(finding.detector).kill:
            orders.kill_for(finding)

    def _ordered_move(self, transition: Transition) -> None:
        self._panel.forget(transition.agent)
        self._telling.moved(transition)

    def _consumers(self) -> set[str]:
        """Agents that may have queues."""
        return self._registry.agents.keys() | {agent for lease in self._leases.live() for agent in lease.agents}

    def _unwell(self) -> list[str]:
        """Why no heartbeat is sent."""
        undelivered = self._desk.counts()["undelivered"]
        return self.failing() + ([f"{undelivered} alerts reached nobody"] if undelivered else [])

    # --- running --------------------------------------------------------------------------------------------------
    def _restore(self) -> None:
        """Take up what the journal says, and write down what is new since."""
        relatch = Relatch(self._latch)
        passed_over = happenings.counts()[DAMAGED.name]
        learners = (
            relatch, self._history, self._lifted, self._telling, self._desk, self._roster, self._changes,
            self._approving,
        )  # fmt: skip
        for entry in entries(self._config.data_dir / "journal"):
            for learner in learners:
                learner.learn(entry)
        relatch.apply()
        self._telling.catch_up()
        for transition in self._history.recent(self._clock.now() - FORGET_S):
            self._circuits.adopt(transition)
        self._begin()
        damaged = happenings.counts()[DAMAGED.name] - passed_over
        if damaged:
            self._telling.audit_failed(f"{damaged} lines are no genuine entries", f"{damaged} lines of {ROLE}")

    def _begin(self) -> None:
        """Say that watch runs, and as what; where that cannot be recorded people are told, and can still kill."""
        declare(self._config, ROLE)
        try:
            self._journal.append(Note("start", ROLE, ROLE, f"version {__version__}"))
            self._changes.check()
        except JournalBroken as error:
            self._telling.audit_failed(self._journal.unsound or str(error), f"journal of {ROLE}")

    def _look_at_board(self) -> None:
        self._trips.noticed(self._circuits.refresh())

    def _count(self, *, now: bool = False) -> None:
        for counted in (self._rulings.counted, self._door.refused):
            counted.settle(now=now)


def main(config: Config) -> None:
    """Run watch until SIGTERM."""
    interrupt_nobody()
    prepare(config)
    serve(Watch(config, system_clock()))
