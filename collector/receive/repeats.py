"""Requests that come again because their answer was lost: answered like the first, stored once."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import Final, Generic, TypeVar

import xxhash

from fusebox import happenings
from fusebox.clock import Clock

WINDOW_S: Final = 600.0
_CAPACITY: Final = 1 << 17
_PATIENCE_S: Final = 30.0
_HASH_BYTES: Final = 16
_TAG: Final = bytes([1002 << 3 & 0x7F | 2 | 0x80, 1002 << 3 >> 7, _HASH_BYTES])
"""Protobuf field 1002, length-delimited, 16 bytes."""

REPEATED: Final = happenings.declare("requests_repeated", logging.INFO, "requests that were sent again and dropped")

T = TypeVar("T")


def hash_of(principal: str, body: bytes, seed: int = 0) -> bytes:
    """What identifies a request: who sent it, every byte of it, and (``seed``) what it is said to be."""
    digest = xxhash.xxh3_128(principal.encode() + b"\0", seed)
    digest.update(body)
    return digest.digest()


def sealed(payload: bytes, key: bytes) -> bytes:
    """A record's bytes: the request with its hash behind it."""
    return payload + _TAG + key


def key_in(payload: bytes) -> bytes | None:
    """The hash that :func:`sealed` put there."""
    tag = payload[-len(_TAG) - _HASH_BYTES : -_HASH_BYTES]
    return payload[-_HASH_BYTES:] if tag == _TAG else None


class Repeats(Generic[T]):
    """Remembers requests for ten minutes, at most 131,072 of them (some 30 MB). Thread-safe."""

    def __init__(self, clock: Clock, known: Iterable[tuple[bytes, T]] = ()) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._running: dict[bytes, Future[T]] = {}
        self._done: OrderedDict[bytes, tuple[float, T]] = OrderedDict()
        for key, answer in known:  # which may lie in the spool twice: it came again after the window
            self._remember(key, answer)

    def once(self, key: bytes, work: Callable[[], T]) -> T:
        """Do ``work`` for a new request; for a repeated one wait for, and return, what the first came to.

        A request whose work failed is forgotten: the same bytes may try again.
        """
        with self._lock:
            self._forget()
            done, running = self._done.get(key), self._running.get(key)
            if done is None and running is None:
                mine = self._running[key] = Future[T]()
        if done is not None:
            happenings.emit(REPEATED)
            return done[1]
        if running is not None:
            happenings.emit(REPEATED)
            try:
                return running.result(_PATIENCE_S)
            finally:
                del running  # as below
        try:
            answer = work()
        except BaseException as error:
            with self._lock:
                del self._running[key]
            mine.set_exception(error)
            del mine  # it holds the error, the error this frame, and the frames below hold the request's megabytes
            raise
        with self._lock:
            del self._running[key]
            self._remember(key, answer)
        mine.set_result(answer)
        return answer

    def _remember(self, key: bytes, answer: T) -> None:
        self._done[key] = self._clock.monotonic(), answer
        if len(self._done) > _CAPACITY:
            self._done.popitem(last=False)

    def _forget(self) -> None:
        horizon = self._clock.monotonic() - WINDOW_S
        while self._done and next(iter(self._done.values()))[0] < horizon:
            self._done.popitem(last=False)
