"""The loop under pika: what was posted runs, what is written arrives, and a caller may act while the loop waits."""

import contextlib
import math
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from rabbitmq.io_loop import IoLoop
from tests.fixtures.agents import Inbox, eventually
from tests.need import PATIENCE_S


class Running:
    """A loop on a thread of its own, the way the I/O thread runs it."""

    def __init__(self) -> None:
        self.turn = threading.Lock()
        self.loop = IoLoop(self.turn)
        self.error: BaseException | None = None
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        with self.turn:
            try:
                self.loop.start()
            except ValueError as error:
                self.error = error

    def stop(self) -> None:
        self.loop.add_callback(self.loop.stop)
        self.thread.join(5)
        self.loop.close()

    def soon(self, work: Any) -> None:
        """Have ``work`` done by a caller, once the loop waits."""
        eventually(lambda: self.loop.run(work), what="the loop waits")


@pytest.fixture
def running() -> Iterator[Running]:
    loop = Running()
    yield loop
    loop.stop()


def test_what_is_posted_runs_in_order_on_the_loops_thread(running: Running, inbox: Inbox) -> None:
    for n in range(100):
        running.loop.add_callback(lambda n=n: inbox.put((n, threading.current_thread())))
    assert inbox.wait(100) == [(n, running.thread) for n in range(100)]


def test_timers_run_when_due_unless_taken_back(running: Running, inbox: Inbox) -> None:
    def set_timers() -> None:
        running.loop.call_later(0.05, lambda: inbox.put("second"))
        running.loop.call_later(0.01, lambda: inbox.put("first"))
        running.loop.remove_timeout(running.loop.call_later(0.02, lambda: inbox.put("never")))

    running.soon(set_timers)  # a caller's timer wakes a loop that waits for nothing
    assert inbox.wait(2) == ["first", "second"]


def test_a_caller_acts_in_place_of_a_loop_that_waits_and_never_beside_one_that_works(running: Running) -> None:
    working, release = threading.Event(), threading.Event()
    seen: list[threading.Thread] = []
    running.soon(lambda: seen.append(threading.current_thread()))
    assert seen == [threading.current_thread()]
    running.loop.add_callback(lambda: (working.set(), release.wait(5)))
    assert working.wait(5)
    assert not running.loop.run(lambda: seen.append(threading.current_thread()))
    release.set()
    assert len(seen) == 1


def test_an_error_of_a_callers_work_ends_the_loop_not_the_caller(running: Running) -> None:
    def fail() -> None:
        raise ValueError("broken")

    running.soon(fail)
    running.thread.join(5)
    assert str(running.error) == "broken"


class Writer:
    """Writes as pika's transports do: asks to be told when the socket is writable while something is left."""

    def __init__(self, running: Running, end: socket.socket, data: bytes) -> None:
        self.loop, self.end, self.left, self.calls = running.loop, end, data, 0
        end.setblocking(False)

    def start(self) -> None:
        self.loop.update_handler(self.end.fileno(), IoLoop.READ | IoLoop.WRITE)

    def ready(self, fd: int, events: int) -> None:
        if not events & IoLoop.WRITE:
            return
        self.calls += 1
        try:
            while self.left:
                self.left = self.left[self.end.send(self.left) :]
            self.loop.update_handler(fd, IoLoop.READ)
        except BlockingIOError:
            pass


@pytest.mark.parametrize(("size", "calls"), [(100, 1), (5_000_000, 2)])
def test_what_the_kernel_takes_is_written_at_once_and_the_rest_when_there_is_room(
    running: Running, size: int, calls: int
) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        writer = Writer(running, ours, b"x" * size)
        running.soon(lambda: running.loop.add_handler(ours.fileno(), writer.ready, IoLoop.READ))
        running.soon(writer.start)
        assert writer.calls >= 1, "written by the caller, before anybody waited"
        received = 0
        theirs.settimeout(5)
        while received < size:
            received += len(theirs.recv(1 << 20))
        eventually(lambda: not writer.left, what="everything written")
        assert writer.calls >= calls
        running.soon(lambda: running.loop.remove_handler(ours.fileno()))


def test_a_socket_that_is_not_read_from_yet_may_still_be_connecting_and_is_waited_for(running: Running) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                ours.send(b"x" * 65_536)
        ready = threading.Event()
        running.soon(lambda: running.loop.add_handler(ours.fileno(), lambda *_: ready.set(), IoLoop.WRITE))
        running.soon(lambda: None)
        assert not ready.is_set(), "it takes nothing yet"
        theirs.settimeout(5)
        theirs.recv(1 << 22)
        assert ready.wait(5)
        running.soon(lambda: running.loop.remove_handler(ours.fileno()))


def test_a_thousand_callers_leave_nothing_behind(running: Running, inbox: Inbox) -> None:
    """Posted and done in place, from many threads at once: each exactly once."""

    def call(n: int) -> None:
        if not running.loop.run(lambda: inbox.put(n)):
            running.loop.add_callback(lambda: inbox.put(n))

    threads = [threading.Thread(target=lambda k=k: [call(n) for n in range(k, 2_000, 8)]) for k in range(8)]
    for thread in threads:
        thread.start()
    assert sorted(inbox.wait(2_000)) == list(range(2_000))
    for thread in threads:
        thread.join(5)


