"""Handlers: a function, the routing keys it takes, and the type its payload must have.

The annotation of the handler's first parameter is the contract: a pydantic model (or any type pydantic validates),
``bytes`` or ``str`` for the raw body, nothing for whatever JSON says. A message that does not fit never reaches the
function.
"""

from __future__ import annotations

import inspect
import json
import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError

from fusebox.errors import BadMessage, ConfigError
from fusebox.toml_file import explain
from rabbitmq.retry import NEVER, Retry

Function = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Handler:
    """One ``@agent.on`` function."""

    key: str
    function: Function
    decode: Callable[[bytes], Any]
    is_async: bool
    retry: Retry = NEVER


def make_handler(key: str, function: Function, retry: Retry = NEVER) -> Handler:
    """Inspect ``function`` and build its handler.

    Raises:
        ConfigError: it does not take exactly ``(payload, ctx)``.
    """
    parameters = list(inspect.signature(function).parameters.values())
    if len(parameters) != 2:
        raise ConfigError(f"{function.__qualname__} must take (payload, ctx), not {len(parameters)} parameters")
    hints = typing.get_type_hints(function)
    wanted = hints.get(parameters[0].name, Any)
    return Handler(key, function, _decoder(wanted), inspect.iscoroutinefunction(function), retry)


def encode(payload: object) -> bytes:
    """The body of an outgoing payload: bytes and str as they are, pydantic models and data as JSON.

    Raises:
        BadMessage: the payload has no JSON form.
    """
    if isinstance(payload, bytes):
        return payload
    if isinstance(payload, str):
        return payload.encode()
    try:
        return TypeAdapter(Any).dump_json(payload)
    except ValueError as error:
        raise BadMessage(f"payload of type {type(payload).__name__} has no JSON form: {error}") from error


def _decoder(wanted: Any) -> Callable[[bytes], Any]:
    if wanted is bytes:
        return lambda body: body
    if wanted is str:
        return _text
    if wanted is Any:
        return _json
    adapter = TypeAdapter(wanted)

    def validate(body: bytes) -> Any:
        try:
            return adapter.validate_json(body)
        except ValidationError as error:
            raise BadMessage(f"message does not fit {_name(wanted)}: {explain(error)}") from error

    return validate


def _name(wanted: Any) -> str:
    return wanted.__name__ if isinstance(wanted, type) else str(wanted)


def _text(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise BadMessage(f"message is not UTF-8: {error}") from error


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadMessage(f"message is not JSON: {error}") from error
