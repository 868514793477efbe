"""Lineage: the bounded chain of (agent, request fingerprint) hops that a message carries in its headers.

Inbound chains are other people's data: they are length-limited, validated and, where ``lineage_key`` is set, sealed
with an HMAC over the chain and the message id. A chain that fails is dropped and counted, never an error: a message
must not be lost because of its decoration. A ring is the same hop for the third time: A→B→A alone is a reply.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
from collections.abc import Mapping
from typing import Final

from breakers.circuit import Circuits
from breakers.rounds import rounds
from fusebox import guard, happenings, names
from fusebox.eventmap import format_lineage, parse_lineage
from fusebox.records import Action, ActionKind, Lineage, Verdict
from fusebox.registry import Registry
from rabbitmq.broker import Header

MAX_HOPS: Final = 32
LAPS: Final = 3
_NO_RING: Final = guard.allow(guard.LINEAGE)

BAD_LINEAGE: Final = happenings.declare(
    "bad_lineage", logging.WARNING, "a message's lineage header was malformed, too long or wrongly sealed; dropped"
)


class LineageCodec:
    """Reads and writes the lineage headers.

    Args:
        key: shared secret of the installation; None leaves chains unsealed.
    """

    def __init__(self, key: str | None = None) -> None:
        self._key = key.encode() if key else None

    def write(self, lineage: Lineage, message_id: str) -> dict[str, Header]:
        """Headers for an outgoing message."""
        text = format_lineage(lineage[-MAX_HOPS:])
        headers: dict[str, Header] = {names.H_LINEAGE: text}
        if self._key:
            headers[names.H_LINEAGE_MAC] = self._mac(self._key, text, message_id)
        return headers

    def read(self, headers: Mapping[str, Header], message_id: str) -> Lineage:
        """The chain of an incoming message; empty when there is none or it cannot be trusted."""
        text = headers.get(names.H_LINEAGE, "")
        lineage = parse_lineage(text) if isinstance(text, str) else None
        if lineage is None or not self._sealed(headers, str(text), message_id):
            happenings.emit(BAD_LINEAGE, message_id=message_id[:64])
            return ()
        return lineage[-MAX_HOPS:]

    def _sealed(self, headers: Mapping[str, Header], text: str, message_id: str) -> bool:
        if not self._key or not text:
            return True
        given = str(headers.get(names.H_LINEAGE_MAC, ""))
        return hmac.compare_digest(given.encode(), self._mac(self._key, text, message_id).encode())

    @staticmethod
    def _mac(key: bytes, text: str, message_id: str) -> str:
        return hmac.new(key, f"{message_id}\n{text}".encode(), hashlib.sha256).hexdigest()


def sender_of(headers: Mapping[str, Header]) -> str:
    """The agent that says it published a message; empty when none does."""
    chain = headers.get(names.H_LINEAGE)
    lineage = parse_lineage(chain) if isinstance(chain, str) else None
    return lineage[-1].agent if lineage else str(headers.get(names.H_AGENT, ""))


class LineageGuard:
    """Denies a publish that would close a ring for the third time with nothing new (:mod:`breakers.rounds`).

    Needs no collector and no shared state: the chain is in the message at hand. What an agent's registry entry declares
    periodic may go round, and so may whatever an agent does that is only observed. Where the rules have
    ``[cycle]`` warn or observe, nobody asks it: the detector says what it sees.
    """

    name = guard.LINEAGE

    def __init__(self, registry: Registry, circuits: Circuits) -> None:
        self._agents, self._circuits = registry.agents, circuits

    def check(self, action: Action) -> Verdict:
        if action.kind is not ActionKind.PUBLISH or laps(action) < LAPS or self._may_go_round(action):
            return _NO_RING
        ring = " → ".join(hop.agent for hop in _ring(action))
        return guard.deny(self.name, f"the same message has gone round {laps(action)} times: {ring}")

    def _may_go_round(self, action: Action) -> bool:
        entry = self._agents.get(action.agent)
        periodic = entry is not None and action.operation in entry.periodic
        return periodic or self._circuits.circuit(action.agent).mode != "normal"


def laps(action: Action) -> int:
    """How often this agent has already sent this request within the chain, with nothing new in between."""
    return rounds(action.chain) - 1


def _ring(action: Action) -> Lineage:
    """The latest round."""
    *before, hop = action.chain
    last = max(place for place, each in enumerate(before) if each.agent == hop.agent)
    return (*before[last:], hop)
