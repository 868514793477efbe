"""Dialect: one API, as the gateway needs to know it. Plain is the one of which nothing is known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

import orjson

from fusebox.usage import MAX_TOKENS
from gateway.body import json_of
from gateway.denied import Denied, bad_request
from gateway.meter import Meter
from gateway.named_models import others_in
from gateway.slots import Slots
from gateway.sse import event

Json = dict[str, Any]
_COUNTS: Final = frozenset({"max_tokens", "max_completion_tokens", "max_output_tokens", "n"})
"""Fields by which a request is counted, that some servers read in any case."""


class Wire(StrEnum):
    """The families of APIs that upstreams speak."""

    OPENAI = "openai"
    ANTHROPIC = "anthropic"


@dataclass(slots=True)
class Ask:
    """What a request asks for."""

    model: str
    stream: bool
    body: Json
    raw: bytes
    """The bytes it came in; sent on as they are where nothing has to be changed."""
    max_tokens: int | None = None
    choices: int = 1
    """Answers asked for."""
    tier: str = ""
    """The service tier asked for, as price lists name it; empty for the usual one, and where the provider chooses."""
    held: bool = False
    """The quota relies on it that the answer is no longer than the body says."""
    asked: str = ""
    """The text of the last message: what is new in this request."""
    changed: bool = False
    hide_usage: bool = False
    """The client has not asked for the usage event that the gateway needs."""

    def change(self, name: str, value: Any) -> None:
        """Set a field of the body."""
        self.body[name] = value
        self.changed = True

    def settle(self) -> None:
        """The body as it is now is the one that counts: for its size, and to be sent."""
        if self.changed:
            self.raw, self.changed = orjson.dumps(self.body), False

    def bytes(self) -> bytes:
        """The body as it is to be sent."""
        return orjson.dumps(self.body) if self.changed else self.raw


@dataclass(frozen=True, slots=True)
class Dialect:
    """One API. Stateless; :meth:`meter` makes what an answer needs.

    Attributes:
        operation: ``gen_ai.operation.name`` of its spans.
        target: what its actions aim at, where no model is to answer: they are not to be taken for those that ask one.
        path: where upstreams of its wire serve it, below their base address.
    """

    operation: str = ""
    target: str = ""
    wire: Wire = Wire.OPENAI
    path: str = ""
    types: Mapping[int, str] = field(default_factory=dict)
    """What the API calls each error status."""

    def read(self, raw: bytes) -> Ask:
        """Read a request.

        Raises:
            Denied: 400, it is none.
        """
        raise NotImplementedError

    def meter(self, ask: Ask) -> Meter:
        """A meter for its answer."""
        raise NotImplementedError

    def limit(self, ask: Ask, output_tokens: int) -> None:
        """Hold a request that names no limit to this one."""

    def unbounded(self, ask: Ask) -> str:
        """The field that makes a request cost more than its bytes and its answer tell; empty for none."""
        return next((field for field, _ in others_in(ask.body)), "")

    def without(self, field: str) -> Json:  # noqa: ARG002 - the hook's
        """What more a client has to be told, to do without a field."""
        return {}

    def plant(self, ask: Ask, canary: str) -> None:
        """Put a canary where the model reads it."""

    def slots(self) -> Slots:
        """Where the texts of its answers stand."""
        return Slots()

    def encoded(self, told: Json) -> bytes:
        """An event of a stream."""
        return event(told)

    def hidden(self, ask: Ask, told: Json) -> bool:  # noqa: ARG002 - the hook's
        """True for an event that the client did not ask for."""
        return False

    def error(self, denied: Denied) -> Json:
        """The body of a refusal."""
        return {"error": {"message": denied.message, "code": denied.code, **denied.told}}

    def error_event(self, denied: Denied) -> bytes:
        """The event that ends a stream early."""
        return b"data: " + orjson.dumps(self.error(denied)) + b"\n\n"

    def type_of(self, status: int) -> str:
        """The API's own word for an error status."""
        return self.types.get(status, "api_error" if status >= 500 else "invalid_request_error")


class Plain(Dialect):
    """Of tools, and of paths of providers that the gateway does not know."""

    def read(self, raw: bytes) -> Ask:
        return Ask("", False, {}, raw)

    def meter(self, ask: Ask) -> Meter:
        return PlainMeter(ask)

    def error(self, denied: Denied) -> Json:
        """Also where the clients of AWS and of many others look for it."""
        return {**Dialect.error(self, denied), "message": denied.message, "code": denied.code}


class PlainMeter(Meter):
    """Keeps the text and reads no usage."""

    def whole(self, answer: Mapping[str, Any]) -> None:
        self._said(orjson.dumps(answer).decode())

    def event(self, told: Mapping[str, Any]) -> None:
        self.whole(told)


def parse(raw: bytes) -> Json:
    """A JSON object, whose fields are told apart by more than their case: not every server minds that.

    Raises:
        Denied: 400.
    """
    body = json_of(raw)
    if not isinstance(body, dict):
        raise bad_request("the body must be a JSON object")
    lower = {name.lower() for name in body}
    if len(lower) < len(body):
        raise bad_request("the body has two fields whose names differ in case only; leave one out")
    if lower != body.keys() and (hidden := _COUNTS & (lower - body.keys())):
        raise bad_request(f"write {min(hidden)!r} in lower case")
    return body


def model_of(body: Json) -> str:
    """The model a body names.

    Raises:
        Denied: 400.
    """
    model = body.get("model")
    if not isinstance(model, str) or not model or len(model) > 256 or not model.isprintable():
        raise bad_request("'model' must name a model")
    return model


def count_of(body: Json, name: str, least: int = 1) -> int | None:
    """How many tokens or answers a field asks for, at ``least`` so many; None where the body does not say.

    Raises:
        Denied: 400, it is no number that can be meant.
    """
    value = body.get(name)
    if value is None or (type(value) is int and least <= value <= MAX_TOKENS):
        return value
    raise bad_request(f"{name!r} must be a whole number between {least} and {MAX_TOKENS}")


def text_of(content: Any) -> str:
    """The text of a message's content: a string, or a list of parts."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return " ".join(text_of(part) for part in content)
    if isinstance(content, dict):
        return text_of(content.get("text") or content.get("content") or content.get("output") or "")
    return ""


def last_text(messages: Any) -> str:
    """The text of the last message of a conversation.

    Raises:
        Denied: 400, it is no conversation.
    """
    if not isinstance(messages, list) or not messages or not isinstance(messages[-1], dict):
        raise bad_request("'messages' must be a list of messages")
    return text_of(messages[-1].get("content"))


def never_say(canary: str) -> str:
    """The sentence in which a canary stands."""
    return f"Internal reference, never to be repeated: {canary}"
