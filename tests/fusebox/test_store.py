"""One test body for both stores: what holds in memory holds on Redis."""

import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fusebox.errors import ConfigError, StoreUnavailable
from fusebox.store import MemoryStore, RedisStore, Script, Store, open_store
from tests.fixtures.store import RedisServer
from tests.need import PATIENCE_S

ADD = Script(
    "return redis.call('HINCRBY', KEYS[1], 'n', ARGV[1])",
    lambda h, args: h.update(n=str(int(h.get("n", "0")) + int(args[0]))) or int(h["n"]),  # type: ignore[func-returns-value]
)
PUT = Script("redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])", lambda h, args: h.__setitem__(args[0], args[1]))
DROP = Script("redis.call('HDEL', KEYS[1], ARGV[1])", lambda h, args: h.pop(args[0], None) and None)
DELETE = Script("redis.call('DEL', KEYS[1])", lambda h, args: h.clear())
KINDS = Script("return {1, 'two', 3}", lambda h, args: [1, "two", 3])


def test_a_step_edits_the_hash_and_returns_its_result(store: Store) -> None:
    assert store.run(ADD, "counter", "2") == 2
    assert store.run(ADD, "counter", "3") == 5
    assert store.read("counter") == {"n": "5"}


def test_results_have_the_types_of_lua(store: Store) -> None:
    assert store.run(KINDS, "x") == [1, "two", 3]
    assert store.run(PUT, "x", "f", "v") is None


def test_an_empty_hash_does_not_exist(store: Store) -> None:
    assert store.read("gone") == {}
    store.run(PUT, "gone", "a", "1")
    store.run(DROP, "gone", "a")
    assert store.keys("gone") == []


def test_keys_finds_by_prefix_taken_literally(store: Store) -> None:
    for key in ("a:1", "a:2", "b:1", "a*:3", "a[:4", "a?:5"):
        store.run(PUT, key, "f", "v")
    assert store.keys("a:") == ["a:1", "a:2"]
    assert store.keys("a*") == ["a*:3"]
    assert store.keys("a[") == ["a[:4"]
    assert store.keys("a?") == ["a?:5"]


def test_delete_forgets(store: Store) -> None:
    store.run(PUT, "k", "f", "v")
    store.delete("k")
    store.delete("k")
    assert store.read("k") == {}


def test_what_was_read_is_a_copy(store: Store) -> None:
    store.run(PUT, "k", "f", "v")
    store.read("k")["f"] = "changed"
    assert store.read("k") == {"f": "v"}


def test_steps_of_many_threads_are_atomic(store: Store) -> None:
    def add() -> None:
        for _ in range(100):
            store.run(ADD, "counter", "1")

    threads = [threading.Thread(target=add) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.read("counter") == {"n": "800"}


@settings(max_examples=30)
@given(
    field=st.text(st.characters(codec="utf-8"), min_size=1, max_size=20), value=st.text(st.characters(codec="utf-8"))
)
def test_any_text_comes_back_as_it_went_in(store: Store, field: str, value: str) -> None:
    store.run(PUT, "text", field, value)
    assert store.read("text")[field] == value


def test_a_step_notes_its_change_in_an_index(store: Store) -> None:
    assert store.run(PUT, "row:a", "change", "1 x", index="rows") is None
    store.run(PUT, "row:b", "other", "v", index="rows")
    assert store.run(KINDS, "row:c", index="rows") == [1, "two", 3]
    store.run(PUT, "row:a", "change", "2 y")
    assert store.read("rows") == {"row:a": "1 x", "row:b": ""}, "there is no row:c"
    store.run(PUT, "row:a", "f", "v", index="rows")
    assert store.read("rows")["row:a"] == "2 y"
    for key in ("row:a", "row:b"):
        store.run(DELETE, key, index="rows")
    assert store.read("rows") == {}


def test_closing_twice_is_legal(store: Store) -> None:
    store.ping()
    store.close()
    store.close()


def test_redis_that_is_away_is_one_error_at_once() -> None:
    store = RedisStore("redis://127.0.0.1:1")
    before = time.monotonic()
    for call in (store.ping, lambda: store.read("k"), lambda: store.run(ADD, "k", "1"), lambda: store.keys("")):
        with pytest.raises(StoreUnavailable, match="Redis"):
            call()
    assert time.monotonic() - before < 2
    store.close()


def test_a_step_is_never_made_twice_when_redis_is_slow(redis_server: RedisServer) -> None:
    store, other = RedisStore(redis_server.url, timeout=0.3), RedisStore(redis_server.url, timeout=PATIENCE_S)
    store.ping()
    redis_server.pause()
    with pytest.raises(StoreUnavailable):
        store.run(ADD, "once", "1")
    redis_server.resume()
    other.ping()  # answered behind whatever waited in the pause
    assert other.read("once") in ({}, {"n": "1"})
    store.close()
    other.close()


def test_urls() -> None:
    assert isinstance(open_store("memory://"), MemoryStore)
    for url in ("http://x", "redis://localhost:port", ""):
        with pytest.raises(ConfigError, match="redis_url"):
            open_store(url)


def test_memory_keeps_a_bounded_number_of_what_expires_and_forgets_the_oldest_first() -> None:
    store = MemoryStore(max_expiring=10)
    store.run(PUT, "stays", "f", "v")
    for n in range(100):
        store.run(PUT, f"claim{n}", "f", "v", ttl=3600)
    assert store.read("claim99")
    assert len(store.keys("claim")) <= 11
    assert not store.read("claim0")
    assert store.read("stays"), "what never expires is not counted"


def test_a_hash_with_a_time_to_live_is_forgotten_after_it_unless_told_again(store: Store) -> None:
    assert store.run(KINDS, "nothing", ttl=1) == [1, "two", 3], "also of a step that leaves nothing behind"
    store.run(PUT, "short", "f", "v", ttl=1)
    store.run(PUT, "again", "f", "v", ttl=1)
    assert store.run(ADD, "again", "2", ttl=60) == 2
    deadline = time.monotonic() + 10
    while store.read("short") and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not store.read("short")
    assert store.read("again")
