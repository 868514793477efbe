"""What other people's GenAI spans say that an agent asked and got, for fingerprints.

Read are the OpenTelemetry GenAI conventions (``gen_ai.input.messages`` …, and the older indexed
``gen_ai.prompt.N.content``), OpenInference (``input.value``, ``llm.…``) and Traceloop (``traceloop.entity.…``). Of a
conversation only the last message is the request: the rest was asked before, and would make every call look new. Of an
answer its text and the tools it calls with their arguments are the result; ids of calls are left out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from fusebox import names

Value = str | int | float | bool

_ASKED: Final = (names.GEN_AI_TOOL_ARGUMENTS, "tool.parameters", "traceloop.entity.input", "input.value")
_GOT: Final = (names.GEN_AI_TOOL_RESULT, "traceloop.entity.output", "output.value")
OLDER: Final = (*_ASKED[1:], *_GOT[1:])
"""Attributes outside the GenAI conventions that are read here."""
INDEXED: Final = ("gen_ai.prompt.", "gen_ai.completion.", "llm.input_messages.", "llm.output_messages.")
"""How attributes begin of which there is one for each message; looked for where a span has an older mark."""
_PROMPT: Final = re.compile(r"(?:gen_ai\.prompt|llm\.input_messages)\.(\d+)\.(?:message\.)?content")
_COMPLETION: Final = re.compile(
    r"(?:gen_ai\.completion|llm\.output_messages)\.\d+\.(?:message\.)?"
    r"(?:content|tool_calls\.\d+\.(?:tool_call\.function\.)?(?:name|arguments))"
)
_TOLD: Final = ("content", "text", "arguments", "response", "result", "name")
_DEPTH: Final = 6


def asked(a: Mapping[str, Value]) -> str:
    """The request's text, or ``""`` where the span does not tell."""
    messages = _json(a.get(names.GEN_AI_INPUT_MESSAGES))
    if isinstance(messages, list) and messages:
        return _text(messages[-1])
    found = _first(a, names.GEN_AI_INPUT_MESSAGES, *_ASKED)
    if found:
        return found
    prompts = [(int(match[1]), name) for name in a if (match := _PROMPT.fullmatch(name))]
    return str(a[max(prompts)[1]]) if prompts else ""


def got(a: Mapping[str, Value]) -> str:
    """The result's text, or ``""`` where the span does not tell."""
    messages = _json(a.get(names.GEN_AI_OUTPUT_MESSAGES))
    if isinstance(messages, list) and messages:
        return _text(messages)
    found = _first(a, names.GEN_AI_OUTPUT_MESSAGES, *_GOT)
    return found or " ".join(str(a[name]) for name in sorted(a) if _COMPLETION.fullmatch(name))


def _first(a: Mapping[str, Value], *candidates: str) -> str:
    return next((str(a[name]) for name in candidates if a.get(name)), "")


def _json(value: Value | None) -> Any:
    try:
        return json.loads(value) if isinstance(value, str) and value[:1] in "[{" else None
    except (ValueError, RecursionError):
        return None


def _text(value: Any) -> str:
    return " ".join(_words(value, _DEPTH))


def _words(value: Any, depth: int) -> Iterator[str]:
    """The texts of messages, their parts and tool calls, in order."""
    if isinstance(value, str | int | float):
        yield str(value)
    elif depth and isinstance(value, list):
        for item in value:
            yield from _words(item, depth - 1)
    elif depth and isinstance(value, dict):
        for key in ("function", "parts", "tool_calls", *_TOLD):
            if key in value:
                yield from _words(_arguments(key, value[key]), depth - 1)


def _arguments(key: str, value: Any) -> Any:
    """Arguments and tool results are data of any shape; sorted JSON is their text."""
    data = key in ("arguments", "response", "result") and isinstance(value, dict | list)
    return json.dumps(value, sort_keys=True) if data else value
