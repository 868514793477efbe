"""Eight processes on one store that fails in every way, against a small model.

*Exact*: while nothing was lost since all agreed, every order and every run has the outcome the model says. *Always*,
also with the store away, flushed or rolled back:

* a process that saw the circuit open sees it closed only after a probe's success or a person's word on that opening
  (or once a person has put it into a mode in which nothing opens);
* outside a probe nobody acts in a circuit that is not closed, in whichever process;
* who is killed stays killed until that kill is lifted, whatever happens to store, clock and process.
"""

from __future__ import annotations

import tempfile
from contextlib import AbstractContextManager
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from breakers.board import Board
from breakers.circuit import Circuits
from breakers.guards import LatchGuard
from breakers.latch import Latch
from breakers.rows import PROBE, Row, num
from breakers.settings import CircuitSettings
from fusebox.clock import ManualClock
from fusebox.errors import AgentTripped, LoopDetected
from fusebox.guard import LINEAGE, deny
from fusebox.records import Action, ActionKind, State, Transition
from tests.breakers.circuit_model import GROWTH, LEASE_S, MAX_S, OPEN_S, Model
from tests.breakers.flaky import Backup, Flaky

AGENT = "a"
PROCESSES = 8
ACTION = Action(ActionKind.TOOL_CALL, AGENT, "op")
BY = {"reason": "looked into it", "actor": "operator:jo"}
numbers = st.integers(0, PROCESSES - 1)


@dataclass
class Run:
    """A handler run under way, in a context of its own as a worker thread would have."""

    process: Process
    context: Context
    manager: AbstractContextManager[None]
    holder: str = ""


@dataclass
class Process:
    """One agent process: its circuits, its latch file, and the openings that stop it as far as it was told."""

    store: Flaky
    clock: ManualClock
    probes: int
    file: Path
    stopped_by: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        """Begin, or begin anew: only the latch file is left of the life before."""
        limits = CircuitSettings(
            open_s=OPEN_S, growth=GROWTH, max_open_s=MAX_S, probe_lease_s=LEASE_S, probes=self.probes, fail_max=10**9
        )
        self.heard: list[Transition] = []
        self.circuits = Circuits(Board(self.store, self.clock), self.clock, limits, self.heard.append)
        self.latch = Latch(self.file)
        self.stopped_by = set()
        self.alone: set[str] = set()  # openings that it has told nobody of
        self.ran = False

    @property
    def closed(self) -> bool:
        return self.circuits.circuit(AGENT).state is State.CLOSED


