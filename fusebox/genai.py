"""What other people's GenAI spans say that an agent asked and got, for fingerprints.

Read are the OpenTelemetry GenAI conventions (``gen_ai.input.messages`` …, and the older indexed
``gen_ai.prompt.N.content``), OpenInference (``llm.…``, ``input.value``) and Traceloop (``traceloop.entity.…``). Of a
conversation only the last message is the request: the rest was asked before, and would make every call look new. Of an
answer its text and the tools it calls with their arguments are the result; ids of calls are left out. So messages come
before ``input.value`` and ``output.value``, which for a model call are the provider's JSON as it went over the wire;
and what LangChain wraps around a tool's input and output is taken off.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from fusebox import names

Value = str | int | float | bool

_ASKED: Final = (names.GEN_AI_TOOL_ARGUMENTS, "traceloop.entity.input", "input.value", "tool.parameters")
_GOT: Final = (names.GEN_AI_TOOL_RESULT, "traceloop.entity.output", "output.value")
OLDER: Final = (*_ASKED[1:], *_GOT[1:])
"""Attributes outside the GenAI conventions that are read here."""
INDEXED: Final = ("gen_ai.prompt.", "gen_ai.completion.", "llm.input_messages.", "llm.output_messages.")
"""How attributes begin of which there is one for each message; looked for where a span has an older mark."""
_WORDS: Final = (
    r"\.(?:message\.)?(?:content|contents\.\d+\.message_content\.text|"
    r"tool_calls\.\d+\.(?:tool_call\.function\.)?(?:name|arguments))"
)
_PROMPT: Final = re.compile(rf"(?:gen_ai\.prompt|llm\.input_messages)\.(\d+){_WORDS}")
_COMPLETION: Final = re.compile(rf"(?:gen_ai\.completion|llm\.output_messages)\.(\d+){_WORDS}")
_TOLD: Final = ("content", "text", "arguments", "response", "result", "name")
_DEPTH: Final = 6


def asked(a: Mapping[str, Value]) -> str:
    """The request's text, or ``""`` where the span does not tell."""
    messages = _json(a.get(names.GEN_AI_INPUT_MESSAGES))
    if isinstance(messages, list) and messages:
        return _text(messages[-1])
    prompts = [(int(match[1]), name) for name in a if (match := _PROMPT.fullmatch(name))]
    if prompts:
        last, _ = max(prompts)
        return " ".join(str(a[name]) for number, name in sorted(prompts) if number == last)
    return _first(a, names.GEN_AI_INPUT_MESSAGES, *_ASKED)


def got(a: Mapping[str, Value]) -> str:
    """The result's text, or ``""`` where the span does not tell."""
    messages = _json(a.get(names.GEN_AI_OUTPUT_MESSAGES))
    if isinstance(messages, list) and messages:
        return _text(messages)
    completions = " ".join(str(a[name]) for name in sorted(a) if _COMPLETION.fullmatch(name))
    return completions or _first(a, names.GEN_AI_OUTPUT_MESSAGES, *_GOT)


def _first(a: Mapping[str, Value], *candidates: str) -> str:
    return next((_unwrapped(str(a[name])) for name in candidates if a.get(name)), "")


def _unwrapped(text: str) -> str:
    """What LangChain's callbacks and message classes wrap, as its instrumentations print it; other text as it is."""
    inner, depth = _json(text), _DEPTH
    while depth and (opened := _opened(inner)) is not None:
        inner, text, depth = opened, opened if isinstance(opened, str) else text, depth - 1
    return text


def _opened(data: Any) -> Any:
    match data:
        case {"input_str": inner, "tags": _} | {"output": inner, "kwargs": {"tags": _}}:  # Traceloop
            return inner
        case {"lc": _, "kwargs": {"content": inner}} | {"type": str(), "data": {"content": inner}}:  # LangChain
            return inner
    return None


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
