"""What an operation's and a target's name tell: whether it writes, whether it delegates, whether one thing is meant."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

_NUMBERED: Final = re.compile(r"(?<![0-9A-Za-z])\d{1,7}(?![0-9A-Za-z])")
_SOMEBODY: Final = re.compile(r"agent|worker|assistant|bot\b|expert|user", re.IGNORECASE)
_WRITING: Final = re.compile(
    r"(?:^|[^a-z])(?:write|create|update|post|put|add|send|save|insert|comment|delete|set)(?:$|[^a-z])", re.IGNORECASE
)
_DELEGATING: Final = re.compile(
    r"delegat|hand_?off|transfer_to|spawn|(?:invoke|create|start|launch|call|ask)_agent|sub_?(?:agent|task)|forward_task|"
    r"fan_?out",
    re.IGNORECASE,
)


@lru_cache(maxsize=4096)
def names_one_thing(target: str) -> bool:
    """``TICK-12`` does, ``crm`` and an agent called ``ag-9f3c`` do not."""
    return _NUMBERED.search(target) is not None and _SOMEBODY.search(target) is None


@lru_cache(maxsize=4096)
def writes(operation: str) -> bool:
    """A counter in the answer to a write (``revision 13``) is no news; in the answer to a question it is."""
    return _WRITING.search(operation) is not None


@lru_cache(maxsize=4096)
def delegates(operation: str) -> bool:
    """True for operations that hand work to another agent."""
    return _DELEGATING.search(operation) is not None
