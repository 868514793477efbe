"""Circuits as agents use them: trips, probes, handlers, modes, other processes, a store that goes away."""

from __future__ import annotations

import threading
import time
from typing import Any

import pybreaker
import pytest

from breakers.board import Board
from breakers.circuit import Circuit, Circuits, CircuitSettings
from breakers.guards import CircuitGuard
from fusebox import happenings
from fusebox.clock import ManualClock
from fusebox.errors import AgentTripped, ConfigError
from fusebox.records import Action, ActionKind, Finding, State, Transition
from fusebox.store import MemoryStore, RedisStore, Script, Store
from tests.breakers.flaky import Flaky
from tests.fixtures.store import RedisServer
from tests.need import PATIENCE_S

WHY = {"reason": "loops", "actor": "detector:repetition"}
BY = {"reason": "looked into it", "actor": "operator:jo"}
FINDING = Finding("a", "repetition", 1.0, "loops", "open", 5.0, 4.0, id="fnd_1")


@pytest.fixture
def circuits(store: Store, clock: ManualClock) -> Circuits:
    return Circuits(Board(store, clock), clock)


def process(store: Store, clock: ManualClock, **settings: float) -> Circuits:
    """Another process on the same board."""
    circuits = Circuits(Board(store, clock), clock, CircuitSettings(**settings))
    circuits.refresh()
    return circuits


class Earlier(Flaky):
    """A store as a Fusebox uses it that did not yet note which rows have changed."""

    def run(self, script: Script, key: str, *args: str, ttl: int | None = None, index: str = "") -> Any:
        before = self.read(key).get("change")
        result = super().run(script, key, *args, ttl=ttl)
        if before:
            self.inner.run(Script("", lambda row, _: row.update(change=before)), key)
        return result


def act(circuits: Circuits, agent: str = "a") -> bool:
    return CircuitGuard(circuits).check(Action(ActionKind.TOOL_CALL, agent, "op")).allowed


def run(circuits: Circuits, error: BaseException | None = None, agent: str = "a") -> bool:
    """Run a handler; True when it was admitted."""
    try:
        with circuits.calling(agent):
            if error:
                raise error
    except BaseException as raised:
        if raised is not error:
            assert isinstance(raised, AgentTripped), raised  # noqa: PT017
            return False
    return True


def test_a_trip_stops_the_agent_and_says_why(circuits: Circuits, clock: ManualClock) -> None:
    moved = circuits.trip("a", finding=FINDING, **WHY)
    assert moved
    assert (moved.before, moved.after, moved.finding, moved.time) == (State.CLOSED, State.OPEN, FINDING, clock.now())
    verdict = CircuitGuard(circuits).check(Action(ActionKind.PUBLISH, "a", "op"))
    assert not verdict.allowed
    assert (verdict.guard, verdict.finding, verdict.retry_after) == ("circuit", "fnd_1", 60.0)
    assert "loops" in verdict.reason
    assert act(circuits, "b")
    assert circuits.trip("a", **WHY) is None


def test_a_good_probe_closes(circuits: Circuits, clock: ManualClock) -> None:
    circuits.trip("a", **WHY)
    assert not run(circuits)
    clock.advance(60)
    assert not act(circuits)
    with circuits.calling("a"):
        assert circuits.circuit("a").state is State.HALF_OPEN
        assert act(circuits), "the probe's own actions go through"
    assert circuits.circuit("a").state is State.CLOSED
    assert act(circuits)


def test_a_failed_probe_opens_for_longer(circuits: Circuits, clock: ManualClock) -> None:
    circuits.trip("a", **WHY)
    clock.advance(60)
    assert run(circuits, ValueError("still broken"))
    circuit = circuits.circuit("a")
    assert circuit.state is State.OPEN
    assert circuit.retry_at == clock.now() + 120
    assert "still broken" in circuit.reason


