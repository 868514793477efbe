"""Anthropic's Messages API over OpenAI's chat completions, which most other providers and servers speak.

Translated are the system prompt, text and images, tools, their calls and results, tool choice, an answer's schema, stop
sequences, limits and temperatures; answers, streams, usage and the reason an answer ended come back in Anthropic's
shape. What chat completions have no word for (``top_k``, thinking, documents, tools that Anthropic itself runs) is
refused, never dropped; but thoughts in earlier turns are left out, which no other model could use.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from pydantic_core import from_json

from gateway.dialects.anthropic import NO_THREADS, THREAD
from gateway.dialects.base import Ask
from gateway.providers.blocks import Blocks, tool_use
from gateway.providers.chat_turns import system, turn, wordless
from gateway.providers.translation import Json, tokens

_SAME: Final = ("temperature", "top_p")
_IGNORED: Final = frozenset({"metadata", "service_tier", "cache_control"})
_KNOWN: Final = _IGNORED | {
    "model", "messages", "max_tokens", "system", "stop_sequences", "stream", "thinking", "tools", "tool_choice",
    "output_config", *_SAME,
}  # fmt: skip
_OF_TOOLS: Final = frozenset({
    "type", "name", "description", "input_schema", "strict", "cache_control", "eager_input_streaming",
})  # fmt: skip
_REASONS: Final = {"length": "max_tokens", "tool_calls": "tool_use", "content_filter": "refusal"}
_CHOICES: Final = {"auto": "auto", "any": "required", "none": "none"}


class MessagesOverChat:
    """One request, and the events of its answer."""

    native = False

    def __init__(self) -> None:
        self._begun = False
        self._blocks = Blocks()
        self._reason = "end_turn"
        self._usage: Json = {}

    def request(self, ask: Ask) -> Mapping[str, Any]:
        """
        Raises:
            Denied: 400, chat completions have no word for something.
        """
        body = ask.body
        if unknown := [name for name, value in body.items() if name not in _KNOWN and value is not None]:
            raise wordless(repr(unknown[0]), NO_THREADS if unknown[0] == THREAD else None)
        if (body.get("thinking") or {}).get("type") not in (None, "disabled"):
            raise wordless("'thinking'")
        if ask.max_tokens == 0:
            raise wordless("'max_tokens' of 0")
        if body["messages"][-1].get("role") != "user":
            raise wordless("to go on with a message of the assistant")
        told: Json = {
            "messages": [
                *system(body.get("system")),
                *(said for message in body["messages"] for said in turn(message)),
            ],
            **{name: body[name] for name in _SAME if body.get(name) is not None},
        }
        if body.get("max_tokens"):
            told["max_completion_tokens"] = body["max_tokens"]
        if body.get("stop_sequences"):
            told["stop"] = body["stop_sequences"]
        if body.get("output_config"):
            told |= _format(body["output_config"])
        if body.get("tools"):
            told["tools"] = [_tool(tool) for tool in body["tools"]]
            told |= _choice(body.get("tool_choice") or {})
        if ask.stream:
            told |= {"stream": True, "stream_options": {"include_usage": True}}
        return told

    def answer(self, answer: Json) -> Json:
        choice = answer["choices"][0]
        message = choice["message"]
        said = (_said(message.get("content")), message.get("refusal"))
        texts = [{"type": "text", "text": text} for text in said if text]
        calls = [tool_use(call, number) for number, call in enumerate(message.get("tool_calls") or ())]
        cut = choice.get("finish_reason") == "length"
        for call, block in zip(message.get("tool_calls") or (), calls, strict=True):
            block["input"] = from_json(call["function"].get("arguments") or "{}", allow_partial=cut)
        usual = "tool_use" if calls else "end_turn"  # some servers have one word for both
        reason = "refusal" if message.get("refusal") else _REASONS.get(str(choice.get("finish_reason")), usual)
        return {**_message(answer, [*texts, *calls], reason), "usage": _usage(answer.get("usage") or {})}

    def event(self, told: Json) -> list[Json | str]:
        return [*self._events(told)]

    def done(self) -> list[Json | str]:
        """The end, which waits until now: usage comes after the reason."""
        if not self._begun:
            raise ValueError("the stream ends without an answer")
        over: Json = {"stop_reason": self._reason, "stop_sequence": None}
        end: Json = {"type": "message_delta", "delta": over, "usage": _usage(self._usage)}
        return [*self._blocks.close(), end, {"type": "message_stop"}]

    def _events(self, told: Json) -> Iterator[Json]:
        if not self._begun and told.get("choices"):  # some say something else first
            self._begun = True
            yield {"type": "message_start", "message": {**_message(told, [], None), "usage": _usage({})}}
        self._usage = told.get("usage") or self._usage
        for choice in told.get("choices") or ():
            delta = choice.get("delta") or {}
            yield from self._blocks.text(_said(delta.get("content")) or delta.get("refusal") or "")
            for call in delta.get("tool_calls") or ():
                self._reason = "tool_use"
                yield from self._blocks.call(call)
            if delta.get("refusal"):
                self._reason = "refusal"
            elif choice.get("finish_reason"):
                self._reason = _REASONS.get(choice["finish_reason"], self._reason)


def _said(content: Any) -> str:
    """The text of an answer, which some servers tell in parts; thoughts are none of it."""
    if isinstance(content, list):
        return "".join(part["text"] for part in content if part.get("type") == "text")
    return content or ""


def _tool(tool: Json) -> Json:
    if tool.get("type") not in (None, "custom"):
        raise wordless(f"the tool {tool.get('type')!r}")
    if unknown := [name for name, value in tool.items() if name not in _OF_TOOLS and value is not None]:
        raise wordless(f"a tool with {unknown[0]!r}")
    told = {"description": tool.get("description"), "strict": tool.get("strict")}
    named = {"name": tool["name"], "parameters": tool["input_schema"]}
    return {"type": "function", "function": {**named, **{k: v for k, v in told.items() if v is not None}}}


def _format(config: Json) -> Json:
    if unknown := [name for name, value in config.items() if name != "format" and value is not None]:
        raise wordless(f"'output_config' with {unknown[0]!r}")
    if not config.get("format"):
        return {}
    schema = {"name": "answer", "schema": config["format"]["schema"], "strict": True}
    return {"response_format": {"type": "json_schema", "json_schema": schema}}


def _choice(choice: Json) -> Json:
    told: Json = {"parallel_tool_calls": False} if choice.get("disable_parallel_tool_use") else {}
    if choice.get("type") == "tool":
        return {**told, "tool_choice": {"type": "function", "function": {"name": choice["name"]}}}
    return {**told, "tool_choice": _CHOICES[choice["type"]]} if choice else told


def _message(told: Json, content: list[Json], reason: str | None) -> Json:
    return {
        "id": told.get("id"), "type": "message", "role": "assistant", "model": told.get("model"), "content": content,
        "stop_reason": reason, "stop_sequence": None,
    }  # fmt: skip


def _usage(told: Json) -> Json:
    """Anthropic counts the cache beside the input."""
    prompt = tokens(told, "prompt_tokens")
    read = min(prompt, tokens(told.get("prompt_tokens_details"), "cached_tokens"))
    return {
        "input_tokens": prompt - read, "cache_creation_input_tokens": 0, "cache_read_input_tokens": read,
        "output_tokens": tokens(told, "completion_tokens"),
    }  # fmt: skip
