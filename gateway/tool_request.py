"""What is asked of a system by its own paths: path, query and body, as guards judge them and as they may go on."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

import orjson

from gateway.body import NotJson, json_of
from gateway.denied import bad_request
from gateway.http import Request
from gateway.screen import Screen


def value_of(request: Request, body: bytes) -> Any:
    """What a request's body says: JSON, or else the text; None for nothing.

    Raises:
        Denied: 400, it may be read in several ways, or says that it is JSON and is none.
    """
    if not body:
        return None
    try:
        return json_of(body)
    except NotJson:
        if "json" in request.headers.get("content-type", "").lower():
            raise
        return text_in(body)


def text_in(body: bytes) -> str:
    """A body that is no JSON; every byte of it can be told from the text, whatever the body is."""
    return body.decode(_codec(body))


def _codec(body: bytes) -> str:
    try:
        body.decode()
    except UnicodeDecodeError:
        return "latin-1"
    return "utf-8"


def query_of(request: Request) -> dict[str, str | list[str]]:
    """The query's values; a list where a name is given more than once, since systems differ on which one counts."""
    found: dict[str, list[str]] = {}
    for name, value in parse_qsl(request.query, keep_blank_values=True):
        found.setdefault(name, []).append(value)
    return {name: values[0] if len(values) == 1 else values for name, values in found.items()}


def screened(screen: Screen, tool: str, rest: str, query: str, value: Any, body: bytes) -> tuple[str, bytes]:
    """Query and body as they may go on: to the byte as they came where nothing in them was changed.

    Raises:
        Denied: 403, a guard said no.
    """
    pairs = [{name: given} for name, given in parse_qsl(query, keep_blank_values=True)]  # one may be given twice
    asked = {"path": rest, "query": pairs, "body": "" if value is None else value}
    told = screen.arguments(tool, asked)
    if told["path"] != rest:
        raise bad_request("the path holds what may not leave; put it into the body, where it can be masked")
    if told["query"] != pairs:
        query = urlencode([pair for each in told["query"] for pair in each.items()])
    return query, body if told["body"] == asked["body"] else again(told["body"], body)


def again(value: Any, body: bytes) -> bytes:
    """A value that was found in ``body``, and changed, as bytes."""
    return value.encode(_codec(body)) if isinstance(value, str) else orjson.dumps(value)


def below(rest: str) -> str:
    """A path that stays below the address it is put behind, also for servers that drop ``;parameters`` of its parts.

    Raises:
        Denied: 400, it tries not to.
    """
    parts = rest.split("/")
    if any(part.partition(";")[0] in (".", "..") for part in parts) or "\\" in rest or not rest.isprintable():
        raise bad_request("the path may not hold '.', '..', backslashes or control characters")
    return quote(rest, safe="/:@!$&'()*+,;=~")
