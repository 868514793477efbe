"""What names tell: whether an operation writes or delegates, whether one thing is meant, whose fault an error is."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from fusebox.records import ActionKind, Event

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
_UPSTREAM: Final = frozenset({
    "upstream_error", "upstream_timeout", "upstream_unavailable", "upstream_garbled", "upstream_cut",
    "upstream_unstreamed", "upstream_redirects", "upstream_refused_credential",
    "RateLimitError", "InternalServerError", "APITimeoutError", "APIConnectionError", "OverloadedError",
    "ServiceUnavailableError", "DeadlineExceededError",
})  # fmt: skip
"""Errors of the gateway, and of the client libraries of OpenAI and Anthropic, that no request is to blame for."""
_MODEL: Final = ActionKind.MODEL_CALL


def is_outage(event: Event) -> bool:
    """True for a model that could not be asked, or did not answer, through no fault of who asked."""
    return not event.ok and event.action is _MODEL and event.error_type in _UPSTREAM


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
