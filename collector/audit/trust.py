"""Which checkpoints of a chain count: those that were signed by a key that counts, each behind the one before.

The first key is given, each further one is named in a checkpoint of the one before, and the first checkpoint of a key
ends those before it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from collector.audit.checkpoint import BadCheckpoint, Checkpoint, parse
from collector.audit.keys import key_id
from collector.audit.report import CHECKPOINTS, Problem


@dataclass(slots=True)
class Signed:
    """The checkpoints of one chain that count.

    Attributes:
        by_size: oldest first.
        keys: ids of the keys that signed them.
        problem: why the first one that does not count does not; None when all do. Behind it, none counts.
    """

    by_size: dict[int, Checkpoint] = field(default_factory=dict)
    keys: list[str] = field(default_factory=list)
    problem: Problem | None = None

    @property
    def last(self) -> Checkpoint | None:
        """The newest."""
        return next(reversed(self.by_size.values()), None)


def believed(writer: str, first: int, texts: Iterable[bytes], given: Mapping[str, str]) -> Signed:
    """The checkpoints of ``writer``, what is left of whose chain begins with ``first``, that count.

    Args:
        texts: lines, oldest first.
        given: public keys by id that count from the start.
    """
    found, public = Signed(), dict(given)
    for text in texts:
        size = found.last.size if found.last else 0
        try:
            each = parse(text)
            why, detail = _objection(each, writer, found, public), f"the checkpoint of {each.size} entries"
        except BadCheckpoint as error:
            why, detail = "edited", str(error)
        if why:
            found.problem = Problem(writer, size if size >= first else 0, why, CHECKPOINTS, detail)
            break
        if each.key not in found.keys:
            found.keys.append(each.key)
        if each.next:
            public[key_id(each.next)] = each.next
        found.by_size[each.size] = each
    return found


def _objection(checkpoint: Checkpoint, writer: str, before: Signed, public: Mapping[str, str]) -> str:
    """What is wrong with a checkpoint; empty when nothing is."""
    last = before.last
    if checkpoint.size <= (last.size if last else 0) or checkpoint.writer != writer:
        return "inserted"
    if checkpoint.key not in public or checkpoint.key in before.keys[:-1]:
        return "wrong key"
    if not checkpoint.signed_by(public[checkpoint.key]):
        return "edited"
    return "" if checkpoint.previous == (last.signature if last else "") else "deleted"
