"""Middleware: what surrounds an agent's actions and messages. The built-in kinds use the hooks that everybody has."""

from typing import Final

from rabbitmq.middleware.base import Middleware
from rabbitmq.middleware.chain import Chain
from rabbitmq.middleware.detecting import Detecting
from rabbitmq.middleware.guarding import Breaking, Fencing, Guarding
from rabbitmq.middleware.handling import Decoding, Idempotence, Retrying
from rabbitmq.middleware.lineage import KeepingLineage
from rabbitmq.middleware.tracing import SettleSpans, Tracing

__all__ = [
    "REQUIRED", "Breaking", "Chain", "Decoding", "Detecting", "Fencing", "Guarding", "Idempotence", "KeepingLineage",
    "Middleware", "Retrying", "SettleSpans", "Tracing", "default_middleware",
]  # fmt: skip

REQUIRED: Final = (Guarding, Decoding, Breaking, Fencing)
"""An agent without one of these is refused: it could not be stopped, or not be given anything."""


def default_middleware() -> list[Middleware]:
    """The list an Agent has unless it is given another, outermost first; a new one each time, to add to."""
    return [
        Guarding(), KeepingLineage(), Decoding(), Retrying(), Idempotence(), Breaking(), Tracing(), Detecting(),
        Fencing(),
    ]  # fmt: skip