def test_a_finding_during_the_probe_stops_the_probe_too(circuits: Circuits, clock: ManualClock) -> None:
    circuits.trip("a", **WHY)
    clock.advance(60)
    with circuits.calling("a"):
        circuits.trip("a", **WHY)
        assert not act(circuits)
    assert circuits.circuit("a").state is State.OPEN, "a run that ends well after a trip closes nothing"


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_what_is_no_failure_neither_opens_nor_closes(
    circuits: Circuits, clock: ManualClock, kind: type[BaseException]
) -> None:
    for _ in range(20):
        assert run(circuits, kind())
    circuits.trip("a", **WHY)
    clock.advance(60)
    assert run(circuits, kind())
    assert circuits.circuit("a").state is State.HALF_OPEN
    assert run(circuits), "its permit was given back"
    assert circuits.circuit("a").state is State.CLOSED


def test_refusals_never_count(circuits: Circuits, clock: ManualClock) -> None:
    refusal = AgentTripped(
        Action(ActionKind.PUBLISH, "b", "op"), CircuitGuard(circuits).check(Action(ActionKind.PUBLISH, "b", "op"))
    )
    for _ in range(9):
        run(circuits, ValueError("x"))
    for _ in range(20):
        run(circuits, refusal)
    assert circuits.circuit("a").state is State.CLOSED
    run(circuits, ValueError("x"))
    assert circuits.circuit("a").state is State.OPEN, "a refusal does not reset the count either"


def test_failures_in_a_row_open_and_a_success_resets(circuits: Circuits) -> None:
    for _ in range(9):
        run(circuits, ValueError("x"))
    run(circuits)
    for _ in range(9):
        run(circuits, ValueError("x"))
    assert circuits.circuit("a").state is State.CLOSED
    run(circuits, ValueError("last straw"))
    assert circuits.circuit("a").state is State.OPEN
    assert "10 handler runs failed in a row" in circuits.circuit("a").reason
    assert "last straw" in circuits.circuit("a").reason


def test_a_failure_of_before_a_reset_changes_nothing_after_it(store: Store, clock: ManualClock) -> None:
    circuits = process(store, clock, fail_max=1)
    run_ = circuits.calling("a")
    run_.__enter__()
    circuits.trip("a", **WHY)
    circuits.reset("a", **BY)
    error = ValueError("of before")
    assert not run_.__exit__(ValueError, error, None)
    assert circuits.circuit("a").state is State.CLOSED


def test_an_error_of_the_handlers_own_breaker_passes_through(circuits: Circuits) -> None:
    with pytest.raises(pybreaker.CircuitBreakerError), circuits.calling("a"):
        raise pybreaker.CircuitBreakerError("theirs")


def test_resume_and_reset(circuits: Circuits) -> None:
    assert circuits.half_open("a", **BY) is None
    assert circuits.reset("a", **BY) is None
    circuits.trip("a", **WHY)
    moved = circuits.half_open("a", **BY)
    assert moved
    assert moved.after is State.HALF_OPEN
    assert not act(circuits), "nobody acts outside a probe"
    assert run(circuits)
    circuits.trip("a", **WHY)
    assert circuits.reset("a", **BY)
    assert act(circuits)
    assert circuits.circuit("a").trips == 0


def test_a_person_can_prolong_an_open_circuit_but_not_shorten_it(circuits: Circuits, clock: ManualClock) -> None:
    circuits.trip("a", **WHY)
    circuits.trip("a", open_s=7200, **BY)
    assert circuits.circuit("a").retry_at == clock.now() + 7200
    circuits.trip("a", open_s=5, **BY)
    assert circuits.circuit("a").retry_at == clock.now() + 7200
    clock.advance(7199)
    assert not run(circuits)
    clock.advance(1)
    assert run(circuits)


