"""Retries: which errors are worth another attempt, how many, and how long between.

Delays come from a few queues with one fixed time each, because messages with different times in one queue block each
other. A message waits in the queue of the largest delay that is not above the one wanted, comes back to its agent's
queue by dead-lettering, and carries its attempt in a header of ours: the broker's own delivery count also grows when
a process dies, which is not the message's fault.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final

from fusebox.errors import BadMessage, ConfigError
from rabbitmq.broker import Binding, Exchange, ExchangeType, Queue, Topology

DELAYS_S: Final = (1, 5, 30, 300)
"""The fixed delays, in seconds."""


@dataclass(frozen=True, slots=True)
class Retry:
    """A handler's retry policy.

    Args:
        attempts: how often a message is handled at most, the first time included.
        base_s: delay wanted before the second attempt; it doubles with each further one.
        on: errors worth another attempt; any other one, and a message that cannot be read, is dead at once.

    Raises:
        ConfigError: ``attempts`` is below 1, or ``base_s`` below the shortest delay there is.
    """

    attempts: int = 4
    base_s: float = 1.0
    on: tuple[type[Exception], ...] = (Exception,)

    def __post_init__(self) -> None:
        if self.attempts < 1 or self.base_s < DELAYS_S[0]:
            raise ConfigError(f"{self}: attempts must be at least 1 and base_s at least {DELAYS_S[0]}")

    def delay(self, error: Exception, attempt: int) -> int | None:
        """Seconds until the next attempt after ``attempt`` (1 = the first) failed; None when there is none.

        The wanted delay is jittered by ±50 % before the queue is chosen, so that what failed together spreads out.
        """
        if attempt >= self.attempts or isinstance(error, BadMessage) or not isinstance(error, self.on):
            return None
        wanted = self.base_s * 2 ** (attempt - 1) * random.uniform(0.5, 1.5)
        return max((d for d in DELAYS_S if d <= wanted), default=DELAYS_S[0])


NEVER: Final = Retry(attempts=1)
"""The policy of a handler that names none: one attempt."""


def retry_exchange(delay: int) -> str:
    """The exchange behind which messages wait ``delay`` seconds; the routing key is the queue they come back to."""
    return f"fusebox.retry.{delay}s"


def retry_topology() -> Topology:
    """One exchange and one queue for each delay; topic exchanges, because only there a key can be permitted."""
    names = {delay: retry_exchange(delay) for delay in DELAYS_S}
    return Topology(
        exchanges=tuple(Exchange(name, ExchangeType.TOPIC) for name in names.values()),
        queues=tuple(Queue(name, ttl=float(delay), dead_letter_exchange="") for delay, name in names.items()),
        bindings=tuple(Binding(name, name, "#") for name in names.values()),
    )