class Attended:
    """One end of a connection in the loop, and what was read from it on which thread."""

    def __init__(self, running: Running) -> None:
        self.loop = running.loop
        self.ours, self.theirs = socket.socketpair()
        self.ours.setblocking(False)
        self.read: list[tuple[bytes, threading.Thread]] = []
        running.soon(lambda: running.loop.add_handler(self.fd, self._ready, IoLoop.READ))

    @property
    def fd(self) -> int:
        return self.ours.fileno()

    @property
    def taken(self) -> bool:
        """True while a caller attends."""
        return self.loop._away.get(self.fd) == math.inf

    def once_taken(self, then: Callable[[], object]) -> threading.Thread:
        """Have ``then`` called as soon as a caller attends."""

        def wait() -> None:
            eventually(lambda: self.taken, what="a caller attends")
            then()

        thread = threading.Thread(target=wait)
        thread.start()
        return thread

    def _ready(self, fd: int, events: int) -> None:
        with contextlib.suppress(BlockingIOError):
            self.read.append((self.ours.recv(100), threading.current_thread()))

    def attend(self, until: int, *, keep: bool = False) -> None:
        """Attend until so much was read."""
        self.attend_until(lambda: len(self.read) >= until, PATIENCE_S, keep=keep)

    def attend_until(self, over: Callable[[], bool], seconds: float, *, keep: bool = False) -> None:
        """Attend until it is over or so many seconds have passed, as soon as that is nobody else's part."""
        deadline = time.monotonic() + seconds

        def attended() -> bool:
            self.loop.attend(self.fd, over, deadline, keep=keep)
            return over() or time.monotonic() >= deadline

        eventually(attended)


@pytest.fixture
def attended(running: Running) -> Iterator[Attended]:
    pair = Attended(running)
    yield pair
    running.soon(lambda: running.loop.remove_handler(pair.fd))
    pair.ours.close()
    pair.theirs.close()


def test_a_caller_reads_what_it_waits_for_and_the_loop_reads_again_afterwards(
    running: Running, attended: Attended
) -> None:
    sender = attended.once_taken(lambda: attended.theirs.send(b"confirm"))
    attended.attend(until=1)
    sender.join(5)
    assert attended.read == [(b"confirm", threading.current_thread())]
    attended.theirs.send(b"unasked")
    eventually(lambda: len(attended.read) == 2, what="the loop reads")
    assert attended.read[1] == (b"unasked", running.thread)


def test_while_one_caller_attends_the_loop_serves_all_else_and_others_write(
    running: Running, attended: Attended, inbox: Inbox
) -> None:
    attending = threading.Thread(target=attended.attend, args=(1,))
    attending.start()
    eventually(lambda: attended.taken, what="the caller attends")
    running.loop.add_callback(lambda: inbox.put("posted"))
    running.soon(lambda: running.loop.call_later(0.01, lambda: inbox.put("timer")))
    assert set(inbox.wait(2)) == {"posted", "timer"}
    attended.theirs.settimeout(5)
    running.soon(lambda: attended.ours.send(b"from another caller"))
    assert attended.theirs.recv(100) == b"from another caller"
    assert attended.taken, "it has attended all the while"
    attended.theirs.send(b"confirm")
    attending.join(5)
    assert [data for data, _ in attended.read] == [b"confirm"]


def test_what_a_caller_keeps_waits_for_it_and_not_for_ever(
    running: Running, attended: Attended, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rabbitmq.io_loop.LEASE_S", 60.0)
    attended.theirs.send(b"first")
    attended.attend(until=1, keep=True)
    attended.theirs.send(b"second")
    attended.attend(until=2, keep=True)
    assert attended.read[1] == (b"second", threading.current_thread())
    monkeypatch.setattr("rabbitmq.io_loop.LEASE_S", 0.01)
    attended.theirs.send(b"third")
    attended.attend(until=3, keep=True)
    attended.theirs.send(b"fourth")
    eventually(lambda: len(attended.read) == 4, what="the loop reads what nobody came back for")
    assert attended.read[3] == (b"fourth", running.thread)


def test_a_lazy_callback_runs_without_anything_else_happening(running: Running, inbox: Inbox) -> None:
    running.loop.add_lazy_callback(lambda: inbox.put(threading.current_thread()))
    assert inbox.wait(1) == [running.thread]


def test_what_is_posted_lazily_in_the_moment_before_the_loop_waits_is_not_forgotten(
    running: Running, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    patience = running.loop._patience

    def and_then_somebody_posts() -> float:
        seconds = patience()
        if seconds > 1:  # after a short wait, which the timer below brings about, a long one
            monkeypatch.undo()
            running.loop.add_lazy_callback(lambda: inbox.put("posted"))
        return seconds

    def wait_shortly() -> None:
        running.loop.call_later(0.02, lambda: None)
        monkeypatch.setattr(running.loop, "_patience", and_then_somebody_posts)

    running.soon(wait_shortly)
    assert inbox.wait(1) == ["posted"]


def test_a_wait_ends_with_its_deadline_and_soon_when_it_is_over_otherwise(running: Running, attended: Attended) -> None:
    began, over = time.monotonic(), threading.Event()
    attended.attend_until(lambda: False, 0.1)
    setter = attended.once_taken(over.set)
    attended.attend_until(over.is_set, 60)
    assert over.is_set()
    assert time.monotonic() - began < 30
    setter.join(5)
    attended.theirs.send(b"later")
    eventually(lambda: attended.read, what="the loop reads again")


def test_an_error_while_a_caller_reads_ends_the_loop_not_the_caller(running: Running) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:

        def fail(fd: int, events: int) -> None:
            ours.recv(100)
            raise ValueError("broken")

        running.soon(lambda: running.loop.add_handler(ours.fileno(), fail, IoLoop.READ))
        theirs.send(b"x")
        running.loop.attend(ours.fileno(), lambda: not running.thread.is_alive(), time.monotonic() + 5)
        running.thread.join(5)
        assert str(running.error) == "broken"
