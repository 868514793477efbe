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
from collections.abc import Mapping
from typing import Any, Final

from pydantic_core import from_json

from fusebox import names

Value = str | int | float | bool

_ASKED: Final = (names.GEN_AI_TOOL_ARGUMENTS, "traceloop.entity.input", "input.value", "tool.parameters")
_GOT: Final = (names.GEN_AI_TOOL_RESULT, "traceloop.entity.output", "output.value")
_ALL_ASKED: Final = (names.GEN_AI_INPUT_MESSAGES, *_ASKED)
_ALL_GOT: Final = (names.GEN_AI_OUTPUT_MESSAGES, *_GOT)
OLDER: Final = (*_ASKED[1:], *_GOT[1:])
"""Attributes outside the GenAI conventions that are read here."""
CONTENT: Final = frozenset({*_ALL_ASKED, *_ALL_GOT, names.OPENINFERENCE_KIND, names.LLM_REQUEST_TYPE})
"""A span with none of these attributes tells neither what was asked nor what came of it."""
INDEXED: Final = ("gen_ai.prompt.", "gen_ai.completion.", "llm.input_messages.", "llm.output_messages.")
"""How attributes begin of which there is one for each message; looked for where a span has an older mark."""
_WORDS: Final = (
    r"\.(?:message\.)?(?:content|contents\.\d+\.message_content\.text|"
    r"tool_calls\.\d+\.(?:tool_call\.function\.)?(?:name|arguments))"
)
_PROMPT: Final = re.compile(rf"(?:gen_ai\.prompt|llm\.input_messages)\.(\d+){_WORDS}")
_COMPLETION: Final = re.compile(rf"(?:gen_ai\.completion|llm\.output_messages)\.(\d+){_WORDS}")
_TOLD: Final = ("content", "text", "arguments", "response", "result", "name")
_NESTED: Final = ("function", "parts", "tool_calls", *_TOLD)
_DEPTH: Final = 6


def asked(a: Mapping[str, Value]) -> str:
    """The request's text, or ``""`` where the span does not tell."""
    messages = _json(a.get(names.GEN_AI_INPUT_MESSAGES))
    if isinstance(messages, list) and messages:
        return _text(messages[-1])
    return (_last_prompt(a) if _is_older(a) else "") or _first(a, _ALL_ASKED)


def latest(messages: object) -> object:
    """What a prompt asks now: of a conversation the text of its last message; anything else as it is."""
    last: Any = messages[-1] if isinstance(messages, list | tuple) and messages else None
    if hasattr(last, "model_dump"):
        last = last.model_dump(mode="json")
    if not isinstance(last, dict) or "role" not in last:
        return messages
    return _text(last) or last


def got(a: Mapping[str, Value]) -> str:
    """The result's text, or ``""`` where the span does not tell."""
    messages = _json(a.get(names.GEN_AI_OUTPUT_MESSAGES))
    if isinstance(messages, list) and messages:
        return _text(messages)
    return (_completions(a) if _is_older(a) else "") or _first(a, _ALL_GOT)


def _is_older(a: Mapping[str, Value]) -> bool:
    """True when some attributes may be of one message each."""
    return names.OPENINFERENCE_KIND in a or names.LLM_REQUEST_TYPE in a


def _last_prompt(a: Mapping[str, Value]) -> str:
    prompts = [(int(match[1]), name) for name in a if (match := _PROMPT.fullmatch(name))]
    last = max(prompts, default=(0, ""))[0]
    return " ".join(str(a[name]) for number, name in sorted(prompts) if number == last)


def _completions(a: Mapping[str, Value]) -> str:
    return " ".join(str(a[name]) for name in sorted(a) if _COMPLETION.fullmatch(name))


def _first(a: Mapping[str, Value], candidates: tuple[str, ...]) -> str:
    for name in candidates:
        value = a.get(name)
        if value:
            return _unwrapped(str(value))
    return ""


def _unwrapped(text: str) -> str:
    """What LangChain's callbacks and message classes wrap, as its instrumentations print it; other text as it is."""
    may_wrap = '"input_str"' in text or '"kwargs"' in text or '"data"' in text
    inner, depth = _json(text) if may_wrap else None, _DEPTH
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
        return from_json(value) if isinstance(value, str) and value[:1] in "[{" else None
    except ValueError:
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
            inner = value.get(key)
            if type(inner) is str:  # as nearly always
                words.append(inner)
            elif inner is not None:
                _collect(_arguments(key, inner), depth - 1, words)


def _arguments(key: str, value: Any) -> Any:
    """Arguments and tool results are data of any shape; sorted JSON is their text."""
    data = key in ("arguments", "response", "result") and isinstance(value, dict | list)
    return json.dumps(value, sort_keys=True) if data else value
