"""Why something happened, and what came of it: a walk over spans, with what the audit log says of them.

From the span of an effect (a tool call, a publish) the walk goes up: parents within a handler, and where a handler
began, over the message's link to the span that published it, into the handler before. At each level the model calls
that had finished by then are what the agent had been told and what it answered; verdicts, trips, and the person who
last let the agent act stand beside them. ``forward`` walks the other way.
"""

from __future__ import annotations

from clickhouse_connect.driver.client import Client

from collector.why.find import find
from collector.why.graph import dot
from collector.why.model import Direction, ModelCall, NotFound, Ruling, Step, Why
from collector.why.rulings import ruling, rulings
from collector.why.steps import steps
from collector.why.text import message_text
from collector.why.walk import follow

__all__ = ["Direction", "ModelCall", "NotFound", "Ruling", "Step", "Why", "dot", "explain", "message_text"]


def explain(client: Client, id: str, direction: Direction = Direction.BACK) -> Why:
    """What led to the thing with this id, or what followed from it.

    Args:
        id: a span, a trace (its last tool call), a message, an entry of the audit log (``watch:12``), or the id of a
            row, ticket or file that a tool call named in an attribute (the newest such call).

    Raises:
        NotFound: nothing stored has the id.
        KeepUnavailable: the database does not answer.
    """
    start = find(client, id)
    entry = ruling(start.entry) if start.entry else None
    if start.span is None:
        return Why(id, direction, (), entry)
    found = follow(client, start.span, direction)
    said, silence = rulings(client, found)
    return Why(id, direction, steps(client, found, direction, said), entry, (*found.gaps(), *silence))
