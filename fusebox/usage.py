"""Token usage as providers report it, in one shape.

Cache counts are included in ``input_tokens`` and reasoning in ``output_tokens``, as the GenAI conventions say; for
Anthropic, whose ``input_tokens`` leaves the cache out, it is added back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

MAX_TOKENS: Final = 10**9
"""No call uses more; who says that one did is not believed."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one inference attempt."""

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read: int = 0
    cache_creation: int = 0
    reasoning: int = 0


def usage_of(response: object) -> Usage | None:
    """Read the usage of a provider's response (object or dict; OpenAI chat, OpenAI responses, Anthropic).

    Returns:
        None when the response carries no usage, or one that cannot be: the caller must not count that as free.
    """
    told = _told(field_of(response, "usage"))
    return told if told is not None and max(told.input_tokens, told.output_tokens) <= MAX_TOKENS else None


def _told(usage: object) -> Usage | None:
    if usage is None:
        return None
    if field_of(usage, "prompt_tokens") is not None:
        return _openai_chat(usage)
    if field_of(usage, "input_tokens") is None:
        return None
    if (
        field_of(usage, "cache_read_input_tokens") is not None
        or field_of(usage, "cache_creation_input_tokens") is not None
    ):
        return _anthropic(usage)
    return _openai_responses(usage)


def _openai_chat(usage: object) -> Usage:
    prompt = _int(usage, "prompt_tokens")
    return Usage(
        prompt,
        max(_int(usage, "completion_tokens"), _int(usage, "total_tokens") - prompt),  # some leave thoughts out of it
        cache_read=_int(field_of(usage, "prompt_tokens_details"), "cached_tokens"),
        reasoning=_int(field_of(usage, "completion_tokens_details"), "reasoning_tokens"),
    )


def _openai_responses(usage: object) -> Usage:
    return Usage(
        _int(usage, "input_tokens"),
        _int(usage, "output_tokens"),
        cache_read=_int(field_of(usage, "input_tokens_details"), "cached_tokens"),
        reasoning=_int(field_of(usage, "output_tokens_details"), "reasoning_tokens"),
    )


def _anthropic(usage: object) -> Usage:
    read, created = _int(usage, "cache_read_input_tokens"), _int(usage, "cache_creation_input_tokens")
    return Usage(_int(usage, "input_tokens") + read + created, _int(usage, "output_tokens"), read, created)


def field_of(value: object, name: str) -> Any:
    """What a response holds under ``name``, be it a client library's object or plain JSON; None for nothing."""
    return value.get(name) if isinstance(value, dict) else getattr(value, name, None)


def _int(value: object, name: str) -> int:
    number = field_of(value, name)
    return number if isinstance(number, int) and not isinstance(number, bool) and number >= 0 else 0
