"""Obedience: what signed Commands do to one process."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from breakers.board import Board
from breakers.circuit import Circuits
from breakers.latch import Latch
from breakers.obey import Obedience
from fusebox.clock import ManualClock
from fusebox.command import Command, Keyring, Order, Signer, allow_list
from fusebox.errors import BadCommand
from fusebox.records import State
from fusebox.store import MemoryStore


class Process:
    """One process with a latch, circuits and the key of *watch*."""

    def __init__(self, clock: ManualClock, path: Path) -> None:
        self.clock, self.path, self.signer = clock, path, Signer.generate()
        self.keyring = Keyring.load(allow_list(self.signer))
        self.restart()

    def restart(self) -> None:
        self.latch = Latch(self.path)
        self.circuits = Circuits(Board(MemoryStore(), self.clock), self.clock)
        self.obedience = Obedience(self.keyring, self.latch, self.circuits, self.clock)

    def order(self, order: Order, scope: str = "agent:a", **more: object) -> Command:
        return Command(order, scope, "jo", "because", self.clock.wall(), **more)  # type: ignore[arg-type]

    def apply(self, command: Command) -> Command | None:
        return self.obedience.apply(self.signer.sign(command))


@pytest.fixture
def me(clock: ManualClock, tmp_path: Path) -> Process:
    return Process(clock, tmp_path / "latch.jsonl")


def test_kill_and_resume(me: Process) -> None:
    kill = me.order(Order.KILL)
    assert me.apply(kill) == kill
    killed = me.latch.killed("a")
    assert killed
    assert (killed.id, killed.operator, killed.reason, killed.time) == (kill.id, "jo", "because", kill.issued_at)
    me.circuits.trip("a", reason="loops", actor="detector:cycle")
    me.circuits.trip("b", reason="loops", actor="detector:cycle")
    assert me.apply(me.order(Order.RESUME, lifts=(kill.id,)))
    assert me.latch.killed("a") is None
    assert me.circuits.circuit("a").state is State.HALF_OPEN
    assert me.circuits.circuit("b").state is State.OPEN


def test_resume_all_covers_every_open_circuit(me: Process) -> None:
    for agent in "abc":
        me.circuits.trip(agent, reason="loops", actor="detector:cycle")
    me.circuits.reset("c", reason="fine", actor="operator:jo")
    me.apply(me.order(Order.RESUME, "all"))
    assert [c.state for c in me.circuits.all()] == [State.HALF_OPEN, State.HALF_OPEN, State.CLOSED]


def test_resume_before_kill_and_an_old_kill_after_a_restart(me: Process, clock: ManualClock) -> None:
    kill, other = me.order(Order.KILL), me.order(Order.KILL)
    me.apply(me.order(Order.RESUME, lifts=(kill.id,)))
    me.restart()
    clock.advance(10_000)
    assert me.apply(kill), "it is obeyed, and due a Receipt, though it latches nothing"
    assert me.latch.killed("a") is None
    assert me.apply(other), "a kill never expires"
    assert me.latch.killed("a")


def test_the_first_copy_wins(me: Process) -> None:
    trip = me.order(Order.TRIP, open_s=30.0, finding="fnd_7")
    assert me.apply(trip) == trip
    circuit = me.circuits.circuit("a")
    assert (circuit.state, circuit.finding, circuit.retry_at) == (State.OPEN, "fnd_7", me.clock.now() + 30)
    me.circuits.reset("a", reason="fine", actor="operator:jo")
    assert me.apply(trip) is None
    assert me.circuits.circuit("a").state is State.CLOSED


def test_of_what_was_ordered_before_only_the_latch_learns(me: Process) -> None:
    kill, other = me.order(Order.KILL), me.order(Order.KILL)
    me.apply(kill)
    me.circuits.trip("a", reason="loops", actor="detector:cycle")
    before = me.circuits.circuit("a")
    past = [other, me.order(Order.TRIP, "agent:b"), me.order(Order.RESET), me.order(Order.SET_MODE, mode="disabled")]
    for command in [*past, me.order(Order.RESUME, lifts=(kill.id,))]:
        assert me.obedience.apply(me.signer.sign(command), past=True) == command, "it is due a Receipt"
    assert me.circuits.all() == [before]
    assert me.latch.kills().keys() == {other.id}


def test_reset_and_modes(me: Process) -> None:
    me.apply(me.order(Order.TRIP))
    me.apply(me.order(Order.RESET))
    assert me.circuits.circuit("a").state is State.CLOSED
    me.apply(me.order(Order.SET_MODE, mode="observe_only"))
    assert me.circuits.circuit("a").mode == "observe_only"


def test_what_must_not_be_obeyed(me: Process, clock: ManualClock) -> None:
    bad = [
        me.order(Order.KILL, tenant="other"),
        me.order(Order.KILL, "team:x"),
        me.order(Order.KILL, "agent:"),
        me.order(Order.KILL, "tool:"),
        me.order(Order.TRIP, "all"),
        me.order(Order.TRIP, "workflow:wf_1"),
        me.order(Order.RESET, "all"),
        me.order(Order.SET_MODE, mode="sleepy"),
        replace(me.order(Order.RESUME), issued_at=clock.wall() - 301),
        replace(me.order(Order.TRIP), issued_at=clock.wall() + 301),
    ]
    for command in bad:
        with pytest.raises(BadCommand):
            me.apply(command)
    with pytest.raises(BadCommand):
        me.obedience.apply(Signer.generate().sign(me.order(Order.KILL)))
    assert me.latch.kills() == {}
    assert me.circuits.all() == []


def test_a_kill_that_could_not_be_written_is_done_by_the_next_copy(
    me: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    resume = me.order(Order.RESUME, lifts=("k1",))
    me.latch.kill("k1", "agent:a")

    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("breakers.latch_file.os.fsync", full)
        with pytest.raises(OSError, match="space"):
            me.apply(resume)
    assert me.latch.killed("a")
    assert me.apply(resume) == resume
    assert me.latch.killed("a") is None


def test_remembered_commands_are_bounded(me: Process) -> None:
    for _ in range(4200):
        me.apply(me.order(Order.RESET))
    assert len(me.obedience._done) == 4096
