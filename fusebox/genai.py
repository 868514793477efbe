"""What other people's GenAI spans say that an agent asked and got, for fingerprints.

Read are the OpenTelemetry GenAI conventions (``gen_ai.input.messages`` …, and the older indexed
``gen_ai.prompt.N.content``), OpenInference (``input.value``, ``llm.…``) and Traceloop (``traceloop.entity.…``). Of a
conversation only the last message is the request: the rest was asked before, and would make every call look new. Of an
answer its text and the tools it calls with their arguments are the result; ids of calls are left out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from fusebox import names

Value = str | int | float | bool

_ASKED: Final = (names.GEN_AI_TOOL_ARGUMENTS, "tool.parameters", "traceloop.entity.input", "input.value")
_GOT: Final = (names.GEN_AI_TOOL_RESULT, "traceloop.entity.output", "output.value")
_ALL_ASKED: Final = (names.GEN_AI_INPUT_MESSAGES, *_ASKED)
_ALL_GOT: Final = (names.GEN_AI_OUTPUT_MESSAGES, *_GOT)
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
_NESTED: Final = ("function", "parts", "tool_calls", *_TOLD)
_DEPTH: Final = 6


def asked(a: Mapping[str, Value]) -> str:
    """The request's text, or ``""`` where the span does not tell."""
    messages = _json(a.get(names.GEN_AI_INPUT_MESSAGES))
    if isinstance(messages, list) and messages:
        return _text(messages[-1])
    found = _first(a, _ALL_ASKED)
    if found or not _indexed(a):
        return found
    prompts = [(int(match[1]), name) for name in a if (match := _PROMPT.fullmatch(name))]
    return str(a[max(prompts)[1]]) if prompts else ""


def got(a: Mapping[str, Value]) -> str:
    """The result's text, or ``""`` where the span does not tell."""
    messages = _json(a.get(names.GEN_AI_OUTPUT_MESSAGES))
    if isinstance(messages, list) and messages:
        return _text(messages)
    found = _first(a, _ALL_GOT)
    if found or not _indexed(a):
        return found
    return " ".join(str(a[name]) for name in sorted(a) if _COMPLETION.fullmatch(name))


def _first(a: Mapping[str, Value], candidates: tuple[str, ...]) -> str:
    for name in candidates:
        value = a.get(name)
        if value:
            return str(value)
    return ""


def _indexed(a: Mapping[str, Value]) -> bool:
    """True when some attribute may be of one message: hardly any span has one, and all are looked at for it."""
    keys = " ".join(a)
    return "prompt." in keys or "completion." in keys or "_messages." in keys


def _json(value: Value | None) -> Any:
    try:
        return json.loads(value) if isinstance(value, str) and value[:1] in "[{" else None
    except (ValueError, RecursionError):
        return None


def _text(value: Any) -> str:
    words: list[str] = []
    _collect(value, _DEPTH, words)
    return " ".join(words)


def _collect(value: Any, depth: int, words: list[str]) -> None:
    """Add the texts of messages, their parts and tool calls, in order."""
    if isinstance(value, str):
        words.append(value)
    elif isinstance(value, int | float):
        words.append(str(value))
    elif depth and isinstance(value, list):
        for item in value:
            _collect(item, depth - 1, words)
    elif depth and isinstance(value, dict):
        for key in _NESTED:
            if key in value:
                _collect(_arguments(key, value[key]), depth - 1, words)


def _arguments(key: str, value: Any) -> Any:
    """Arguments and tool results are data of any shape; sorted JSON is their text."""
    data = key in ("arguments", "response", "result") and isinstance(value, dict | list)
    return json.dumps(value, sort_keys=True) if data else value
