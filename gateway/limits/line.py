"""The line to the shared store: one round trip carries what waits and what is asked now.

What waits is sent again when an answer was lost. That is safe for the end of a reservation, which happens once however
often it is asked; a charge may then count twice, which errs on the safe side.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock

from fusebox import happenings
from fusebox.store import Store
from gateway.limits import told
from gateway.limits.lookout import Lookout
from gateway.limits.steps import GONE, OK, STEP, Op, decoded, encoded
from gateway.limits.wire import Wire


def key_of(tenant: str) -> str:
    """The hash of a tenant's quota."""
    return f"fusebox:{tenant}:quota"


class Line:
    """Sends steps to a store. Thread-safe.

    Args:
        store: the store.
        lost: called with the tenant when its hash is not the one that was met before.
        wire: to the same store, for :meth:`asked`; without one it asks the store itself.
    """

    def __init__(self, store: Store, lost: Callable[[str], None], wire: Wire | None = None) -> None:
        self._store, self._lost, self._wire = store, lost, wire
        self._lookout = Lookout(store)
        self._born: dict[str, str] = {}
        self._waiting: dict[str, list[Op]] = {}
        self._lock = Lock()

    @property
    def met(self) -> tuple[str, ...]:
        """The tenants whose hash was seen."""
        return tuple(self._born)

    @property
    def waiting(self) -> tuple[str, ...]:
        """The tenants for which something waits."""
        with self._lock:
            return tuple(self._waiting)

    def later(self, tenant: str, *ops: Op) -> None:
        """Send these with the next round trip."""
        if ops:
            with self._lock:
                self._waiting.setdefault(tenant, []).extend(ops)

    def step(self, tenant: str, *ops: Op) -> list[str]:
        """One round trip: what waits for this tenant, then ``ops``. The answer to the last of all.

        Raises:
            StoreUnavailable: what waited still waits; whether ``ops`` were made is not known.
        """
        waiting = self._taken(tenant)
        if not waiting and not ops:
            return []
        with self._sending(tenant, waiting):
            answer = self._store.run(STEP, key_of(tenant), encoded(secrets.token_hex(8), [*waiting, *ops]))
            return self._heard(tenant, [*waiting, *ops], answer)

    async def asked(self, tenant: str, *ops: Op) -> list[str]:
        """:meth:`step` on the event loop. Not to be cancelled: what it is answered must be heard.

        Raises:
            StoreUnavailable: as :meth:`step`.
        """
        if self._wire is None:
            return self.step(tenant, *ops)
        waiting = self._taken(tenant)
        with self._sending(tenant, waiting):
            wish = encoded(secrets.token_hex(8), [*waiting, *ops])
            answer = await self._wire.run(STEP, key_of(tenant), wish)
            return self._heard(tenant, [*waiting, *ops], answer)

    def read(self, tenant: str) -> dict[str, str]:
        """A tenant's whole hash.

        Raises:
            StoreUnavailable: the store does not answer.
        """
        with self._lookout.asking():
            return self._store.read(key_of(tenant))

    def close(self) -> None:
        """Look out no more; legal twice."""
        self._lookout.close()

    def _taken(self, tenant: str) -> list[Op]:
        with self._lock:
            return self._waiting.pop(tenant, [])

    @contextmanager
    def _sending(self, tenant: str, waiting: list[Op]) -> Iterator[None]:
        try:
            with self._lookout.asking():
                yield
        except BaseException:  # whatever went wrong, what others wait for is not lost
            self.later(tenant, *waiting)
            raise

    def _heard(self, tenant: str, ops: list[Op], answer: str) -> list[str]:
        born, answers = decoded(answer)
        self._meet(tenant, born)
        for op, words in zip(ops, answers, strict=True):
            _tell(tenant, op, words[0])
        return answers[-1]

    def _meet(self, tenant: str, born: str) -> None:
        with self._lock:
            known = self._born.get(tenant)
            self._born[tenant] = born
        if known not in (None, born):
            self._lost(tenant)


def _tell(tenant: str, op: Op, word: str) -> None:
    if op["op"] == "settle" and word == GONE and op["spent"]:
        happenings.emit(told.QUOTA_LATE, tenant=tenant, reservation=op["id"])
    elif op["op"] == "expire" and word == OK:
        happenings.emit(told.QUOTA_EXPIRED, tenant=tenant, reservation=op["id"])
