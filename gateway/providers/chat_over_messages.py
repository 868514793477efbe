"""Chat completions over Anthropic's Messages API: so agents see one API whoever serves the model.

Translated are system and tool messages, text and image parts, tools, tool choice, stop sequences, limits and
temperatures; answers, streams, usage and the reason an answer ended come back in OpenAI's shape. What Anthropic has no
word for (``n`` above 1, ``logprobs``, ``response_format``) is refused, never dropped.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final

import orjson

from gateway.denied import bad_request
from gateway.dialects.base import Ask, text_of
from gateway.dialects.openai import most_tokens
from gateway.providers.translation import Json

DEFAULT_MAX_TOKENS: Final = 4096
"""Anthropic asks for a limit; OpenAI does not."""
_SAME: Final = ("temperature", "top_p", "stream")
_IGNORED: Final = frozenset({"stream_options", "user", "metadata", "store", "seed", "parallel_tool_calls"})
_KNOWN: Final = _IGNORED | {
    "model", "messages", "max_tokens", "max_completion_tokens", "stop", "tools", "tool_choice", *_SAME,
}  # fmt: skip
_REASONS: Final = {"end_turn": "stop", "stop_sequence": "stop", "max_tokens": "length", "tool_use": "tool_calls"}


class ChatOverMessages:
    """One request: it remembers, within a stream, what a chunk has to repeat."""

    native = False

    def __init__(self) -> None:
        self._head: Json = {}
        self._tools: dict[int, int] = {}
        self._usage: Json = {}
        self._include_usage = False

    def request(self, ask: Ask) -> Mapping[str, Any]:
        """
        Raises:
            Denied: 400, Anthropic has no word for something.
        """
        body = ask.body
        self._include_usage = not ask.hide_usage
        if unknown := [name for name, value in body.items() if name not in _KNOWN and value is not None]:
            raise bad_request(f"{unknown[0]!r} cannot be asked of this model's provider; leave it out")
        system = [text_of(m.get("content")) for m in body["messages"] if m.get("role") in ("system", "developer")]
        turns = [_turn(m) for m in body["messages"] if m.get("role") not in ("system", "developer")]
        told: Json = {
            "messages": _merged(turns),
            "max_tokens": most_tokens(body) or DEFAULT_MAX_TOKENS,
            **{name: body[name] for name in _SAME if body.get(name) is not None},
        }
        if system:
            told["system"] = "\n\n".join(system)
        if body.get("stop"):
            told["stop_sequences"] = [body["stop"]] if isinstance(body["stop"], str) else body["stop"]
        if body.get("tools"):
            told["tools"] = [_tool(tool["function"]) for tool in body["tools"]]
            told |= _choice(body.get("tool_choice"))
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
                function = {"name": block["name"], "arguments": ""}
                call = {"index": number, "id": block["id"], "type": "function", "function": function}
                return [self._chunk({"tool_calls": [call]})]
            case "content_block_delta":
                return self._delta(told)
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
        if "partial_json" in delta:
            number = self._tools.get(told["index"], 0)
            return [self._chunk({"tool_calls": [{"index": number, "function": {"arguments": delta["partial_json"]}}]})]
        return []

    def _chunk(self, delta: Json, reason: str | None = None) -> Json:
        return {**self._head, "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}]}

    @staticmethod
    def _heading(message: Json, kind: str) -> Json:
        return {"id": message.get("id"), "object": kind, "created": int(time.time()), "model": message.get("model")}


def _turn(message: Json) -> Json:
    role, content = message.get("role"), message.get("content")
    if role == "tool":
        result = {"type": "tool_result", "tool_use_id": message.get("tool_call_id"), "content": text_of(content)}
        return {"role": "user", "content": [result]}
    blocks = [_part(part) for part in content] if isinstance(content, list) else []
    if isinstance(content, str) and content:
        blocks = [{"type": "text", "text": content}]
    for call in message.get("tool_calls") or ():
        function = call["function"]
        blocks.append({"type": "tool_use", "id": call["id"], "name": function["name"], "input": _input(function)})
    if role not in ("user", "assistant"):
        raise bad_request(f"a message of role {role!r} cannot be asked of this model's provider")
    return {"role": role, "content": blocks}


def _merged(turns: list[Json]) -> list[Json]:
    """Anthropic wants user and assistant in turn; several tool results are one turn."""
    merged: list[Json] = []
    for turn in turns:
        if merged and merged[-1]["role"] == turn["role"]:
            merged[-1]["content"] += turn["content"]
        else:
            merged.append(turn)
    return merged


def _part(part: Json) -> Json:
    if part.get("type") == "text":
        return {"type": "text", "text": part.get("text", "")}
    url = str((part.get("image_url") or {}).get("url", "")) if part.get("type") == "image_url" else ""
    if url.startswith("data:") and ";base64," in url:
        head, data = url[5:].split(";base64,", 1)
        return {"type": "image", "source": {"type": "base64", "media_type": head, "data": data}}
    if url:
        return {"type": "image", "source": {"type": "url", "url": url}}
    raise bad_request(f"a part of type {part.get('type')!r} cannot be asked of this model's provider")


def _input(function: Json) -> Any:
    try:
        return orjson.loads(function.get("arguments") or "{}")
    except orjson.JSONDecodeError:
        raise bad_request(f"the arguments of a call of {function.get('name')!r} are not JSON") from None


def _tool(function: Json) -> Json:
    told = {"name": function["name"], "input_schema": function.get("parameters") or {"type": "object"}}
    return told | ({"description": function["description"]} if function.get("description") else {})


def _choice(choice: Any) -> Json:
    if choice in (None, "auto"):
        return {}
    if isinstance(choice, dict):
        return {"tool_choice": {"type": "tool", "name": choice["function"]["name"]}}
    return {"tool_choice": {"type": {"required": "any"}.get(choice, choice)}}


def _call(index: int, block: Json) -> Json:
    function = {"name": block["name"], "arguments": orjson.dumps(block.get("input") or {}).decode()}
    return {"index": index, "id": block["id"], "type": "function", "function": function}


def _usage(told: Json) -> Json:
    """OpenAI counts the cache into the prompt."""
    read, created = int(told.get("cache_read_input_tokens") or 0), int(told.get("cache_creation_input_tokens") or 0)
    prompt, output = int(told.get("input_tokens") or 0) + read + created, int(told.get("output_tokens") or 0)
    details = {"cached_tokens": read}
    return {
        "prompt_tokens": prompt, "completion_tokens": output, "total_tokens": prompt + output,
        "prompt_tokens_details": details,
    }  # fmt: skip
