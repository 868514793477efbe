"""Who is out there (leases of agent processes) and who has obeyed what (Receipts). Bounded, in memory, thread-safe.

A lease is renewed by each poll and lives until the poll's wait and :data:`GRACE_S` are over. A process id belongs to
the principal that used it first for as long as its lease lives. Times are unscaled Unix seconds.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

from collector.watch.refusal import FORBIDDEN, NOT_FOUND, TOO_MANY, Refusal
from fusebox.clock import Clock
from fusebox.command import Command, Order, covers

GRACE_S: Final = 10.0
_MAX_PROCESSES: Final = 10_000
_MAX_COMMANDS: Final = 1_000
_MAX_DUE: Final = 100
_STOPS: Final = (Order.KILL, Order.TRIP)


@dataclass(frozen=True, slots=True)
class Lease:
    """One agent process; ``agents`` maps the agents that it runs to the messages held for them, ``kills`` what holds
    there by its own word to its scope (``more``: so many it left out)."""

    process: str
    host: str
    pid: int
    principal: str
    agents: Mapping[str, int]
    seen: float
    until: float
    kills: Mapping[str, str]
    more: int

    def runs(self, scope: str) -> bool:
        """True when a Command of that scope concerns the process."""
        return not scope.startswith("agent:") or any(covers(scope, agent) for agent in self.agents)


class Leases:
    """The processes that are alive."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._leases: dict[str, Lease] = {}
        self._lock = threading.Lock()

    def renew(
        self, principal: str, process: str, *, host: str, pid: int, agents: Mapping[str, int], wait: float,
        kills: Mapping[str, str], more: int,
    ) -> None:  # fmt: skip
        """Take or renew a lease.

        Raises:
            Refusal: the process id is another principal's, or there are too many processes.
        """
        now = self._clock.wall()
        with self._lock:
            self._expire(now)
            self._refuse_foreign(principal, process)
            if process not in self._leases and len(self._leases) >= _MAX_PROCESSES:
                raise Refusal(TOO_MANY, f"watch keeps {_MAX_PROCESSES} processes; stop some or wait for leases to end")
            until = now + wait + GRACE_S
            self._leases[process] = Lease(process, host, pid, principal, dict(agents), now, until, dict(kills), more)

    def leave(self, principal: str, process: str) -> None:
        """Give a lease back.

        Raises:
            Refusal: it is another principal's.
        """
        with self._lock:
            self._refuse_foreign(principal, process)
            self._leases.pop(process, None)

    def own(self, principal: str, process: str) -> None:
        """Refuse unless ``process`` is this principal's or nobody's.

        Raises:
            Refusal: it is another principal's.
        """
        with self._lock:
            self._refuse_foreign(principal, process)

    def kills(self, process: str) -> Mapping[str, str]:
        """The kills that hold in the process by its own word."""
        lease = self._leases.get(process)
        return lease.kills if lease else {}

    def live(self) -> list[Lease]:
        """All live leases, by process id."""
        with self._lock:
            self._expire(self._clock.wall())
            return [self._leases[process] for process in sorted(self._leases)]

    def _refuse_foreign(self, principal: str, process: str) -> None:
        lease = self._leases.get(process)
        if lease and lease.principal != principal:
            raise Refusal(FORBIDDEN, f"process {process} belongs to another token; give each process its own id")

    def _expire(self, now: float) -> None:
        # A clock that stepped back must not keep the dead alive: nobody is seen in the future.
        gone = [p for p, lease in self._leases.items() if not lease.seen - GRACE_S <= now <= lease.until]
        for process in gone:
            del self._leases[process]


@dataclass(slots=True)
class _Awaited:
    order: Command
    expected: tuple[str, ...]
    since: float
    received: dict[str, float] = field(default_factory=dict)


class Receipts:
    """Which processes have applied which Command; the newest thousand Commands of this start."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._commands: OrderedDict[str, _Awaited] = OrderedDict()
        self._left: OrderedDict[str, None] = OrderedDict()
        self._lock = threading.Lock()

    def expect(self, command: Command, processes: tuple[str, ...]) -> None:
        """A Command went out."""
        with self._lock:
            self._commands[command.id] = _Awaited(command, processes, self._clock.monotonic())
            while len(self._commands) > _MAX_COMMANDS:
                self._commands.popitem(last=False)

    def known(self, command: str) -> bool:
        """True for a Command that was issued since this start, and is not too old to be remembered."""
        with self._lock:
            return command in self._commands

    def receive(self, command: str, process: str, applied_at: float) -> bool:
        """Note one Receipt; False when it was known already.

        Raises:
            Refusal: no such Command was issued since this start.
        """
        with self._lock:
            awaited = self._get(command)
            if process in awaited.received:
                return False
            awaited.received[process] = applied_at
            return True

    def due(self, process: str) -> list[str]:
        """The newest Commands of which this process has not said that it applied them."""
        with self._lock:
            newest = islice(reversed(self._commands.items()), _MAX_DUE)
            return [id for id, awaited in newest if process in awaited.expected and process not in awaited.received]

    def complete(self, command: str) -> bool:
        """True when no Receipt is due any more."""
        with self._lock:
            awaited = self._commands.get(command)
            return awaited is None or set(awaited.expected) <= awaited.received.keys()

    def left(self, process: str) -> None:
        """A process stopped in good order; it acts no more."""
        with self._lock:
            self._left[process] = None
            while len(self._left) > _MAX_PROCESSES:
                self._left.popitem(last=False)

    def overdue(self, seconds: float) -> list[tuple[Command, list[str]]]:
        """Orders to stop that are older than that, and the processes that have not said that they applied them."""
        before = self._clock.monotonic() - seconds
        with self._lock:
            late = [each for each in self._commands.values() if each.order.order in _STOPS and each.since <= before]
            missing = [(each.order, self._missing(each)) for each in late]
        return [(command, processes) for command, processes in missing if processes]

    def outstanding(self) -> list[dict[str, Any]]:
        """Commands that processes have not confirmed, newest first: at most a hundred, with their age in seconds."""
        now = self._clock.monotonic()
        with self._lock:
            due = [
                {
                    "command": id, "order": each.order.order.value, "scope": each.order.scope,
                    "age": round(now - each.since, 1), "missing": missing,
                }
                for id, each in reversed(self._commands.items()) if (missing := self._missing(each))
            ]  # fmt: skip
        return due[:_MAX_DUE]

    def view(self, command: str) -> dict[str, Any]:
        """The answer of ``GET /v1/receipts/{command}``.

        Raises:
            Refusal: no such Command was issued since this start.
        """
        with self._lock:
            awaited = self._get(command)
            complete = set(awaited.expected) <= awaited.received.keys()
            return {
                "command": command, "expected": list(awaited.expected),
                "received": dict(awaited.received), "complete": complete,
            }  # fmt: skip

    def _missing(self, awaited: _Awaited) -> list[str]:
        """Under the lock: the processes that have neither confirmed it nor stopped."""
        return sorted(set(awaited.expected) - awaited.received.keys() - self._left.keys())

    def _get(self, command: str) -> _Awaited:
        awaited = self._commands.get(command)
        if awaited is None:
            raise Refusal(NOT_FOUND, f"watch has issued no Command {command} since it started; see the journal")
        return awaited
