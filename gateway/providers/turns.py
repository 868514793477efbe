"""Turns: the messages of a chat as Anthropic's: the system's apart, user and assistant in turn.

Raises:
    Denied: 400, Anthropic has no word for something.
"""

from __future__ import annotations

from typing import Any, Final

import orjson

from gateway.denied import bad_request
from gateway.dialects.base import text_of
from gateway.providers.translation import Json

_SYSTEM: Final = ("system", "developer")
_WORDLESS: Final = ("audio", "function_call")


def system(messages: list[Json]) -> str:
    """What the system says, wherever it stands."""
    return "\n\n".join(_text(message.get("content")) for message in messages if message.get("role") in _SYSTEM)


def turns(messages: list[Json]) -> list[Json]:
    """What the others say; who says nothing has no turn, since Anthropic refuses empty ones."""
    told = [_turn(message) for message in messages if message.get("role") not in _SYSTEM]
    return _merged([turn for turn in told if turn["content"]])


def _text(content: Any) -> str:
    for part in content if isinstance(content, list) else ():
        if part.get("type") != "text":
            raise bad_request(
                f"a system message with a part of type {part.get('type')!r} cannot be asked of this model's provider"
            )
    return text_of(content)


def _turn(message: Json) -> Json:
    role, content = message.get("role"), message.get("content")
    if role == "tool":
        told = [_part(part) for part in content] if isinstance(content, list) else content or ""
        result = {"type": "tool_result", "tool_use_id": message.get("tool_call_id"), "content": told}
        return {"role": "user", "content": [result]}
    blocks = [_part(part) for part in content] if isinstance(content, list) else []
    if isinstance(content, str) and content:
        blocks = [{"type": "text", "text": content}]
    if lost := [name for name in _WORDLESS if message.get(name) is not None]:
        raise bad_request(f"a message with {lost[0]!r} cannot be asked of this model's provider")
    if message.get("refusal"):
        blocks.append({"type": "text", "text": message["refusal"]})
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
    if part.get("type") == "refusal":
        return {"type": "text", "text": part.get("refusal", "")}
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