@pytest.mark.parametrize("mode", ["observe_only", "disabled"])
def test_modes_let_everything_through_and_keep_the_state(circuits: Circuits, mode: str) -> None:
    circuits.trip("a", **WHY)
    moved = circuits.set_mode("a", mode, **BY)
    assert moved
    assert (moved.before, moved.after) == (State.OPEN, State(mode))
    assert act(circuits)
    assert all(run(circuits, ValueError("x")) for _ in range(30))
    assert circuits.trip("a", **WHY) is None
    assert circuits.set_mode("a", mode, **BY) is None
    back = circuits.set_mode("a", "normal", **BY)
    assert back
    assert back.after is State.OPEN
    assert not act(circuits)


def test_a_run_that_hears_of_a_special_mode_when_it_asks_for_a_probe_just_runs(clock: ManualClock) -> None:
    store = Flaky()
    one, other = process(store, clock), process(store, clock)
    one.trip("a", **WHY)
    other.refresh()
    one.set_mode("a", "observe_only", **BY)
    clock.advance(60)
    assert run(other)
    assert other.circuit("a").state is State.OPEN, "a mode leaves the state where it is"


def test_unknown_modes_and_senseless_settings_are_refused(circuits: Circuits) -> None:
    with pytest.raises(ConfigError, match="observe_only"):
        circuits.set_mode("a", "observe", **BY)
    for bad in ({"open_s": 0}, {"growth": 0.5}, {"fail_max": 0}, {"probe_lease_s": 0}, {"max_open_s": 1}):
        with pytest.raises(ConfigError):
            CircuitSettings(**bad)


def test_the_listener_hears_what_this_process_did_and_cannot_stop_it(store: Store, clock: ManualClock) -> None:
    heard: list[Transition] = []

    def listen(transition: Transition) -> None:
        heard.append(transition)
        raise RuntimeError("listener")

    circuits = Circuits(Board(store, clock), clock, listener=listen)
    before = happenings.counts()["circuit_listener_failed"]
    circuits.trip("a", **WHY)
    clock.advance(60)
    run(circuits)
    assert [t.after for t in heard] == [State.OPEN, State.HALF_OPEN, State.CLOSED]
    assert [t.actor for t in heard] == ["detector:repetition", "circuit", "circuit"]
    assert happenings.counts()["circuit_listener_failed"] == before + 3


def test_tripping_does_not_wait_for_a_call_in_flight(circuits: Circuits) -> None:
    inside, leave = threading.Event(), threading.Event()

    def slow() -> None:
        with circuits.calling("a"):
            inside.set()
            leave.wait(10)

    thread = threading.Thread(target=slow)
    thread.start()
    assert inside.wait(5)
    started = time.perf_counter()
    circuits.trip("a", **WHY)
    assert time.perf_counter() - started < 5
    assert not act(circuits)
    leave.set()
    thread.join(5)
    assert circuits.circuit("a").state is State.OPEN


