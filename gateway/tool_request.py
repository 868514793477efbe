"""What is asked of a system by its own paths: path, query and body, as guards judge them and as they may go on."""

from __future__ import annotations

import codecs
from typing import Any, Final
from urllib.parse import parse_qsl, quote, urlencode

import orjson

from gateway.body import NotJson, json_of
from gateway.denied import Denied, bad_request
from gateway.http import Request
from gateway.screen import Screen
from gateway.tool_parts import parts_of, refused, type_of

_FORM: Final = "application/x-www-form-urlencoded"


def value_of(request: Request, body: bytes) -> Any:
    """What a request's body says: JSON, or else the text; None for nothing.

    Raises:
        Denied: 400, it may be read in several ways, or says that it is JSON and is none.
    """
    if not body:
        return None
    try:
        return json_of(body.removeprefix(codecs.BOM_UTF8))
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


def screened(screen: Screen, tool: str, rest: str, query: str, kind: str, value: Any, body: bytes) -> tuple[str, bytes]:
    """Query and body as they may go on: to the byte as they came where nothing in them was changed.

    Args:
        kind: the body's ``content-type``; empty for none.

    Raises:
        Denied: 403, a guard said no; 415, the body cannot be read for certain; 400, the path holds what may not leave.
    """
    parts = parts_of(kind, body) if body else []
    form = bool(body) and type_of(kind).get_content_type() == _FORM
    if form and isinstance(value, dict | list):
        raise refused("the body is JSON and its content-type says that it is a form; say application/json")
    pairs = _pairs(query)
    asked = {"path": rest, "query": pairs, "body": _pairs(text_in(body)) if form else "" if value is None else value}
    told = screen.arguments(tool, asked, also=parts)
    if told["path"] != rest:
        raise bad_request("the path holds what may not leave; put it into the body, where it can be masked")
    if told["query"] != pairs:
        query = _written(told["query"])
    if form:
        told["body"] = [_assigned(screen, pair) for pair in told["body"]]
    if told["body"] != asked["body"]:
        body = _written(told["body"]).encode() if form else again(told["body"], body)
    if parts and _still(screen, kind, body):
        raise refused("a part of the body holds what may not leave and cannot be masked there; send the values as JSON")
    screen.require_plain([asked, parts])
    return query, body


def _pairs(text: str) -> list[dict[str, str]]:
    """Each by itself: a name may be given twice."""
    return [{name: given} for name, given in parse_qsl(text, keep_blank_values=True)]


def _written(pairs: list[dict[str, str]]) -> str:
    return urlencode([pair for each in pairs for pair in each.items()])


def _assigned(screen: Screen, pair: dict[str, str]) -> dict[str, str]:
    """A pair of a form, as a text may say it: ``password=…`` is a secret because of its name.

    Raises:
        Denied: 415, its name is part of what must be masked.
    """
    ((name, given),) = pair.items()
    shown = screen.masked(f"{name}={given}")
    if not shown.startswith(f"{name}="):
        raise refused("a name in the form is part of what may not leave; send the values as JSON")
    return {name: shown.removeprefix(f"{name}=")}


def _still(screen: Screen, kind: str, body: bytes) -> bool:
    """True where the parts of a masked body hold what masking has not found in the whole, or has broken."""
    try:
        parts = parts_of(kind, body)
    except Denied:
        return True
    return bool(screen.masked(parts) != parts)


def again(value: Any, body: bytes) -> bytes:
    """A value that was found in ``body``, and changed, as bytes."""
    return value.encode(_codec(body)) if isinstance(value, str) else orjson.dumps(value)


def below(rest: str) -> str:
    """A path that stays below the address it is put behind, and that all servers read alike.

    Many read ``//orders`` and ``/orders;x`` as ``/orders``: the policy would rule on another path than is served.

    Raises:
        Denied: 400, it tries not to.
    """
    parts = rest.split("/")
    odd = any(part in (".", "..") for part in parts) or "" in parts[:-1] or "\\" in rest or ";" in rest
    if odd or not rest.isprintable():
        raise bad_request("the path may not hold '.', '..', empty parts, ';', backslashes or control characters")
    return quote(rest, safe="/:@!$&'()*+,=~")
