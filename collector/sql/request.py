"""Reading a request of ClickHouse's HTTP interface: who, the statement, parameters, settings, formats."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any, Final
from urllib.parse import parse_qsl

from collector.sql import settings
from collector.sql.encoding import MAX_STATEMENT, decoded, unblocked
from collector.sql.errors import BAD_ARGUMENTS, QUERY_IS_TOO_LARGE, SESSION_NOT_FOUND, StatementRefused

_PARAMETER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OURS: Final = frozenset({"query", "default_format", "database", "query_id", "user", "password"})
_OFF: Final = ("", "0", "false")


@dataclass(frozen=True, slots=True)
class Request:
    """A statement and what came with it."""

    text: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    """Values in the escaping in which they travel."""
    format: str = "TabSeparated"
    database: str = ""
    query_id: str = ""
    settings: Mapping[str, str] = field(default_factory=dict)
    blocks: bool = False
    """The answer goes out in ClickHouse's own compressed blocks."""
    progress: bool = False
    """The client wants to be told of progress in headers."""


def credentials(scope: MutableMapping[str, Any], headers: Mapping[str, str]) -> tuple[str, str]:
    """User and password: from ClickHouse's headers, from Basic or Bearer, or from the URL; empty when there are none.

    Raises:
        StatementRefused: the ``Authorization`` is neither.
    """
    if "x-clickhouse-user" in headers or "x-clickhouse-key" in headers:
        return headers.get("x-clickhouse-user", ""), headers.get("x-clickhouse-key", "")
    scheme, _, rest = headers.get("authorization", "").strip().partition(" ")
    if scheme.lower() == "bearer":
        return "", rest.strip()
    if scheme.lower() == "basic":
        return _basic(rest)
    fields = _url_fields(scope)
    return fields.get("user", ""), fields.get("password", "")


async def read_request(
    scope: MutableMapping[str, Any],
    headers: Mapping[str, str],
    receive: Callable[[], Awaitable[Mapping[str, Any]]],
) -> Request:
    """The request, from the URL and the body (which goes behind the URL's ``query``, as with ClickHouse).

    Raises:
        StatementRefused: it asks for something this port does not do.
    """
    body = decoded(await _body(receive), headers.get("content-encoding", ""))
    fields = _url_fields(scope)
    if fields.get("decompress", "") not in _OFF:
        body = unblocked(body)
    kind = headers.get("content-type", "")
    if kind.startswith("multipart/form-data"):
        fields, body = {**fields, **_form_fields(kind, body)}, b""
    text = "\n".join(part for part in (fields.get("query", ""), _text(body)) if part)
    try:
        return _judged(text, fields, headers)
    except StatementRefused as error:
        error.statement = text
        raise


def _judged(text: str, fields: Mapping[str, str], headers: Mapping[str, str]) -> Request:
    _check_session(fields)
    return Request(
        text=text,
        parameters=_parameters(fields),
        format=fields.get("default_format") or headers.get("x-clickhouse-format") or "TabSeparated",
        database=fields.get("database") or headers.get("x-clickhouse-database", ""),
        query_id=re.sub(r"[^\w.:-]", "", fields.get("query_id", ""), flags=re.ASCII)[:100],
        settings=settings.judge({k: v for k, v in fields.items() if k not in _OURS and not k.startswith("param_")}),
        blocks=fields.get("compress", "") not in _OFF,
        progress=fields.get("send_progress_in_http_headers", "") not in _OFF,
    )


def _basic(text: str) -> tuple[str, str]:
    try:
        user, _, password = base64.b64decode(text, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError) as error:
        raise StatementRefused("the Authorization header is no Basic authentication", BAD_ARGUMENTS) from error
    return user, password


def _check_session(fields: Mapping[str, str]) -> None:
    """Drivers name a session of their own accord; one without temporary tables and ``SET`` is like none."""
    if fields.get("session_check", "") not in _OFF:
        raise StatementRefused("this port keeps no sessions, so none is there to be checked", SESSION_NOT_FOUND)


def _parameters(fields: Mapping[str, str]) -> dict[str, str]:
    found = {name[6:]: value for name, value in fields.items() if name.startswith("param_")}
    for name in found:
        if not _PARAMETER.fullmatch(name):
            raise StatementRefused(f"param_{name[:100]} is not a parameter's name", BAD_ARGUMENTS)
    return found


def _url_fields(scope: Mapping[str, Any]) -> dict[str, str]:
    try:
        fields = dict(parse_qsl(scope["query_string"].decode("ascii"), keep_blank_values=True, errors="strict"))
    except (ValueError, UnicodeDecodeError) as error:
        raise StatementRefused("the URL is not valid UTF-8", BAD_ARGUMENTS) from error
    return fields


def _form_fields(kind: str, body: bytes) -> dict[str, str]:
    """What a form carries: drivers send one when the parameters are too long for a URL."""
    message = BytesParser(policy=HTTP).parsebytes(b"Content-Type: " + kind.encode() + b"\r\n\r\n" + body)
    fields = {}
    for part in message.iter_parts():
        name = part.get_param("name", header="content-disposition")
        if not isinstance(name, str) or part.get_filename():
            raise StatementRefused("external data is not available here", BAD_ARGUMENTS)
        payload = part.get_payload(decode=True)
        fields[name] = _text(payload if isinstance(payload, bytes) else b"")
    return fields


async def _body(receive: Callable[[], Awaitable[Mapping[str, Any]]]) -> bytes:
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > MAX_STATEMENT:
            raise StatementRefused(f"a statement may have {MAX_STATEMENT} bytes at most", QUERY_IS_TOO_LARGE)
        if not message.get("more_body"):
            return bytes(body)


def _text(body: bytes) -> str:
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError as error:
        if body[:6].upper() == b"INSERT":  # the gate says no to it in its own words
            return body.partition(b"\n")[0].decode("utf-8", "replace")
        raise StatementRefused("the statement is not valid UTF-8", BAD_ARGUMENTS) from error