def test_handlers_of_one_agent_run_side_by_side(circuits: Circuits) -> None:
    meet = threading.Barrier(4)

    def handler() -> None:
        with circuits.calling("a"):
            meet.wait(5)

    threads = [threading.Thread(target=handler) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert not meet.broken


def test_adopting_another_process_word(circuits: Circuits, clock: ManualClock) -> None:
    word = Transition("a", State.CLOSED, State.OPEN, clock.now(), "loops", "detector:repetition", FINDING)
    adopted = circuits.adopt(word)
    assert adopted
    assert (adopted.id, adopted.finding, adopted.after) == (word.id, FINDING, State.OPEN)
    assert circuits.circuit("a").finding == "fnd_1"
    assert circuits.adopt(word) is None, "the same word twice"
    old = Transition("a", State.OPEN, State.CLOSED, clock.now() - 5, "old", "circuit")
    assert circuits.adopt(old) is None
    assert circuits.circuit("a").state is State.OPEN
    future = Transition("a", State.OPEN, State.CLOSED, clock.now() + 9e6, "clock ran ahead", "circuit")
    assert circuits.adopt(future)
    clock.advance(1)
    assert circuits.adopt(Transition("a", State.CLOSED, State.OPEN, clock.now(), "again", "circuit"))
    latch = Transition("b", State.CLOSED, State.FORCED_OPEN, clock.now(), "killed", "operator:jo")
    assert circuits.adopt(latch) is None
    mode = Transition("a", State.OPEN, State.DISABLED, clock.now(), "maintenance", "operator:jo")
    assert circuits.adopt(mode)
    assert act(circuits)


# --- several processes on one board -----------------------------------------------------------------------------------
def test_what_one_process_decides_the_others_learn(clock: ManualClock) -> None:
    store = Flaky()
    one, other = process(store, clock), process(store, clock)
    moved = one.trip("a", **WHY)
    assert moved
    assert act(other)
    assert [(t.id, t.after, t.actor) for t in other.refresh()] == [(moved.id, State.OPEN, "detector:repetition")]
    assert not act(other)
    assert other.refresh() == []
    assert other.trip("a", **WHY) is None
    assert [c.agent for c in other.all()] == ["a"]


def test_agreeing_costs_the_same_however_many_circuits_have_moved(clock: ManualClock) -> None:
    store = Flaky()
    one, other = process(store, clock), process(store, clock)
    for number in range(100):
        one.trip(f"a{number}", **WHY)
    assert len(other.refresh()) == 100
    before = store.calls
    assert other.refresh() == []
    assert store.calls == before + 1
    one.reset("a7", **BY)
    assert [(t.agent, t.after) for t in other.refresh()] == [("a7", State.CLOSED)]
    assert store.calls == before + 4, "the step, what has changed, and the one row"


def test_agreeing_never_searches_a_store_that_holds_much_else(redis_server: RedisServer, clock: ManualClock) -> None:
    store, client = RedisStore(redis_server.url, timeout=PATIENCE_S), redis_server.client()
    one, other = process(store, clock), process(store, clock)
    searches = client.info("commandstats")["cmdstat_scan"]["calls"]
    one.trip("a", **WHY)
    assert [t.agent for t in other.refresh()] == ["a"]
    assert client.info("commandstats")["cmdstat_scan"]["calls"] == searches
    store.close()
    client.close()


@pytest.mark.parametrize("lost", ["fusebox:default:circuits", "fusebox:default:circuit:a"])
def test_half_a_board_that_is_lost_hides_no_opening(lost: str, clock: ManualClock) -> None:
    store = Flaky()
    one, other = process(store, clock), process(store, clock)
    one.trip("a", **WHY)
    other.refresh()
    store.delete(lost)
    other.refresh()
    assert not act(other)
    one.reset("a", **BY)
    assert [t.after for t in other.refresh()] == [State.CLOSED]
    one.trip("b", **WHY)
    assert [t.agent for t in other.refresh()] == ["b"]


def test_rows_of_a_board_that_noted_no_changes_are_found_at_first(clock: ManualClock) -> None:
    store = Flaky()
    process(store, clock).trip("a", **WHY)
    store.delete("fusebox:default:circuits")
    late = Circuits(Board(store, clock), clock)
    assert [t.agent for t in late.refresh()] == ["a"]
    assert late.refresh() == []
    assert not act(late)


def test_a_process_learns_what_an_earlier_fusebox_decides_of_the_agents_that_it_runs(clock: ManualClock) -> None:
    store, earlier = Flaky(), Earlier()
    earlier.inner = store.inner
    old, new = process(earlier, clock), process(store, clock)
    assert run(new)
    assert run(new, agent="b")
    old.trip("a", **WHY)
    assert [t.after for _ in range(2) for t in new.refresh()] == [State.OPEN]
    assert not act(new)
    new.reset("a", **BY)
    old.refresh()
    old.trip("a", **WHY)
    assert [t.after for _ in range(2) for t in new.refresh()] == [State.OPEN]
    assert not run(new)


def test_a_process_that_starts_later_knows_before_its_first_handler(clock: ManualClock) -> None:
    store = Flaky()
    process(store, clock).trip("a", **WHY)
    late = Circuits(Board(store, clock), clock)
    assert not run(late)


def test_exactly_one_probe_across_processes(clock: ManualClock) -> None:
    store = Flaky()
    processes = [process(store, clock) for _ in range(4)]
    processes[0].trip("a", **WHY)
    for one in processes:
        one.refresh()
    clock.advance(60)
    start, finish = threading.Barrier(16), threading.Event()
    admitted: list[Circuits] = []
    denied: list[Circuits] = []

    def race(circuits: Circuits) -> None:
        start.wait(5)
        try:
            with circuits.calling("a"):
                admitted.append(circuits)
                finish.wait(5)
        except AgentTripped:
            denied.append(circuits)
            if len(denied) == 15:
                finish.set()

    threads = [threading.Thread(target=race, args=(processes[n % 4],)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert (len(admitted), len(denied)) == (1, 15)


def test_a_long_probe_keeps_its_permit_while_its_process_lives(clock: ManualClock) -> None:
    store = Flaky()
    one, other = process(store, clock), process(store, clock)
    one.trip("a", **WHY)
    clock.advance(60)
    other.refresh()
    with one.calling("a"):
        for _ in range(5):
            clock.advance(40)
            one.refresh()
            assert not run(other)
    assert other.refresh()
    assert act(other)


def test_a_dead_probe_frees_the_way(clock: ManualClock) -> None:
    store = Flaky()
    one, other = process(store, clock), process(store, clock)
    one.trip("a", **WHY)
    clock.advance(60)
    other.refresh()
    dead = one.calling("a")
    dead.__enter__()
    assert not run(other)
    clock.advance(61)
    assert run(other)
    assert other.circuit("a").state is State.CLOSED
    dead.__exit__(None, None, None)


# --- a store that fails: pybreaker's five traps -----------------------------------------------------------------------
def test_store_away_while_open_stays_open(clock: ManualClock) -> None:
    store = Flaky()
    circuits = process(store, clock)
    circuits.trip("a", **WHY)
    store.away = True
    clock.advance(3600)
    assert not run(circuits), "no probe without the board"
    assert not act(circuits)
    store.away = False
    circuits.refresh()
    assert run(circuits)


def test_store_flushed_while_open_stays_open_and_is_put_back(clock: ManualClock) -> None:
    store = Flaky()
    circuits = process(store, clock)
    circuits.trip("a", **WHY)
    store.flush()
    assert not run(circuits)
    circuits.refresh()
    assert process(store, clock).circuit("a").state is State.OPEN
    store.flush()
    clock.advance(60)
    with circuits.calling("a"):
        assert circuits.circuit("a").state is State.HALF_OPEN, "a flushed board admits a probe, not a crowd"


def test_store_rolled_back_to_a_backup_does_not_close(clock: ManualClock) -> None:
    store = Flaky()
    circuits = process(store, clock)
    circuits.trip("a", **WHY)
    circuits.reset("a", **BY)
    backup = store.inner.read("fusebox:default:circuit:a")
    circuits.trip("a", **WHY)
    store.flush()
    Board(store, clock).restore("a", backup)
    assert circuits.refresh() == []
    assert circuits.circuit("a").state is State.OPEN
    assert process(store, clock).circuit("a").state is State.OPEN


def test_an_opening_that_only_its_process_remembers_outlives_a_reset_of_another(clock: ManualClock) -> None:
    store = Flaky()
    one, two, person = (process(store, clock) for _ in range(3))
    one.trip("a", **WHY)
    store.flush()
    two.trip("a", **WHY)
    person.reset("a", **BY)
    assert not run(one), "nobody has spoken of its opening"
    assert process(store, clock).circuit("a").state is State.OPEN


def test_an_opening_is_not_forgotten_for_another_that_somebody_looked_into(clock: ManualClock) -> None:
    store = Flaky()
    one, two, person = (process(store, clock) for _ in range(3))
    one.trip("a", **WHY)
    person.half_open("a", **BY)
    person.reset("a", **BY)
    store.flush()
    two.trip("a", **WHY)
    store.flush()
    for each in (one, two, person, one, two, person):
        each.refresh()
    assert {each.circuit("a").state for each in (one, two, person)} == {State.OPEN}, "nobody looked into the second"
    person.reset("a", **BY)
    for each in (one, two):
        each.refresh()
    assert {each.circuit("a").state for each in (one, two, person)} == {State.CLOSED}


def test_two_that_opened_apart_agree_however_many_openings_there_were(clock: ManualClock) -> None:
    store = Flaky()
    one, two = process(store, clock), process(store, clock)
    for _ in range(12):
        one.trip("a", **WHY)
        one.half_open("a", **BY)
    one.reset("a", **BY)
    two.refresh()
    closed = store.inner.read("fusebox:default:circuit:a")
    one.trip("a", **WHY)
    store.flush()
    Board(store, clock).restore("a", closed)
    two.trip("a", **WHY)
    for each in (one, two, one):
        each.refresh()
    two.reset("a", **BY)
    before = store.inner.read("fusebox:default:circuit:a")
    for each in (one, two, one):
        each.refresh()
    assert two.circuit("a").state is one.circuit("a").state is State.CLOSED
    assert store.inner.read("fusebox:default:circuit:a") == before, "nothing is put back again and again"


def test_failures_while_the_store_is_away_trip_and_the_trip_is_owed(clock: ManualClock) -> None:
    store = Flaky()
    circuits, other = process(store, clock), process(store, clock)
    store.away = True
    for _ in range(10):
        run(circuits, ValueError("x"))
    assert not act(circuits)
    assert circuits.refresh() == []
    store.away = False
    assert circuits.refresh() == [], "what this process did itself is no news to it"
    assert [t.after for t in other.refresh()] == [State.OPEN]


def test_a_trip_acts_before_a_hanging_store_answers_and_asks_it_once(clock: ManualClock) -> None:
    store = Flaky()
    heard: list[Transition] = []
    circuits = Circuits(Board(store, clock), clock, listener=heard.append)
    store.away, store.calls = True, 0
    assert circuits.trip("a", **WHY)
    assert circuits.trip("b", **WHY)
    assert store.calls == 1, "the second trip does not wait for a deadline again"
    store.away = False
    circuits.refresh()
    assert [t.agent for t in heard] == ["a", "b"]
    assert {c.agent for c in process(store, clock).all()} == {"a", "b"}


def test_a_stepping_wall_clock_opens_nothing_early(store: Store) -> None:
    class Stepping(ManualClock):
        mono = 0.0

        def monotonic(self) -> float:
            return self.mono

    clock = Stepping()
    circuits = Circuits(Board(store, clock), clock)
    circuits.trip("a", **WHY)
    clock.advance(3600)
    assert not run(circuits)
    clock.mono = 60.0
    assert run(circuits)


def test_reset_and_trip_while_away_arrive_in_order(clock: ManualClock) -> None:
    store = Flaky()
    circuits = process(store, clock)
    circuits.trip("a", **WHY)
    store.away = True
    circuits.reset("a", **BY)
    assert act(circuits)
    circuits.trip("b", **WHY)
    store.away = False
    circuits.refresh()
    late = process(store, clock)
    assert (late.circuit("a").state, late.circuit("b").state) == (State.CLOSED, State.OPEN)


def test_a_real_redis_that_is_not_there(clock: ManualClock) -> None:
    circuits = Circuits(Board(RedisStore("unix:///nowhere/redis.sock"), clock), clock)
    assert circuits.refresh() == []
    assert circuits.trip("a", **WHY)
    assert not act(circuits)


@pytest.mark.parametrize("state", ["killed", "forced_open", "disabled"])
def test_a_stored_state_that_is_none_of_ours_stops_the_agent(store: Store, clock: ManualClock, state: str) -> None:
    Board(store, clock).restore("a", {"state": state, "mode": "normal", "version": "5"})
    circuits = Circuits(Board(store, clock), clock)
    if store.shared:
        clock.advance(1e6)
        assert not run(circuits)
        assert circuits.reset("a", **BY)
        assert run(circuits)


def test_an_unknown_agent_is_closed(circuits: Circuits) -> None:
    assert circuits.circuit("stranger") == Circuit("stranger")
    assert circuits.all() == []


MONTH_S = 31 * 86_400.0


def test_a_circuit_that_was_closed_for_a_month_is_let_go_by_the_board_and_by_every_process(
    store: Store, clock: ManualClock
) -> None:
    watch, other = process(store, clock), process(store, clock)
    for agent in ("gone", "open", "off"):
        watch.trip(agent, **WHY)
    watch.reset("gone", **BY)
    watch.reset("off", **BY)
    watch.set_mode("off", "disabled", **BY)
    other.refresh()
    clock.advance(MONTH_S)
    before = happenings.counts()["circuit_board_lost"]
    assert (watch.forget(), watch.forget()) == (1, 0)
    for circuits in (watch, other):
        circuits.refresh()
        known = {circuit.agent: circuit.shown for circuit in circuits.all()}
        if store.shared or circuits is watch:
            assert known == {"off": State.DISABLED, "open": State.OPEN}
    assert "gone" not in str((store.keys(""), store.read("fusebox:default:circuits")))
    assert happenings.counts()["circuit_board_lost"] == before, "it was not lost"
    assert other.trip("gone", **WHY)
    assert not act(other, "gone")


def test_one_that_moves_while_it_is_let_go_stays(redis_server: RedisServer, clock: ManualClock) -> None:
    store = RedisStore(redis_server.url)
    watch = process(store, clock)
    watch.trip("a", **WHY)
    watch.reset("a", **BY)
    clock.advance(MONTH_S)
    process(store, clock).trip("a", **WHY)
    assert watch.forget() == 0
    watch.refresh()
    assert not act(watch)


def test_a_process_that_was_away_while_one_was_let_go_frees_nobody(
    redis_server: RedisServer, clock: ManualClock
) -> None:
    store = RedisStore(redis_server.url)
    watch, away = process(store, clock), process(store, clock)
    watch.trip("a", **WHY)
    away.refresh()
    watch.reset("a", **BY)
    clock.advance(MONTH_S)
    assert watch.forget() == 1
    watch.trip("a", **WHY)
    away.refresh()
    watch.refresh()
    assert not act(away)
    assert not act(watch)


def test_a_process_whose_clock_is_behind_puts_nothing_back_that_was_let_go(redis_server: RedisServer) -> None:
    store, ahead, behind = RedisStore(redis_server.url), ManualClock(), ManualClock()
    watch, other = process(store, ahead), process(store, behind)
    watch.trip("a", **WHY)
    watch.reset("a", **BY)
    other.refresh()
    ahead.advance(MONTH_S)
    behind.advance(MONTH_S - 86_400 - 300)
    before = happenings.counts()["circuit_board_lost"]
    assert watch.forget() == 1
    other.refresh()
    assert other.all() == []
    assert store.keys("") == []
    assert happenings.counts()["circuit_board_lost"] == before


def test_an_agent_that_opens_just_as_its_circuit_was_let_go_is_stopped(clock: ManualClock) -> None:
    class Meanwhile(MemoryStore):
        """Here another thread gets its turn right behind each step."""

        def run(self, script: Script, key: str, *args: str, ttl: int | None = None, index: str = "") -> Any:
            result = super().run(script, key, *args, ttl=ttl, index=index)
            if "forget" in args:
                circuits.trip("a", **WHY)
            return result

    circuits = Circuits(Board(Meanwhile(), clock), clock)
    circuits.trip("a", **WHY)
    circuits.reset("a", **BY)
    clock.advance(MONTH_S)
    assert circuits.forget() == 1
    assert not act(circuits)
