"""Slots: where the texts of an answer stand, whole or in the events of a stream, in each API.

Guards that read and change texts work on slots and need not know the API. A *channel* names one text of a stream, such
as the content of the first choice; its pieces come one by one, and some event says that it has ended.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

Json = dict[str, Any]
_TEXTS: Final = ("content", "refusal", "reasoning_content")
_DELTAS: Final = {"text_delta": "text", "thinking_delta": "thinking", "input_json_delta": "partial_json"}
_NAMED: Final = frozenset({"text", "arguments", "refusal", "summary", "thinking"})


@dataclass(frozen=True, slots=True)
class Slot:
    """One text."""

    holder: Any
    key: Any
    channel: str = ""
    """Of a piece; empty for a whole text."""
    tool: str | None = None
    """The tool whose arguments these are; None for what is said."""

    @property
    def value(self) -> Any:
        """A text, or a JSON value."""
        return self.holder[self.key]

    def put(self, value: Any) -> None:
        """Replace it."""
        self.holder[self.key] = value


class Slots:
    """Of one API, a fresh one for each stream; the base is that of an API without texts in its answers."""

    def whole(self, answer: Json) -> Iterator[Slot]:  # noqa: ARG002 - the hook's
        """Every text of a whole answer."""
        yield from ()

    def pieces(self, told: Json) -> Iterator[Slot]:  # noqa: ARG002 - the hook's
        """Every text in one event."""
        yield from ()

    def ended(self, told: Json) -> str | None:  # noqa: ARG002 - the hook's
        """The beginning of the names of the channels that end with this event, or None."""
        return None

    def piece(self, told: Json, channel: str, text: str) -> Json:
        """An event like ``told``, in which ``channel`` had a piece, with ``text`` in the place of that."""
        made = copy.deepcopy(told)
        for slot in self.pieces(made):
            slot.put(text if slot.channel == channel else "")
        return made


class ChatSlots(Slots):
    """Chat completions: ``0.content``, ``0.tool.1`` …"""

    def __init__(self) -> None:
        self._tools: dict[str, str] = {}

    def whole(self, answer: Json) -> Iterator[Slot]:
        for choice in answer.get("choices") or ():
            message = choice.get("message") or {}
            yield from (Slot(message, name) for name in _TEXTS if isinstance(message.get(name), str))
            for call in message.get("tool_calls") or ():
                function = call.get("function") or {}
                if isinstance(function.get("arguments"), str):
                    yield Slot(function, "arguments", tool=str(function.get("name")))

    def pieces(self, told: Json) -> Iterator[Slot]:
        for choice in told.get("choices") or ():
            delta, number = choice.get("delta") or {}, choice.get("index", 0)
            for name in _TEXTS:
                if delta.get(name):
                    yield Slot(delta, name, f"{number}.{name}")
            for call in delta.get("tool_calls") or ():
                function, channel = call.get("function") or {}, f"{number}.tool.{call.get('index', 0)}"
                self._tools.setdefault(channel, str(function.get("name") or ""))
                if function.get("arguments"):
                    yield Slot(function, "arguments", channel, self._tools[channel])

    def ended(self, told: Json) -> str | None:
        over = [choice for choice in told.get("choices") or () if choice.get("finish_reason")]
        return f"{over[0].get('index', 0)}." if over else None

    def piece(self, told: Json, channel: str, text: str) -> Json:
        made = super().piece(told, channel, text)
        made["usage"] = None
        for choice in made["choices"]:
            choice["finish_reason"] = None
            choice["delta"].pop("role", None)
            for call in choice["delta"].get("tool_calls") or ():  # what names a call is said once
                for name in ("id", "type"):
                    call.pop(name, None)
                call["function"].pop("name", None)
        return made


class MessagesSlots(Slots):
    """Anthropic's messages: one channel for each content block."""

    def __init__(self) -> None:
        self._tools: dict[Any, str] = {}

    def whole(self, answer: Json) -> Iterator[Slot]:
        for block in answer.get("content") or ():
            yield from (Slot(block, name) for name in ("text", "thinking") if isinstance(block.get(name), str))
            if block.get("type") == "tool_use":
                yield Slot(block, "input", tool=str(block.get("name")))

    def pieces(self, told: Json) -> Iterator[Slot]:
        if told.get("type") == "content_block_start":
            self._tools[told.get("index")] = str((told.get("content_block") or {}).get("name") or "")
        delta = told.get("delta") if told.get("type") == "content_block_delta" else None
        field = _DELTAS.get(str((delta or {}).get("type")))
        if delta and field and delta.get(field):
            tool = self._tools.get(told.get("index"), "") if field == "partial_json" else None
            yield Slot(delta, field, f"{told.get('index')}.", tool)

    def ended(self, told: Json) -> str | None:
        if told.get("type") == "content_block_stop":
            return f"{told.get('index')}."
        return "" if told.get("type") == "message_stop" else None


class ResponsesSlots(Slots):
    """The Responses API: deltas are pieces; all other events repeat texts as wholes."""

    def __init__(self) -> None:
        self._tools: dict[Any, str] = {}

    def whole(self, answer: Json) -> Iterator[Slot]:
        yield from _named(answer)

    def pieces(self, told: Json) -> Iterator[Slot]:
        if str(told.get("type")).endswith(".delta") and isinstance(told.get("delta"), str):
            tool = self._tools.get(told.get("item_id"), "") if "arguments" in told["type"] else None
            yield Slot(told, "delta", _item(told), tool)
        else:
            item = told.get("item") or {}
            self._tools[item.get("id")] = str(item.get("name") or "")
            yield from _named(told)

    def ended(self, told: Json) -> str | None:
        kind = str(told.get("type"))
        if kind in ("response.completed", "response.incomplete", "response.failed"):
            return ""
        return _item(told) if kind.endswith(".done") and "item_id" in told else None


def _item(told: Json) -> str:
    return f"{told.get('item_id')}.{told.get('content_index', 0)}."


def _named(value: Any) -> Iterator[Slot]:
    """Texts under the names that the API gives to texts, at any depth."""
    if isinstance(value, list):
        for each in value:
            yield from _named(each)
    elif isinstance(value, dict):
        for name, each in value.items():
            if name in _NAMED and isinstance(each, str) and each:
                yield Slot(value, name, tool=str(value.get("name", "")) if name == "arguments" else None)
            else:
                yield from _named(each)