class Circuit(RuleBasedStateMachine):
    """See the module."""

    @initialize(probes=st.integers(1, 3))
    def begin(self, probes: int) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.store, self.clock, self.model = Flaky(), ManualClock(), Model(probes)
        self.board = Board(self.store, self.clock)
        files = [Path(self.folder.name) / f"latch-{number}" for number in range(PROCESSES)]
        self.processes = [Process(self.store, self.clock, probes, file) for file in files]
        self.runs: list[Run] = []
        self.dead: list[Run] = []  # never ended; kept, as Python would end them otherwise
        self.backups: list[tuple[Backup, set[str]]] = []
        self.known: set[str] = set()  # openings that the board knows
        self.settled: set[str] = set()  # openings that a probe or a person closed
        self.modes: set[str] = set()  # changes of the mode: they may show an open circuit, but open none
        self.kills: list[str] = []
        self.lifted: set[str] = set()
        self.delivered: dict[int, set[str]] = {number: set() for number in range(PROCESSES)}
        self.owes_reset: set[int] = set()
        self.exact = True
        self.calls = 0

    def teardown(self) -> None:
        for run in (*getattr(self, "runs", ()), *getattr(self, "dead", ())):
            run.context.run(run.manager.gen.close)  # type: ignore[attr-defined]
        if hasattr(self, "folder"):
            self.folder.cleanup()

    # --- bookkeeping ------------------------------------------------------------------------------------------------
    def _now(self) -> float:
        return self.clock.now()

    def _row(self) -> Row:
        """The board's row; that the test looks is no talk of a process."""
        calls, row = self.store.calls, self.board.row(AGENT)
        self.store.calls = calls
        return row

    def _meet(self) -> None:
        """A process is about to do something, and may talk to the board about it."""
        self.calls = self.store.calls
        row = {} if self.store.away else self._row()
        self.stands = row.get("state", "closed") != "closed" and row.get("mode") == "normal"

    def _met(self, process: Process, heard: list[Transition]) -> None:
        """It has: what stops it is known to whom it talked; what is known there and open stops it, too; what it sees
        closed must have been closed."""
        talked = not self.store.away and self.store.calls > self.calls
        opened = {t.id for t in heard if t.after is State.OPEN} - self.modes
        if talked:
            if self.stands:  # the board may have heard that it was opened alone, and was open already
                process.stopped_by -= process.alone - set(self._row()["openings"].split())
            self.known |= process.stopped_by | opened
        process.alone = set() if talked else process.alone | opened
        if process.circuits.circuit(AGENT).mode != "normal":  # a person's word, under which nothing opens
            self.settled |= process.stopped_by
        if process.closed:
            assert process.stopped_by <= self.settled, "an open circuit closed without a probe or a person"
            process.stopped_by = set()
        else:
            process.stopped_by |= opened | ((self.known - self.settled) if talked else set())

    def _say(self, process: Process) -> None:
        heard, process.heard[:] = list(process.heard), []
        self._met(process, heard)

    def _same(self) -> None:
        """The board says what the model says."""
        if not self.exact:
            return
        row, model = self._row(), self.model
        assert row.get("state", "closed") == model.state
        assert row.get("mode", "normal") == model.mode
        assert _permits(row) == set(model.leases)
        assert int(num(row, "trips")) == model.trips
        if model.state == "open":
            assert num(row, "retry_at") == pytest.approx(model.until)

    # --- orders -----------------------------------------------------------------------------------------------------
    @rule(number=numbers, open_s=st.sampled_from([0.0, 0.0, 90.0, 5.0]))
    def trip(self, number: int, open_s: float) -> None:
        process = self.processes[number]
        self._meet()
        process.circuits.trip(AGENT, reason="loops", actor="detector:x", open_s=open_s or None)
        if self.exact:
            self.model.trip(self._now(), open_s)
        self._say(process)
        self._same()

    @rule(number=numbers)
    def reset(self, number: int) -> None:
        process = self.processes[number]
        self._meet()
        self.settled |= process.stopped_by | (set() if self.store.away else self.known)
        process.circuits.reset(AGENT, **BY)
        self.owes_reset.add(number)
        if self.exact:
            self.model.reset(self._now())
        self._say(process)
        self._same()

    @rule(number=numbers)
    def half_open(self, number: int) -> None:
        process = self.processes[number]
        self._meet()
        process.circuits.half_open(AGENT, **BY)
        if self.exact:
            self.model.half_open(self._now())
        self._say(process)
        self._same()

    @rule(number=numbers, mode=st.sampled_from(["normal", "normal", "observe_only", "disabled"]))
    def mode(self, number: int, mode: str) -> None:
        process = self.processes[number]
        self._meet()
        changed = process.circuits.set_mode(AGENT, mode, **BY)
        self.modes |= {changed.id} if changed else set()
        if self.exact:
            self.model.mode = mode
        self._say(process)
        self._same()

    # --- runs -------------------------------------------------------------------------------------------------------
    @rule(number=numbers)
    def run(self, number: int) -> None:
        process = self.processes[number]
        self._meet()
        before = process.circuits.circuit(AGENT)
        asks = before.stops and (before.state is State.HALF_OPEN or process.circuits.due(AGENT))
        had, steps = _permits(self._row()) if self.exact else set(), self.store.steps
        context = copy_context()
        manager = process.circuits.calling(AGENT)
        try:
            context.run(manager.__enter__)
        except AgentTripped:
            admitted = False
        else:
            admitted = True
            self.runs.append(Run(process, context, manager))
            self.runs[-1].holder = _held_by(self.runs[-1])
        asked = self.store.steps > steps
        if self.exact:
            assert asked == asks or not process.ran, (
                "the first run looks at the board, and may learn other things there"
            )
            process.ran = True
            if asked:
                self._was_admitted(admitted, had)
        self._say(process)
        self._same()

    def _was_admitted(self, admitted: bool, had: set[str]) -> None:
        """What the model says of a run that found the circuit not closed."""
        new = _permits(self._row()) - had
        if self.model.mode != "normal" or self.model.state == "closed":
            assert admitted, "it asked on old knowledge, and heard that nothing stops it any more"
            assert not new
            return
        assert admitted == bool(new)
        assert self.model.ask(self._now(), next(iter(new), "")) == admitted

    @precondition(lambda self: self.runs)
    @rule(data=st.data(), end=st.sampled_from(["good", "good", "bad", "refused", "died"]))
    def end(self, data: st.DataObject, end: str) -> None:
        run = self.runs.pop(data.draw(st.integers(0, len(self.runs) - 1)))
        if end == "died":  # with its process
            self.runs.append(run)
            self._restart(run.process)
            return
        self._meet()
        if end == "good" and run.holder and not self.store.away:
            self.settled |= self.known | run.process.stopped_by
        self._exit(run, end)
        if self.exact and run.holder:
            self._proved(run.holder, end)
        self._say(run.process)
        self._same()

    def _exit(self, run: Run, end: str) -> None:
        refused = LoopDetected(ACTION, deny(LINEAGE, "a ring"))
        error = {"good": None, "bad": ValueError("broken"), "refused": refused}[end]
        assert not run.context.run(run.manager.__exit__, type(error) if error else None, error, None)

    def _proved(self, holder: str, end: str) -> None:
        if end == "good":
            self.model.succeed(self._now(), holder)
        elif end == "bad":
            self.model.trip(self._now(), holder=holder)
        else:
            self.model.give_back(holder)

    # --- processes, time, store -------------------------------------------------------------------------------------
    @rule(number=numbers)
    def refresh(self, number: int) -> None:
        self._refresh(number)
        self._same()

    def _refresh(self, number: int) -> None:
        process = self.processes[number]
        self._meet()
        if not self.store.away and number in self.owes_reset:  # a reset that had to wait is a person's word, now
            self.settled |= self.known | process.stopped_by
            self.owes_reset.discard(number)
        noticed = process.circuits.refresh()
        if self.exact:
            for run in self.runs:
                if run.process is process and run.holder:
                    self.model.renew(self._now(), run.holder)
        self._met(process, noticed)

    @rule(number=numbers)
    def restart(self, number: int) -> None:
        self._restart(self.processes[number])

    def _restart(self, process: Process) -> None:
        self.dead += [run for run in self.runs if run.process is process]
        self.runs = [run for run in self.runs if run.process is not process]
        self.owes_reset.discard(self.processes.index(process))
        process.start()

    @rule(seconds=st.sampled_from([1.0, 10.0, 29.0, 31.0, 61.0, 130.0, 700.0, -20.0, -3600.0]))
    def time(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule(away=st.booleans())
    def store_goes(self, away: bool) -> None:
        self.store.away = away
        if away:
            self.exact = False

    @rule()
    def flush(self) -> None:
        self.store.flush()
        self.known, self.exact = set(), False

    @rule()
    def back_up(self) -> None:
        self.backups.append((self.store.backup(), set(self.known)))

    @precondition(lambda self: self.backups)
    @rule(data=st.data())
    def roll_back(self, data: st.DataObject) -> None:
        backup, known = data.draw(st.sampled_from(self.backups))
        self.store.roll_back(backup)
        self.known, self.exact = set(known), False

    @rule()
    def all_agree(self) -> None:
        """Once the store is there, two refreshes each are enough for all to know the same; the model learns it."""
        if self.exact:
            return
        self.store.away = False
        for number in (*range(PROCESSES), *range(PROCESSES)):
            self._refresh(number)
        row = self._row()
        seen = {(c.state.value, c.mode, c.probes) for c in (p.circuits.circuit(AGENT) for p in self.processes)}
        assert seen == {(row.get("state", "closed"), row.get("mode", "normal"), frozenset(_permits(row)))}
        self._learn(row)

    def _learn(self, row: Row) -> None:
        model = Model(self.model.probes, row.get("state", "closed"), row.get("mode", "normal"), num(row, "since"))
        model.open_for, model.until, model.trips = num(row, "open_for"), num(row, "retry_at"), int(num(row, "trips"))
        model.tripped_at, model.passed = num(row, "tripped_at"), int(num(row, "passed"))
        model.leases = {name.removeprefix(PROBE): num(row, name) for name in row if name.startswith(PROBE)}
        self.model, self.exact = model, True

    # --- kills ------------------------------------------------------------------------------------------------------
    @rule()
    def kill(self) -> None:
        self.kills.append(f"k{len(self.kills)}")

    @precondition(lambda self: self.kills)
    @rule(data=st.data(), number=numbers)
    def deliver(self, data: st.DataObject, number: int) -> None:
        """In any order, as often as it likes, also after the lift."""
        kill = data.draw(st.sampled_from(self.kills))
        self.processes[number].latch.kill(kill, f"agent:{AGENT}")
        self.delivered[number].add(kill)

    @precondition(lambda self: self.kills)
    @rule(data=st.data(), number=numbers)
    def lift(self, data: st.DataObject, number: int) -> None:
        kill = data.draw(st.sampled_from(self.kills))
        self.processes[number].latch.lift([kill])
        self.delivered[number].add(f"lifted {kill}")

    # --- always -----------------------------------------------------------------------------------------------------
    @invariant()
    def outside_a_probe_nobody_acts(self) -> None:
        for process in getattr(self, "processes", ()):
            circuit = process.circuits.circuit(AGENT)
            assert process.circuits.verdict(AGENT).allowed == (not circuit.stops)

    @invariant()
    def no_more_probes_act_than_may(self) -> None:
        if not getattr(self, "exact", False) or self.model.state != "half_open" or self.model.mode != "normal":
            return
        living = set(self.model.living(self._now()))
        acting = [run for run in self.runs if run.holder in living and _may_act(run)]
        assert len(acting) <= len(living) <= self.model.probes

    @invariant()
    def killed_stays_killed(self) -> None:
        for number, process in enumerate(getattr(self, "processes", ())):
            said = self.delivered[number]
            killed = any(f"lifted {kill}" not in said for kill in said if not kill.startswith("lifted"))
            assert LatchGuard(process.latch).check(ACTION).allowed != killed


def _permits(row: Row) -> set[str]:
    return {name.removeprefix(PROBE) for name in row if name.startswith(PROBE)}


def _may_act(run: Run) -> bool:
    return run.context.run(run.process.circuits.verdict, AGENT).allowed


def _held_by(run: Run) -> str:
    """The permit that a run holds, as its own context says; the same that its guard looks at."""
    return next((v[1] for var, v in run.context.items() if var.name == "fusebox_probe_permit" and v), "")


@pytest.mark.faults
@pytest.mark.timeout(3600)
def test_circuits_and_the_model_agree(request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture) -> None:
    """A million operations by ``make faults``, some thousand in CI."""
    caplog.set_level("CRITICAL")  # each lost row is an error, and they are lost by the thousand here
    examples, steps = (2_000, 500) if request.config.getoption("--fault-cycles") else (60, 60)
    checked = settings(
        max_examples=examples, stateful_step_count=steps, deadline=None, suppress_health_check=list(HealthCheck)
    )
    run_state_machine_as_test(Circuit, settings=checked)
