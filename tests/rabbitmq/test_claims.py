"""Claims on both stores: no completed handler runs twice, an interrupted one does, nobody runs one twice at once."""

from contextlib import closing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from redis import Redis

from fusebox.clock import ManualClock
from fusebox.errors import BadMessage, StoreUnavailable
from fusebox.store import MemoryStore, RedisStore, Script, Store
from rabbitmq.claims import LEASE_S, WINDOW_S, Claim, Claims
from rabbitmq.topology import DELIVERY_LIMIT

_SET = Script("return redis.call('HSET', KEYS[1], 'f', '1')", lambda row, args: row.update(f="1"))


def claims(store: Store, clock: ManualClock, holder: str = "p1") -> Claims:
    return Claims(store, clock, holder, "default")


def take(of: Claims, message: str = "m") -> Claim:
    return of.take("a", message, repeated=True)


def test_a_completed_message_is_done_for_everybody(store: Store, clock: ManualClock) -> None:
    me, other = claims(store, clock), claims(store, clock, "p2")
    assert take(me) is Claim.NEW
    me.done("a", "m")
    assert take(me) is take(other) is Claim.DONE
    assert take(other, "m2") is Claim.NEW


def test_a_message_at_work_is_busy_here_and_elsewhere_for_as_long_as_it_is_renewed(
    store: Store, clock: ManualClock
) -> None:
    me, other = claims(store, clock), claims(store, clock, "p2")
    take(me)
    for _ in range(10):
        assert take(me) is take(other) is Claim.BUSY
        clock.advance(LEASE_S / 2)
        me.refresh()


def test_a_handler_may_take_longer_than_the_window_and_is_remembered_from_its_end_on(
    redis_url: str, clock: ManualClock
) -> None:
    store = RedisStore(redis_url)
    me, other = claims(store, clock), claims(store, clock, "p2")
    key = "fusebox:claim:default:a:long"
    assert take(me, "long") is Claim.NEW
    with closing(Redis.from_url(redis_url)) as redis:
        redis.expire(key, 5)  # it has been at work for nearly an hour
        clock.advance(LEASE_S / 2)
        me.refresh()
        assert redis.ttl(key) > WINDOW_S / 2
        redis.expire(key, 5)
        me.done("a", "long")
        assert redis.ttl(key) > WINDOW_S / 2
    assert take(other, "long") is Claim.DONE
    store.delete(key)
    store.close()


def test_the_lease_of_the_dead_runs_out(store: Store, clock: ManualClock) -> None:
    dead, other = claims(store, clock), claims(store, clock, "p2")
    take(dead)
    clock.advance(LEASE_S + 1)
    assert take(other) is Claim.AGAIN
    dead.done("a", "m")  # it was not dead, only slow: its word no longer counts
    other.give_up("a", "m")
    assert take(other) is Claim.AGAIN


def test_a_message_over_which_process_after_process_dies_is_refused_and_may_be_replayed(
    store: Store, clock: ManualClock
) -> None:
    for number in range(DELIVERY_LIMIT + 1):
        assert take(claims(store, clock, f"dies-{number}")) in (Claim.NEW, Claim.AGAIN)
        clock.advance(LEASE_S + 1)
    me = claims(store, clock)
    with pytest.raises(BadMessage, match="21 processes died"):
        take(me)
    assert take(me) is Claim.AGAIN


def test_what_was_given_up_runs_again(store: Store, clock: ManualClock) -> None:
    me = claims(store, clock)
    take(me)
    me.give_up("a", "m")
    assert take(me) is Claim.AGAIN


def test_a_message_without_id_cannot_be_recognised(store: Store, clock: ManualClock) -> None:
    me = claims(store, clock)
    assert take(me, "") is take(me, "") is Claim.NEW
    me.done("a", "")


def test_without_the_store_first_deliveries_go_on_and_repeated_ones_wait(clock: ManualClock) -> None:
    class Away(MemoryStore):
        def run(self, *args: object, **options: object) -> object:
            raise StoreUnavailable("away")

    me = claims(Away(), clock)
    assert me.take("a", "m", repeated=False) is Claim.NEW
    assert me.take("a", "m", repeated=True) is Claim.BUSY
    me.done("a", "m")


def test_a_message_that_comes_again_while_its_claim_is_being_written_is_busy(clock: ManualClock) -> None:
    seen: list[Claim] = []

    class Slow(MemoryStore):
        writing = False

        def run(self, script: Script, key: str, *args: str, ttl: int | None = None) -> object:
            if not self.writing:  # once while it is taken, once while it is marked as done
                self.writing = True
                seen.append(take(me))
                self.writing = False
            return super().run(script, key, *args, ttl=ttl)

    me = claims(Slow(), clock)
    assert take(me) is Claim.NEW
    me.done("a", "m")
    assert seen == [Claim.BUSY, Claim.BUSY]


def test_marks_end_with_their_window() -> None:
    store = MemoryStore()
    store.run(_SET, "k", ttl=0)
    assert store.read("k") == {}


STEPS = st.lists(st.tuples(st.sampled_from(["take", "done", "give_up", "wait"]), st.sampled_from([0, 1])), max_size=30)


@settings(max_examples=150)
@given(steps=STEPS)
def test_whatever_happens_it_completes_at_most_once(store: Store, steps: list[tuple[str, int]]) -> None:
    clock, completed, holding = ManualClock(), 0, [False, False]
    for key in store.keys(""):
        store.delete(key)
    processes = [claims(store, clock, "p0"), claims(store, clock, "p1")]
    for step, who in steps:
        if step == "take":
            claim = take(processes[who])
            assert not (completed and claim in (Claim.NEW, Claim.AGAIN)), "a completed handler ran again"
            holding[who] |= claim in (Claim.NEW, Claim.AGAIN)
        elif step == "wait":
            clock.advance(LEASE_S / 2)
            for process, held in zip(processes, holding, strict=True):
                if held:
                    process.refresh()
        elif holding[who]:
            holding[who] = False
            completed += step == "done"
            (processes[who].done if step == "done" else processes[who].give_up)("a", "m")
    assert completed <= 1
