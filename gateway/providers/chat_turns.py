"""Turns of Anthropic's messages as a chat's: results of tools by themselves, calls beside what the assistant says.

Raises:
    Denied: 400, chat completions have no word for something.
"""

from __future__ import annotations

from typing import Any, Final

import orjson

from gateway.denied import Denied, bad_request
from gateway.providers.translation import Json

_THOUGHTS: Final = frozenset({"thinking", "redacted_thinking"})


def system(said: Any) -> list[Json]:
    """What the system says."""
    if not said:
        return []
    text = said if isinstance(said, str) else "\n\n".join(block["text"] for block in said)
    return [{"role": "system", "content": text}]


def turn(message: Json) -> list[Json]:
    """The messages that a turn becomes: results of tools stand by themselves, before what the user says."""
    content = message.get("content")
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content or []
    if message.get("role") == "assistant":
        return [_assistant([block for block in blocks if block.get("type") not in _THOUGHTS])]
    results = [_result(block) for block in blocks if block.get("type") == "tool_result"]
    parts = [_part(block) for block in blocks if block.get("type") != "tool_result"]
    return [*results, *([{"role": "user", "content": _plainly(parts)}] if parts else [])]


def _assistant(blocks: list[Json]) -> Json:
    calls = [
        {"id": b["id"], "type": "function",
         "function": {"name": b["name"], "arguments": orjson.dumps(b.get("input") or {}).decode()}}
        for b in blocks if b.get("type") == "tool_use"
    ]  # fmt: skip
    text = "".join(_text(block) for block in blocks if block.get("type") != "tool_use")
    return {"role": "assistant", "content": text or None, **({"tool_calls": calls} if calls else {})}


def _result(block: Json) -> Json:
    content = block.get("content") or ""
    text = content if isinstance(content, str) else "\n".join(map(_text, content))
    told = f"Error: {text}" if block.get("is_error") else text
    return {"role": "tool", "tool_call_id": block.get("tool_use_id"), "content": told}


def _part(block: Json) -> Json:
    source = block.get("source") or {}
    match block.get("type"), source.get("type"):
        case "image", "base64":
            return {"type": "image_url", "image_url": {"url": f"data:{source['media_type']};base64,{source['data']}"}}
        case "image", "url":
            return {"type": "image_url", "image_url": {"url": source["url"]}}
    return {"type": "text", "text": _text(block)}


def _plainly(parts: list[Json]) -> Any:
    """A single text as such: not every server takes a list."""
    return parts[0]["text"] if len(parts) == 1 and parts[0]["type"] == "text" else parts


def _text(block: Json) -> str:
    """
    Raises:
        Denied: 400, it is none.
    """
    if block.get("type") != "text":
        raise wordless(f"a block of type {block.get('type')!r}")
    return str(block["text"])


def wordless(what: str, told: Json | None = None) -> Denied:
    """400: chat completions have no word for it."""
    return bad_request(f"{what} cannot be asked of this model's provider; leave it out", told)
