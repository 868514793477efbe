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
_CAPACITY: Final = 16_384
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
    """Remembers requests for ten minutes, at most 16,384 of them. Thread-safe."""

    def __init__(self, clock: Clock, known: Iterable[tuple[bytes, T]] = ()) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._seen: OrderedDict[bytes, tuple[float, Future[T]]] = OrderedDict()
        for key, answer in known:
            future, new = self._claim(key)
            if new:  # the same request may lie in the spool twice: it came again after the window
                future.set_result(answer)

    def once(self, key: bytes, work: Callable[[], T]) -> T:
        """Do ``work`` for a new request; for a repeated one wait for, and return, what the first came to.

        A request whose work failed is forgotten: the same bytes may try again.
        """
        with self._lock:
            future, mine = self._claim(key)
        if not mine:
            happenings.emit(REPEATED)
            try:
                return future.result(_PATIENCE_S)
            finally:
                del future  # as below
        try:
            answer = work()
        except BaseException as error:
            with self._lock:
                self._seen.pop(key, None)
            future.set_exception(error)
            del future  # it holds the error, the error this frame, and the frames below hold the request's megabytes
            raise
        future.set_result(answer)
        return answer

    def _claim(self, key: bytes) -> tuple[Future[T], bool]:
        now = self._clock.monotonic()
        while self._seen and (len(self._seen) > _CAPACITY or next(iter(self._seen.values()))[0] < now - WINDOW_S):
            self._seen.popitem(last=False)
        known = self._seen.get(key)
        if known:
            return known[1], False
        future: Future[T] = Future()
        self._seen[key] = now, future
        return future, True
