"""Meter: what an answer was, learned from its bytes as they pass: usage, ids, and its text for the fingerprint.

Every provider has a rule of its own for usage in streams: OpenAI's chat gives it once, in whichever chunk carries it
(cumulative where several do, so the last one counts); Anthropic gives the input at the start and the output,
cumulative, at the end; the Responses API gives it with the last event. An upstream that is silent, or says less than
what was seen to pass, is not believed: the usage is then an estimate and marked as one, never nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final, NamedTuple, Protocol

from fusebox import happenings
from fusebox.prices import service_tier
from fusebox.usage import Usage, usage_of
from gateway.media_count import media_in

BYTES_PER_TOKEN: Final = 4
"""The common rule of thumb for a token of English text; estimates only."""
MAX_BYTES_PER_TOKEN: Final = 64
"""More text than this per reported token does not exist: whoever reports so little is not believed."""
BESIDE: Final = 16_384
"""Bytes that a request may hold beside what is read as a prompt: options, metadata, schemas."""
_MAX_TEXT: Final = 65_536

UNREADABLE: Final = happenings.declare(
    "gateway_answer_unreadable", logging.WARNING, "an upstream's answer has an unknown shape; its usage is estimated"
)

Json = Mapping[str, Any]


class Metered(NamedTuple):
    """What an attempt used."""

    usage: Usage
    estimated: bool
    tier: str = ""
    """The service tier it was served by, as price lists name it; empty for the usual one."""


class Asked(Protocol):
    """A request, as a meter needs to know it."""

    raw: bytes
    body: dict[str, Any]
    choices: int
    tier: str


class Meter:
    """Reads one answer; subclasses know where its parts are.

    Args:
        ask: the request, for the estimate.
    """

    def __init__(self, ask: Asked) -> None:
        self._ask, self._asked = ask, len(ask.raw)
        self.passed = 0
        """Bytes of text and tool arguments that have passed."""
        self.final = False
        """True once the answer has told its whole usage."""
        self.response_id = ""
        self.response_model = ""
        self.response_tier = ""
        self._reported: Usage | None = None
        self._reported_at = 0
        self._texts: list[str] = []
        self._kept = 0

    def take_whole(self, answer: Json) -> None:
        """Take in an answer that came in one piece."""
        self._read(self.whole, answer)

    def take_event(self, told: Json) -> None:
        """Take in one event of a stream."""
        before = self._reported
        self._read(self.event, told)
        if self._reported is not before:
            self._reported_at = self.passed

    def take_text(self, chunk: bytes) -> None:
        """Take in a piece of an answer of no known shape."""
        if self._kept < _MAX_TEXT:
            self._said(chunk.decode("utf-8", "replace"))
        else:
            self.passed += len(chunk)

    def whole(self, answer: Json) -> None:
        """Read an answer; may raise for one of an unexpected shape."""
        raise NotImplementedError

    def event(self, told: Json) -> None:
        """Read an event; may raise for one of an unexpected shape."""
        raise NotImplementedError

    def _read(self, read: Callable[[Json], None], told: Json) -> None:
        try:
            read(told)
        except (TypeError, AttributeError, KeyError, ValueError) as error:  # the agent gets it; the usage is estimated
            self.final = False
            happenings.emit(UNREADABLE, error=repr(error))

    @property
    def complete(self) -> bool:
        """True when a stream has said all of its answer, although it may yet say that this is its end."""
        return False

    @property
    def text(self) -> str:
        """The beginning of what was answered."""
        return "".join(self._texts)

    def so_far(self) -> tuple[int, int]:
        """Output tokens of a stream under way, as far as its provider has said; and bytes that have passed since."""
        told = self._reported.output_tokens if self._reported is not None else 0
        if told * MAX_BYTES_PER_TOKEN < self._reported_at:
            return 0, self.passed
        return told, self.passed - self._reported_at

    def metered(self) -> Metered:
        """Usage so far: as reported where that can be, else estimated."""
        reported = self._reported
        if reported is not None and self.final and self._plausible(reported):
            return Metered(reported, estimated=False, tier=self._tier)
        return Metered(_at_least(reported or Usage(), self._asked, self.passed), estimated=True, tier=self._tier)

    @property
    def asked_tier(self) -> str:
        """The service tier that the request named, as price lists do."""
        return self._ask.tier

    @property
    def _tier(self) -> str:
        told = service_tier(self.response_tier)
        return self._ask.tier if told is None else told

    def _plausible(self, usage: Usage) -> bool:
        seen = usage.output_tokens * MAX_BYTES_PER_TOKEN >= self.passed
        read = usage.input_tokens > 0 or self._asked == 0
        most = usage.input_tokens * MAX_BYTES_PER_TOKEN + BESIDE
        read = read and (self._asked <= most or media_in(self._ask.body) > 0)  # pictures have more bytes to a token
        parts = usage.cache_read + usage.cache_creation <= usage.input_tokens and usage.reasoning <= usage.output_tokens
        return seen and read and parts

    def _report(self, answer: Json) -> None:
        self._reported = usage_of(answer)  # the last one counts, also where it cannot be: that is a reason for doubt

    def _name(self, answer: Json) -> None:
        self.response_id = self.response_id or str(answer.get("id") or "")[:256]
        self.response_model = self.response_model or str(answer.get("model") or "")[:256]
        if tier := answer.get("service_tier"):  # each chunk of a stream may name it, the last knows best
            self.response_tier = str(tier)[:32]

    def _said(self, text: object) -> None:
        if isinstance(text, str) and text:
            self.passed += len(text) if text.isascii() else len(text.encode("utf-8", "replace"))
            if self._kept < _MAX_TEXT:
                self._texts.append(text[:_MAX_TEXT])
                self._kept += len(text)


def _at_least(reported: Usage, asked: int, passed: int) -> Usage:
    """The reported figures, raised to what was seen to pass; parts that are more than their whole are none of it."""
    taken = max(reported.input_tokens, -(-asked // BYTES_PER_TOKEN))
    given = max(reported.output_tokens, -(-passed // BYTES_PER_TOKEN))
    raised = replace(reported, input_tokens=taken, output_tokens=given, reasoning=min(reported.reasoning, given))
    fits = reported.cache_read + reported.cache_creation <= taken
    return raised if fits else replace(raised, cache_read=0, cache_creation=0)
