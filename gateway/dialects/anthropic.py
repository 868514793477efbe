"""Anthropic's Messages API, and its count of what a message would take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from fusebox.usage import Usage, usage_of
from gateway.denied import Denied
from gateway.dialects.base import Ask, Dialect, Json, Wire, count_of, last_text, model_of, never_say, parse
from gateway.meter import Asked, Meter, Metered
from gateway.slots import MessagesSlots, Slots
from gateway.sse import event

_TYPES: Final = {
    401: "authentication_error", 403: "permission_error", 404: "not_found_error", 413: "request_too_large",
    429: "rate_limit_error", 529: "overloaded_error",
}  # fmt: skip

THREAD: Final = "thread"
"""The field for a conversation that the provider has kept and reads again."""
NO_THREADS: Final[Json] = {"details": {"error_code": "thread_unsupported_request", "unsupported": []}}
"""By this Anthropic's client knows that it has to send the whole conversation."""


@dataclass(frozen=True, slots=True)
class Anthropic(Dialect):
    """What its two have in common."""

    wire: Wire = Wire.ANTHROPIC

    def error(self, denied: Denied) -> Json:
        type_ = _TYPES.get(denied.status, self.type_of(denied.status))
        return {
            "type": "error",
            "error": {"type": type_, "message": denied.message, "code": denied.code, **denied.told},
        }

    def error_event(self, denied: Denied) -> bytes:
        return b"event: error\n" + Dialect.error_event(self, denied)


@dataclass(frozen=True, slots=True)
class Messages(Anthropic):
    """``POST /v1/messages``."""

    operation: str = "chat"
    path: str = "/v1/messages"

    def read(self, raw: bytes) -> Ask:
        body = parse(raw)
        return Ask(
            model_of(body), body.get("stream") is True, body, raw,
            max_tokens=count_of(body, "max_tokens", least=0),  # 0 fills the provider's cache, and asks for no answer
            asked=last_text(body.get("messages")),
        )  # fmt: skip

    def limit(self, ask: Ask, output_tokens: int) -> None:
        ask.change("max_tokens", output_tokens)

    def unbounded(self, ask: Ask) -> str:
        thread = ask.body.get("thread")
        reads = bool(thread) and not (isinstance(thread, dict) and thread.get("type") == "create")
        return THREAD if reads else Dialect.unbounded(self, ask)

    def without(self, field: str) -> Json:
        return NO_THREADS if field == THREAD else {}

    def plant(self, ask: Ask, canary: str) -> None:
        system = ask.body.get("system") or []
        before = [{"type": "text", "text": system}] if isinstance(system, str) else system
        ask.change("system", [*before, {"type": "text", "text": never_say(canary)}])

    def slots(self) -> Slots:
        return MessagesSlots()

    def encoded(self, told: Json) -> bytes:
        return event(told, str(told.get("type", "")))

    def meter(self, ask: Ask) -> Meter:
        return MessagesMeter(ask)


@dataclass(frozen=True, slots=True)
class TokenCount(Anthropic):
    """``POST /v1/messages/count_tokens``: what a message would take. No model answers, and it costs nothing."""

    operation: str = "count_tokens"
    target: str = "count_tokens"
    path: str = "/v1/messages/count_tokens"

    def read(self, raw: bytes) -> Ask:
        body = parse(raw)
        return Ask(model_of(body), False, body, raw, max_tokens=0, asked=last_text(body.get("messages")))

    def meter(self, ask: Ask) -> Meter:
        return TokenCountMeter(ask)


class MessagesMeter(Meter):
    """Of messages: the input is told at the start, the output (cumulative) at the end."""

    def __init__(self, ask: Asked) -> None:
        super().__init__(ask)
        self._usage: dict[str, Any] = {}

    def whole(self, answer: Any) -> None:
        self._begin(answer)
        self.final = True
        for block in answer.get("content") or ():
            self._said(block.get("text"))
            self._said(block.get("name"))
            if "input" in block:
                self._said(str(block["input"]))

    def event(self, told: Any) -> None:
        match told.get("type"):
            case "message_start":
                self._begin(told.get("message") or {})
            case "content_block_start":
                self._said((told.get("content_block") or {}).get("name"))
            case "content_block_delta":
                delta = told.get("delta") or {}
                for field in ("text", "partial_json", "thinking"):
                    self._said(delta.get(field))
            case "message_delta":
                self._count(told)
                self.final = True

    def _begin(self, message: Any) -> None:
        self._name(message)
        self._count(message)

    def _count(self, told: Any) -> None:
        self._usage |= {name: value for name, value in (told.get("usage") or {}).items() if value is not None}
        self._reported = usage_of({"usage": self._usage})


class TokenCountMeter(Meter):
    """Of a count, for which nobody pays."""

    def whole(self, answer: Any) -> None:
        self._said(f"{answer['input_tokens']} tokens")

    def event(self, told: Any) -> None:
        self.whole(told)

    def metered(self) -> Metered:
        return Metered(Usage(), estimated=False)
