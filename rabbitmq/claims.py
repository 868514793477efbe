"""Claims: no *completed* handler runs twice for one message, however often the message comes.

One hash per (agent, message id) in the state store; it expires ``window_s`` seconds after its last change::

                 take                 done
    (nothing) ─────────► claimed ────────────► done ── take: duplicate, the message is acknowledged unhandled
                         ▲  │ │
                    take │  │ └── the process dies: the lease runs out, the next take gets it ("again")
                         │  ▼ give_up (raised, held, retried)
                        free ──── take: "again", the handler sees ``ctx.redelivered``

Order of work: claim → handler → done → acknowledge. A crash before *done* runs the handler again (an interrupted one,
with the same idempotency key for its own effects); a crash after it acknowledges without running. Leases of handlers
at work are renewed by the runtime's ticker and are counted in unscaled time.

In memory the window is also bounded by number (:data:`fusebox.store.MAX_EXPIRING`): what came before the latest so many
messages is forgotten before its hour is over.

A message that is put off because its handler may still be at work is a new one to the broker, which so never counts far
enough to dead-letter it. So the claim counts the processes that died over a message, and refuses it after as many.

Without the store a first delivery is handled all the same (nobody can have completed it); a repeated one waits.
"""

from __future__ import annotations

import logging
import threading
from enum import StrEnum
from typing import Final

from fusebox import happenings
from fusebox.clock import Clock
from fusebox.errors import BadMessage, StoreUnavailable
from fusebox.store import Script, Store
from rabbitmq.topology import DELIVERY_LIMIT

WINDOW_S: Final = 3600
LEASE_S: Final = 15.0
_RENEW_S: Final = LEASE_S / 3

DUPLICATE: Final = happenings.declare(
    "duplicate_dropped", logging.INFO, "a message whose handler had completed came again; acknowledged unhandled"
)
CLAIMS_AWAY: Final = happenings.declare(
    "claims_unavailable", logging.WARNING, "the state store did not answer; repeated messages wait, first ones do not"
)


class Claim(StrEnum):
    """What a take gives."""

    NEW = "new"
    AGAIN = "again"
    DONE = "done"
    BUSY = "busy"
    FATAL = "fatal"


def _take(row: dict[str, str], args: tuple[str, ...]) -> str:
    holder, now, until, limit = args
    state = row.get("state")
    if state == "done":
        return Claim.DONE.value
    if state == "claimed" and row["holder"] != holder:
        if float(row["until"]) > float(now):
            return Claim.BUSY.value
        deaths = int(row.get("deaths", "0")) + 1
        row["deaths"] = str(deaths)
        if deaths > int(limit):
            row.update(state="free", deaths="0")
            return Claim.FATAL.value
    row.update(state="claimed", holder=holder, until=until)
    return Claim.NEW.value if state is None else Claim.AGAIN.value


_TAKE: Final = Script(
    """
    local state = redis.call('HGET', KEYS[1], 'state')
    if state == 'done' then return 'done' end
    if state == 'claimed' and redis.call('HGET', KEYS[1], 'holder') ~= ARGV[1] then
        if tonumber(redis.call('HGET', KEYS[1], 'until')) > tonumber(ARGV[2]) then return 'busy' end
        if redis.call('HINCRBY', KEYS[1], 'deaths', 1) > tonumber(ARGV[4]) then
            redis.call('HSET', KEYS[1], 'state', 'free', 'deaths', '0')
            return 'fatal'
        end
    end
    redis.call('HSET', KEYS[1], 'state', 'claimed', 'holder', ARGV[1], 'until', ARGV[3])
    return state and 'again' or 'new'
    """,
    _take,
)


def _mark(row: dict[str, str], args: tuple[str, ...]) -> int:
    state, holder, until = args
    if row.get("holder") != holder or row.get("state") != "claimed":
        return 0
    row.update(state=state, until=until)
    return 1


_MARK: Final = Script(
    """
    if redis.call('HGET', KEYS[1], 'holder') ~= ARGV[2] or redis.call('HGET', KEYS[1], 'state') ~= 'claimed' then
        return 0
    end
    redis.call('HSET', KEYS[1], 'state', ARGV[1], 'until', ARGV[3])
    return 1
    """,
    _mark,
)


class Claims:
    """The claims of one process. Thread-safe.

    Args:
        store: where they are kept; shared, they hold across processes.
        holder: this process's id.
        tenant: part of every key.
    """

    def __init__(self, store: Store, clock: Clock, holder: str, tenant: str) -> None:
        self._store, self._clock, self._holder, self._tenant = store, clock, holder, tenant
        self._active: dict[str, float] = {}
        self._lock = threading.Lock()

    def take(self, agent: str, message_id: str, *, repeated: bool) -> Claim:
        """Claim a message before its handler runs; ``repeated``: the broker says it may have been delivered before.

        Raises:
            BadMessage: too many processes have died while they handled it.
        """
        if not message_id:
            return Claim.NEW
        key, now = self._key(agent, message_id), self._clock.wall()
        if not self._enter(key, now):
            return Claim.BUSY
        try:
            until, limit = repr(now + LEASE_S), str(DELIVERY_LIMIT)
            claim = Claim(self._store.run(_TAKE, key, self._holder, repr(now), until, limit, ttl=WINDOW_S))
        except StoreUnavailable as error:
            happenings.emit(CLAIMS_AWAY, agent=agent, error=str(error))
            self._leave(key)
            return Claim.BUSY if repeated else Claim.NEW
        if claim not in (Claim.NEW, Claim.AGAIN):
            self._leave(key)
        if claim is Claim.FATAL:
            raise BadMessage(
                f"{DELIVERY_LIMIT + 1} processes died while they handled it; replay it when that is mended"
            )
        return claim

    def done(self, agent: str, message_id: str) -> None:
        """The handler completed. When this cannot be noted the message may run once more after a crash."""
        self._end(agent, message_id, "done")

    def give_up(self, agent: str, message_id: str) -> None:
        """The handler did not complete: whoever gets the message next may run it."""
        self._end(agent, message_id, "free")

    def refresh(self) -> None:
        """Renew the leases of handlers at work.

        Raises:
            StoreUnavailable: it did not answer; the next refresh tries again.
        """
        now = self._clock.wall()
        with self._lock:
            due = [key for key, at in self._active.items() if at <= now]
        for key in due:
            self._mark(key, "claimed", repr(now + LEASE_S))
            with self._lock:
                if key in self._active:
                    self._active[key] = now + _RENEW_S

    def _mark(self, key: str, state: str, until: str) -> None:
        """The window begins anew: a handler may take longer than that, and is remembered from its end on."""
        self._store.run(_MARK, key, state, self._holder, until, ttl=WINDOW_S)

    def _enter(self, key: str, now: float) -> bool:
        """False when it came back, on a new connection, say, while another thread here is at it."""
        with self._lock:
            if key in self._active:
                return False
            self._active[key] = now + _RENEW_S
            return True

    def _leave(self, key: str) -> None:
        with self._lock:
            self._active.pop(key, None)

    def _end(self, agent: str, message_id: str, state: str) -> None:
        """It leaves only when the store knows: to the store, all threads here are one holder."""
        key = self._key(agent, message_id)
        if key not in self._active:
            return
        try:
            self._mark(key, state, "0")
        except StoreUnavailable as error:
            happenings.emit(CLAIMS_AWAY, agent=agent, error=str(error))
        finally:
            self._leave(key)

    def _key(self, agent: str, message_id: str) -> str:
        return f"fusebox:claim:{self._tenant}:{agent}:{message_id}"
