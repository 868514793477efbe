"""OpenAI's API: chat completions, responses, embeddings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from fusebox.prices import service_tier
from gateway.denied import Denied
from gateway.dialects.base import Ask, Dialect, Json, count_of, last_text, model_of, never_say, parse, text_of
from gateway.meter import Asked, Meter
from gateway.slots import ChatSlots, ResponsesSlots, Slots
from gateway.sse import event

_TYPES: Final = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error"}
_LAST: Final = frozenset({"response.completed", "response.incomplete", "response.failed"})
_UNBOUNDED: Final = ("background", "previous_response_id", "conversation", "prompt")
"""Fields for answers that are fetched later, unseen, and for what the provider has kept and reads again."""


@dataclass(frozen=True, slots=True)
class OpenAi(Dialect):
    """What its three have in common."""

    def error(self, denied: Denied) -> Json:
        type_ = _TYPES.get(denied.status, self.type_of(denied.status))
        return {"error": {"message": denied.message, "type": type_, "param": None, "code": denied.code, **denied.told}}


@dataclass(frozen=True, slots=True)
class Chat(OpenAi):
    """``POST /v1/chat/completions``."""

    operation: str = "chat"
    path: str = "/chat/completions"

    def read(self, raw: bytes) -> Ask:
        body = parse(raw)
        ask = Ask(
            model_of(body), body.get("stream") is True, body, raw,
            max_tokens=most_tokens(body), choices=count_of(body, "n") or 1, asked=last_text(body.get("messages")),
            tier=service_tier(body.get("service_tier")) or "",
        )  # fmt: skip
        options = body.get("stream_options")
        if ask.stream and not (isinstance(options, dict) and options.get("include_usage") is True):
            ask.hide_usage = True
            ask.change("stream_options", {**(options if isinstance(options, dict) else {}), "include_usage": True})
        return ask

    def limit(self, ask: Ask, output_tokens: int) -> None:
        ask.change("max_completion_tokens", output_tokens)

    def plant(self, ask: Ask, canary: str) -> None:
        ask.change("messages", [{"role": "system", "content": never_say(canary)}, *ask.body["messages"]])

    def slots(self) -> Slots:
        return ChatSlots()

    def meter(self, ask: Ask) -> Meter:
        return ChatMeter(ask)

    def hidden(self, ask: Ask, told: Json) -> bool:
        return ask.hide_usage and not told.get("choices") and bool(told.get("usage"))


@dataclass(frozen=True, slots=True)
class Responses(OpenAi):
    """``POST /v1/responses``."""

    operation: str = "chat"
    path: str = "/responses"

    def read(self, raw: bytes) -> Ask:
        body = parse(raw)
        told = body.get("input")
        asked = text_of(told[-1:]) if isinstance(told, list) else text_of(told)
        limit = count_of(body, "max_output_tokens")
        return Ask(
            model_of(body), body.get("stream") is True, body, raw, max_tokens=limit, asked=asked,
            tier=service_tier(body.get("service_tier")) or "",
        )  # fmt: skip

    def limit(self, ask: Ask, output_tokens: int) -> None:
        ask.change("max_output_tokens", output_tokens)

    def unbounded(self, ask: Ask) -> str:
        told = ask.body.get("input")
        refers = isinstance(told, list) and any(map(_is_reference, told))
        kept = next((name for name in _UNBOUNDED if ask.body.get(name)), "item_reference" if refers else "")
        return kept or Dialect.unbounded(self, ask)

    def plant(self, ask: Ask, canary: str) -> None:
        told = ask.body.get("input") or []  # the instructions would come back: this API repeats them
        said = [{"role": "user", "content": told}] if isinstance(told, str) else told
        ask.change("input", [{"role": "developer", "content": never_say(canary)}, *said])

    def slots(self) -> Slots:
        return ResponsesSlots()

    def encoded(self, told: Json) -> bytes:
        return event(told, str(told.get("type", "")))

    def meter(self, ask: Ask) -> Meter:
        return ResponsesMeter(ask)

    def error_event(self, denied: Denied) -> bytes:
        """As this API words it, and with what its clients look for in the errors of the others."""
        told = {"code": denied.code, "message": denied.message, "param": None, **self.error(denied)}
        return event({"type": "error", "sequence_number": 0, **told}, "error")


@dataclass(frozen=True, slots=True)
class Embeddings(OpenAi):
    """``POST /v1/embeddings``."""

    operation: str = "embeddings"
    path: str = "/embeddings"

    def read(self, raw: bytes) -> Ask:
        body = parse(raw)
        return Ask(model_of(body), False, body, raw, max_tokens=0, asked=text_of(body.get("input")))

    def meter(self, ask: Ask) -> Meter:
        return EmbeddingsMeter(ask)


def most_tokens(body: Json) -> int | None:
    """The longest answer that a chat asks for: servers differ in which of the two names they read.

    Raises:
        Denied: 400, one of them is no number that can be meant.
    """
    newer, older = count_of(body, "max_completion_tokens"), count_of(body, "max_tokens")
    return max(newer or 0, older or 0) or None


def _is_reference(item: Any) -> bool:
    """True for an item that the provider has kept and that is only named."""
    return isinstance(item, dict) and item.get("type") in (None, "item_reference") and "content" not in item


class ChatMeter(Meter):
    """Of chat completions."""

    def __init__(self, ask: Asked) -> None:
        super().__init__(ask)
        self._finished: set[int] = set()

    @property
    def complete(self) -> bool:
        return len(self._finished) >= self._ask.choices

    def whole(self, answer: Any) -> None:
        self._take(answer, "message")
        self.final = True

    def event(self, told: Any) -> None:
        self._take(told, "delta")

    def _take(self, told: Any, part: str) -> None:
        self._name(told)
        if told.get("usage"):
            self._report(told)
            self.final = True
        for choice in told.get("choices") or ():
            if choice.get("finish_reason"):
                self._finished.add(choice.get("index", 0))
            message = choice.get(part) or {}
            for field in ("content", "refusal", "reasoning_content", "reasoning"):
                self._said(message.get(field))
            for call in message.get("tool_calls") or ():
                function = call.get("function") or call.get("custom") or {}
                self._said(function.get("name"))
                self._said(function.get("arguments") or function.get("input"))


class ResponsesMeter(Meter):
    """Of the Responses API."""

    def whole(self, answer: Any) -> None:
        self._end(answer)
        for item in answer.get("output") or ():
            self._said(item.get("arguments"))
            for part in item.get("content") or ():
                self._said(part.get("text"))

    def event(self, told: Any) -> None:
        kind = str(told.get("type"))
        if kind.endswith(".delta"):
            self._said(told.get("delta"))
        elif kind in _LAST:
            self._end(told.get("response") or {})

    def _end(self, answer: Any) -> None:
        self._name(answer)
        self._report(answer)
        self.final = True


class EmbeddingsMeter(Meter):
    """Of embeddings: numbers are no text, so nothing passes but the usage."""

    def whole(self, answer: Any) -> None:
        self._name(answer)
        self._report(answer)
        self.final = True

    def event(self, told: Any) -> None:
        self.whole(told)
