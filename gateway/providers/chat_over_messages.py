"""Chat completions over Anthropic's Messages API: so agents see one API whoever serves the model.

Translated are system and tool messages, text and image parts, tools, tool choice, an answer's schema, stop sequences,
limits and temperatures; answers, streams, usage and the reason an answer ended come back in OpenAI's shape. What
Anthropic has no word for (``n`` above 1, ``logprobs``, JSON without a schema, ``seed``) is refused, never dropped; but
what changes no answer, or asks for what is done anyway (``n`` of 1), or an image's ``detail`` and the names of who
speaks, is left out.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final

import orjson

from gateway.denied import bad_request
from gateway.dialects.base import Ask
from gateway.dialects.openai import most_tokens
from gateway.providers.translation import Json, tokens
from gateway.providers.turns import system, turns

DEFAULT_MAX_TOKENS: Final = 4096
"""Anthropic asks for a limit; OpenAI does not."""
_SAME: Final = ("temperature", "top_p", "stream")
_IGNORED: Final = frozenset({
    "stream_options", "user", "metadata", "store", "safety_identifier", "prompt_cache_key", "prompt_cache_retention",
})  # fmt: skip
_ANYWAY: Final[Json] = {
    "n": 1, "logprobs": False, "frequency_penalty": 0, "presence_penalty": 0, "logit_bias": {}, "modalities": ["text"],
    "service_tier": "auto",
}  # fmt: skip
"""What some clients say always, and what no provider would do otherwise."""
_KNOWN: Final = _IGNORED | {
    "model", "messages", "max_tokens", "max_completion_tokens", "stop", "tools", "tool_choice", "parallel_tool_calls",
    "response_format", *_SAME,
}  # fmt: skip
_REASONS: Final = {
    "end_turn": "stop", "stop_sequence": "stop", "max_tokens": "length", "model_context_window_exceeded": "length",
    "tool_use": "tool_calls", "refusal": "content_filter",
}  # fmt: skip


class ChatOverMessages:
    """One request: it remembers, within a stream, what a chunk has to repeat."""

    native = False

    def __init__(self) -> None:
        self._head: Json = {}
        self._tools: dict[int, int] = {}
        self._untold: dict[int, Json] = {}
        """The arguments of calls of which no piece has come."""
        self._usage: Json = {}
        self._include_usage = False

    def request(self, ask: Ask) -> Mapping[str, Any]:
        """
        Raises:
            Denied: 400, Anthropic has no word for something.
        """
        body = ask.body
        self._include_usage = not ask.hide_usage
        if unknown := [n for n, value in body.items() if n not in _KNOWN and value not in (None, _ANYWAY.get(n))]:
            raise bad_request(f"{unknown[0]!r} cannot be asked of this model's provider; leave it out")
        told: Json = {
            "messages": turns(body["messages"]),
            "max_tokens": most_tokens(body) or DEFAULT_MAX_TOKENS,
            **{name: body[name] for name in _SAME if body.get(name) is not None},
        }
        if said := system(body["messages"]):
            told["system"] = said
        if body.get("stop"):
            told["stop_sequences"] = [body["stop"]] if isinstance(body["stop"], str) else body["stop"]
        if body.get("response_format"):
            told |= _format(body["response_format"])
        if body.get("tools"):
            told["tools"] = [_tool(tool["function"]) for tool in body["tools"]]
            told |= _choice(body.get("tool_choice"), body.get("parallel_tool_calls"))
        return told

    def answer(self, answer: Json) -> Json:
        blocks = answer.get("content") or []
        calls = [_call(i, b) for i, b in enumerate(b for b in blocks if b.get("type") == "tool_use")]
        text = "".join(b.get("text", "") for b in blocks if b.get("type") == "text")
        message: Json = {"role": "assistant", "content": text or None, "refusal": None}
        if calls:
            message["tool_calls"] = [{k: v for k, v in call.items() if k != "index"} for call in calls]
        reason = _REASONS.get(str(answer.get("stop_reason")), "stop")
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": reason}
        head = self._heading(answer, "chat.completion")
        return {**head, "choices": [choice], "usage": _usage(answer.get("usage") or {})}

    def event(self, told: Json) -> list[Json | str]:
        match told.get("type"):
            case "message_start":
                message = told.get("message") or {}
                self._head = self._heading(message, "chat.completion.chunk")
                self._usage = dict(message.get("usage") or {})
                return [self._chunk({"role": "assistant", "content": ""})]
            case "content_block_start" if told["content_block"].get("type") == "tool_use":
                number = self._tools[told["index"]] = len(self._tools)
                block = told["content_block"]
                self._untold[told["index"]] = block.get("input") or {}
                function = {"name": block["name"], "arguments": ""}
                call = {"index": number, "id": block["id"], "type": "function", "function": function}
                return [self._chunk({"tool_calls": [call]})]
            case "content_block_delta":
                return self._delta(told)
            case "content_block_stop" if told["index"] in self._untold:
                return [self._arguments(told["index"], orjson.dumps(self._untold.pop(told["index"])).decode())]
            case "message_delta":
                self._usage |= {k: v for k, v in (told.get("usage") or {}).items() if v is not None}
                reason = _REASONS.get(str(told["delta"].get("stop_reason")), "stop")
                return [self._chunk({}, reason)]
            case "message_stop":
                last = {**self._head, "choices": [], "usage": _usage(self._usage)}
                return [last, "[DONE]"] if self._include_usage else ["[DONE]"]
        return []

    def done(self) -> list[Json | str]:
        return []  # Anthropic says so by an event

    def _delta(self, told: Json) -> list[Json | str]:
        delta = told["delta"]
        if "text" in delta:
            return [self._chunk({"content": delta["text"]})]
        if delta.get("partial_json"):
            self._untold.pop(told["index"], None)
            return [self._arguments(told["index"], delta["partial_json"])]
        return []

    def _arguments(self, block: int, piece: str) -> Json:
        return self._chunk({"tool_calls": [{"index": self._tools.get(block, 0), "function": {"arguments": piece}}]})

    def _chunk(self, delta: Json, reason: str | None = None) -> Json:
        return {**self._head, "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}]}

    @staticmethod
    def _heading(message: Json, kind: str) -> Json:
        return {"id": message.get("id"), "object": kind, "created": int(time.time()), "model": message.get("model")}


def _tool(function: Json) -> Json:
    told = {"name": function["name"], "input_schema": function.get("parameters") or {"type": "object"}}
    return told | {name: function[name] for name in ("description", "strict") if function.get(name)}


def _format(asked: Json) -> Json:
    if asked["type"] == "text":
        return {}
    if asked["type"] != "json_schema":
        raise bad_request(f"the format {asked['type']!r} cannot be asked of this model's provider; give it a schema")
    return {"output_config": {"format": {"type": "json_schema", "schema": asked["json_schema"]["schema"]}}}


def _choice(choice: Any, parallel: Any) -> Json:
    if isinstance(choice, dict):
        told = {"type": "tool", "name": choice["function"]["name"]}
    else:
        told = {"type": {None: "auto", "required": "any"}.get(choice, choice)}
    if parallel is False and told["type"] != "none":
        return {"tool_choice": {**told, "disable_parallel_tool_use": True}}
    return {"tool_choice": told} if choice not in (None, "auto") else {}


def _call(index: int, block: Json) -> Json:
    function = {"name": block["name"], "arguments": orjson.dumps(block.get("input") or {}).decode()}
    return {"index": index, "id": block["id"], "type": "function", "function": function}


def _usage(told: Json) -> Json:
    """OpenAI counts the cache into the prompt."""
    read, created = tokens(told, "cache_read_input_tokens"), tokens(told, "cache_creation_input_tokens")
    prompt, output = tokens(told, "input_tokens") + read + created, tokens(told, "output_tokens")
    details = {"cached_tokens": read}
    return {
        "prompt_tokens": prompt, "completion_tokens": output, "total_tokens": prompt + output,
        "prompt_tokens_details": details,
    }  # fmt: skip
