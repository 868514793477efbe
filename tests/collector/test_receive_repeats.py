"""Repeated requests: one piece of work, the same answer for all."""

import gc
import threading
import tracemalloc
import weakref

import pytest

from collector.receive.repeats import WINDOW_S, Repeats
from fusebox.clock import ManualClock


def test_the_same_request_is_worked_on_once(clock: ManualClock) -> None:
    repeats: Repeats[int] = Repeats(clock)
    assert repeats.once(b"a", lambda: 1) == 1
    assert repeats.once(b"b", lambda: 2) == 2
    assert repeats.once(b"a", lambda: 99) == 1


def test_work_that_failed_may_be_tried_again(clock: ManualClock) -> None:
    repeats: Repeats[int] = Repeats(clock)
    with pytest.raises(ZeroDivisionError):
        repeats.once(b"a", lambda: 1 // 0)
    assert repeats.once(b"a", lambda: 5) == 5


def test_a_request_that_was_refused_is_gone_from_memory_at_once(clock: ManualClock) -> None:
    """Without a garbage collection, which nothing of megabytes brings about by itself."""
    repeats: Repeats[int] = Repeats(clock)

    def ask(body: set[int]) -> None:
        with pytest.raises(ZeroDivisionError):
            repeats.once(b"a", lambda: len(body) // 0)

    body = {1}
    left = weakref.ref(body)
    gc.disable()
    try:
        ask(body)
        del body
        assert left() is None
    finally:
        gc.enable()


def test_a_request_is_forgotten_after_the_window(clock: ManualClock) -> None:
    repeats: Repeats[int] = Repeats(clock, known=[(b"a", 0)])
    clock.advance(WINDOW_S - 1)
    assert repeats.once(b"a", lambda: 1) == 0
    clock.advance(2)
    assert repeats.once(b"a", lambda: 1) == 1


def test_a_copy_that_arrives_meanwhile_waits_for_the_first(clock: ManualClock) -> None:
    repeats: Repeats[int] = Repeats(clock)
    working, finish = threading.Event(), threading.Event()

    def work() -> int:
        working.set()
        assert finish.wait(10)
        return 7

    answers: list[int] = []
    threads = [threading.Thread(target=lambda: answers.append(repeats.once(b"a", work))) for _ in range(3)]
    for thread in threads:
        thread.start()
    assert working.wait(10)
    assert answers == []
    finish.set()
    for thread in threads:
        thread.join(10)
    assert answers == [7, 7, 7]


def test_memory_is_bounded(clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("collector.receive.repeats._CAPACITY", 100)
    repeats: Repeats[int] = Repeats(clock)
    for i in range(1000):
        repeats.once(b"%d" % i, lambda: 0)
    assert repeats.once(b"999", lambda: 1) == 0
    assert repeats.once(b"0", lambda: 1) == 1


def test_what_is_remembered_is_small(clock: ManualClock) -> None:
    repeats: Repeats[int] = Repeats(clock)
    tracemalloc.start()
    for i in range(10_000):
        repeats.once(i.to_bytes(16, "big"), lambda: 0)
    taken = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert taken < 10_000 * 300


def test_a_request_that_is_in_the_spool_twice_stops_no_start(clock: ManualClock) -> None:
    repeats: Repeats[int] = Repeats(clock, known=[(b"a", 0), (b"b", 0), (b"a", 0)])
    assert repeats.once(b"a", lambda: 1) == 0
