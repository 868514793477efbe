"""Slots: where the texts of an answer stand, whole or in the events of a stream, in each API.

Guards that read and change texts work on slots and need not know the API. Every text of an answer is one, but for ids
and words of the API: a field that a provider adds tomorrow is looked at, too. A *channel* names one text of a stream,
such as the content of the first choice; its pieces come one by one, and some event says that it has ended.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

Json = dict[str, Any]
_FIXED: Final = frozenset({
    "id", "object", "type", "role", "model", "status", "phase", "finish_reason", "stop_reason", "service_tier",
    "call_id", "tool_call_id", "tool_use_id", "item_id", "file_id", "container_id", "response_id",
    "previous_response_id", "system_fingerprint", "mime_type", "media_type", "obfuscation",
    "signature", "encrypted_content", "encrypted_index",
})  # fmt: skip
"""Fields that hold no text: ids, words of the API, and what is encrypted."""
_MEDIA: Final = frozenset({"data", "result", "partial_image_b64"})
_BASE64: Final = re.compile(r"[A-Za-z0-9+/_-]{64,}={0,2}")
"""What is none, or shorter, in a field for a picture or a sound is no picture and no sound."""
_ECHOED: Final = frozenset({
    "instructions", "tools", "tool_choice", "metadata", "prompt", "text", "reasoning", "truncation", "user",
    "prompt_cache_key", "safety_identifier",
})  # fmt: skip
"""Fields in which the Responses API repeats the request."""
_WHOLE: Final = frozenset({"annotations", "citation", "citations"})
"""Fields that a stream never takes apart."""
_NAME: Final = "name"
"""Of a tool, mostly: a stream tells it whole, before the first piece of what the tool is told."""
_ARGUMENTS: Final = frozenset({"arguments", "input", "partial_json"})
"""What a tool is told; its name stands beside, or stood there in an event before."""
_THEIRS: Final = "server_"
"""How calls of tools begin that the provider runs itself: what these are told is said, and no statement of ours."""
_PROBABILITIES: Final = "logprobs"
_THOUGHT: Final = "thinking"


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
    def signed(self) -> bool:
        """True for a thought: its provider takes it back to the letter only, as its signature is beside it."""
        return bool(self.key == _THOUGHT)

    @property
    def value(self) -> Any:
        """A text, or a JSON value."""
        return self.holder[self.key]

    def put(self, value: Any) -> None:
        """Replace it."""
        self.holder[self.key] = value


class Slots:
    """Of one API, a fresh one for each stream; the base is that of an API without texts in its answers."""

    def __init__(self) -> None:
        self._names: dict[str, str | None] = {}

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

    def _texts(self, value: Any, path: str = "", skip: frozenset[str] = frozenset()) -> Iterator[Slot]:
        """The texts below a place, each with its path as its channel.

        How likely a token was says which one it was, before anybody has judged the text: that is left out.
        """
        if isinstance(value, list):
            for number, each in enumerate(value):
                if isinstance(each, str):
                    yield Slot(value, number, f"{path}{number}.")
                else:
                    place = each.get("index", number) if isinstance(each, dict) else number
                    yield from self._texts(each, f"{path}{place}.")
        elif isinstance(value, dict):
            if isinstance(value.get(_NAME), str):
                self._names[path] = None if str(value.get("type")).startswith(_THEIRS) else value[_NAME]
            if value.get(_PROBABILITIES):
                value[_PROBABILITIES] = [] if isinstance(value[_PROBABILITIES], list) else None
            for name, each in list(value.items()):
                if name not in skip and not (isinstance(each, str) and _is_no_text(name, each)):
                    yield from self._field(value, name, each, path)

    def _field(self, holder: Json, name: str, value: Any, path: str) -> Iterator[Slot]:
        tool = self._names.get(path, "")
        if name in _ARGUMENTS and value and tool is not None:
            yield Slot(holder, name, f"{path}{name}.", tool)
        elif isinstance(value, str) and value:
            yield Slot(holder, name, "" if name == _NAME else f"{path}{name}.")
        elif isinstance(value, dict | list):
            found = self._texts(value, f"{path}{name}.")
            yield from _wholes(found) if name in _WHOLE else found


class ChatSlots(Slots):
    """Chat completions: ``0.content.``, ``0.tool_calls.1.function.arguments.`` …"""

    def whole(self, answer: Json) -> Iterator[Slot]:
        yield from _wholes(self._texts(answer))

    def pieces(self, told: Json) -> Iterator[Slot]:
        yield from _wholes(self._texts(told, skip=frozenset({"choices"})))
        for choice in told.get("choices") or ():
            yield from _wholes(self._texts(choice, skip=frozenset({"delta"})))
            yield from self._texts(choice.get("delta"), f"{choice.get('index', 0)}.")

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
                for told_ in (call.get("function"), call.get("custom")):
                    (told_ or {}).pop("name", None)
        return made


class MessagesSlots(Slots):
    """Anthropic's messages: the channels of a content block begin with its number."""

    def whole(self, answer: Json) -> Iterator[Slot]:
        yield from _wholes(self._texts(answer))

    def pieces(self, told: Json) -> Iterator[Slot]:
        block = f"{told.get('index')}."
        if told.get("type") == "content_block_delta":
            yield from self._texts(told.get("delta"), block)
        else:
            yield from _wholes(self._texts(told.get("content_block"), block))
            yield from _wholes(self._texts(told, skip=frozenset({"content_block"})))

    def ended(self, told: Json) -> str | None:
        if told.get("type") == "content_block_stop":
            return f"{told.get('index')}."
        return "" if told.get("type") == "message_stop" else None


class ResponsesSlots(Slots):
    """The Responses API: deltas are pieces; all other events repeat texts as wholes."""

    def whole(self, answer: Json) -> Iterator[Slot]:
        yield from _wholes(self._texts(answer, skip=_ECHOED))

    def pieces(self, told: Json) -> Iterator[Slot]:
        item, place = told.get("item") or {}, f"{told.get('item_id')}."
        yield from _wholes(self._texts(item, f"{item.get('id')}."))
        yield from _wholes(self._texts(told.get("response"), skip=_ECHOED))
        yield from _wholes(self._texts(told, place, skip=frozenset({"item", "response", "delta"})))
        if isinstance(told.get("delta"), str) and told["delta"]:
            kind = str(told.get("type"))
            tool = self._names.get(place, "") if "arguments" in kind or "input" in kind else None
            yield Slot(told, "delta", _item(told), tool)
        else:
            yield from _wholes(self._texts(told.get("delta")))

    def ended(self, told: Json) -> str | None:
        kind = str(told.get("type"))
        if kind in ("response.completed", "response.incomplete", "response.failed"):
            return ""
        return _item(told) if kind.endswith(".done") and "item_id" in told else None


def _is_no_text(name: str, value: str) -> bool:
    return name in _FIXED or (name in _MEDIA and _BASE64.fullmatch(value) is not None)


def _item(told: Json) -> str:
    return f"{told.get('item_id')}.{told.get('content_index', told.get('summary_index', 0))}."


def _wholes(found: Iterator[Slot]) -> Iterator[Slot]:
    yield from (replace(slot, channel="") for slot in found)
