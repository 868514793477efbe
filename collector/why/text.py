"""Captured prompts and answers as lines to read."""

from __future__ import annotations

import json
from typing import Any


def message_text(captured: str) -> str:
    """Captured messages (JSON, in the conventions' or the providers' shape) as lines ``role: text``."""
    try:
        messages = json.loads(captured) if captured else []
    except ValueError:
        return captured
    messages = messages if isinstance(messages, list) else [messages]
    return "\n".join(_line(message) for message in messages)


def _line(message: Any) -> str:
    if not isinstance(message, dict):
        return str(message)
    parts = message.get("parts") or message.get("content") or ""
    texts = parts if isinstance(parts, list) else [parts]
    return f"{message.get('role', 'assistant')}: {' '.join(_part(text) for text in texts)}"


def _part(part: Any) -> str:
    if isinstance(part, dict):
        return str(part.get("content") or part.get("text") or json.dumps(part, ensure_ascii=False))
    return str(part)
