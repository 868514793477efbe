"""Translation: from what an agent asks to what a provider is asked, and back; so agents see one API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from fusebox.usage import MAX_TOKENS
from gateway.dialects.base import Ask

Json = dict[str, Any]


class Translation(Protocol):
    """Of one request: it may remember, within a stream, what events have said."""

    native: bool
    """True when nothing changes."""

    def request(self, ask: Ask) -> Mapping[str, Any]:
        """The body for the provider.

        Raises:
            Denied: 400, the provider has no word for something.
        """

    def answer(self, answer: Json) -> Json:
        """A whole answer, for the agent; may raise for one of an unexpected shape."""

    def event(self, told: Json) -> list[Json | str]:
        """One event of the provider's stream as the agent's events; a string is sent as it is."""

    def done(self) -> list[Json | str]:
        """What is left to be said when a stream says ``[DONE]``."""


class Native:
    """Both speak the same API."""

    native = True

    def request(self, ask: Ask) -> Mapping[str, Any]:
        return ask.body

    def answer(self, answer: Json) -> Json:
        return answer

    def event(self, told: Json) -> list[Json | str]:
        return [told]

    def done(self) -> list[Json | str]:
        return ["[DONE]"]


def tokens(usage: Any, name: str) -> int:
    """How many tokens a usage tells under a name; 0 for what it does not tell, or cannot be."""
    told = usage.get(name) if isinstance(usage, dict) else None
    return told if type(told) is int and 0 <= told <= MAX_TOKENS else 0
