"""Which keys count, and from where to where: the first is given, each further one is named in a checkpoint of the one
before, and the first checkpoint of a key ends those before it."""

from __future__ import annotations

from collections.abc import Mapping

from collector.audit.checkpoint import Checkpoint
from collector.audit.keys import key_id


class Trust:
    """The keys of one chain, in the order of their checkpoints.

    Args:
        given: public keys by id that count from the start.
    """

    def __init__(self, given: Mapping[str, str]) -> None:
        self._public = dict(given)
        self._over: set[str] = set()
        self.used: list[str] = []

    def objection(self, checkpoint: Checkpoint) -> str:
        """What is wrong with its signature; empty when nothing is."""
        public = self._public.get(checkpoint.key)
        if public is None or checkpoint.key in self._over:
            return "wrong key"
        if not checkpoint.signed_by(public):
            return "edited"
        if checkpoint.key not in self.used:
            self._over.update(self.used)
            self.used.append(checkpoint.key)
        if checkpoint.next:
            self._public[key_id(checkpoint.next)] = checkpoint.next
        return ""
