"""Does the store answer? Asked once in vain, it is not asked again until a thread beside has seen it answer.

So a stopped Redis costs each process one timeout, not one for each call.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Lock, Thread
from typing import Final

from fusebox import happenings
from fusebox.errors import StoreUnavailable
from fusebox.store import Store
from gateway.limits import told

_LOOK_EVERY_S: Final = 0.5


class Lookout:
    """Stands before a store.

    Args:
        store: the store; real seconds pass between two looks at it, whatever the clock.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._away = False
        self._closed = Event()
        self._lock = Lock()

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Around a call to the store.

        Raises:
            StoreUnavailable: the call's own, or at once when the store is known to be away.
        """
        if self._away:
            raise StoreUnavailable("the store did not answer a moment ago")
        try:
            yield
        except StoreUnavailable as error:
            self._lost(error)
            raise

    def close(self) -> None:
        """Look no more; legal twice."""
        self._closed.set()

    def _lost(self, error: StoreUnavailable) -> None:
        with self._lock:
            if self._away or self._closed.is_set():
                return
            self._away = True
        happenings.emit(told.QUOTA_STORE_AWAY, error=str(error))
        Thread(target=self._look, name="fusebox-quota-lookout", daemon=True).start()

    def _look(self) -> None:
        while not self._closed.wait(_LOOK_EVERY_S):
            try:
                self._store.ping()
            except StoreUnavailable:
                continue
            self._away = False
            happenings.emit(told.QUOTA_STORE_BACK)
            return
