"""Reading a request of ClickHouse's HTTP interface: statement, parameters, format."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any, Final
from urllib.parse import parse_qsl

from collector.keep.gate import BAD_ARGUMENTS, StatementRefused

_MAX_BODY: Final = 1 << 20
_PARAMETER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_READONLY: Final = 164
# What clients send as a matter of course and what changes nothing about a read.
_WITHOUT_EFFECT: Final = frozenset(
    {
        "user", "password", "session_id", "session_timeout", "session_check", "quota_key", "role", "compress",
        "decompress", "enable_http_compression", "http_zlib_compression_level", "wait_end_of_query", "buffer_size",
        "send_progress_in_http_headers", "http_headers_progress_interval_ms", "client_protocol_version",
        "add_http_cors_header", "log_queries", "readonly", "max_execution_time", "max_result_rows", "max_result_bytes",
        "result_overflow_mode", "cancel_http_readonly_queries_on_client_close",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Request:
    """A statement and what came with it."""

    text: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    """Values in the escaping in which they travel."""
    format: str = "TabSeparated"
    database: str = ""
    query_id: str = ""


async def read_request(
    scope: MutableMapping[str, Any],
    headers: Mapping[str, str],
    receive: Callable[[], Awaitable[Mapping[str, Any]]],
) -> Request:
    """The request, from the URL and the body (which goes behind the URL's ``query``, as with ClickHouse).

    Raises:
        StatementRefused: it asks for something this port does not do.
    """
    if headers.get("content-encoding", "identity") != "identity":
        raise StatementRefused("send the statement uncompressed", BAD_ARGUMENTS)
    body = await _body(receive)
    fields = _url_fields(scope)
    kind = headers.get("content-type", "")
    if kind.startswith("multipart/form-data"):
        fields, body = {**fields, **_form_fields(kind, body)}, b""
    for name, value in fields.items():
        _check_field(name, value)
    query, text = fields.pop("query", ""), _text(body)
    return Request(
        text="\n".join(part for part in (query, text) if part),
        parameters={name[6:]: value for name, value in fields.items() if name.startswith("param_")},
        format=fields.get("default_format") or headers.get("x-clickhouse-format") or "TabSeparated",
        database=fields.get("database") or headers.get("x-clickhouse-database", ""),
        query_id=re.sub(r"[^\w.:-]", "", fields.get("query_id", ""))[:100],
    )


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


def _check_field(name: str, value: str) -> None:
    if name.startswith("param_"):
        if not _PARAMETER.fullmatch(name[6:]):
            raise StatementRefused(f"{name} is not a parameter's name", BAD_ARGUMENTS)
    elif name in ("compress", "decompress") and value not in ("", "0"):
        raise StatementRefused(f"{name}=1 is not available here; use Accept-Encoding: gzip", BAD_ARGUMENTS)
    elif name not in _WITHOUT_EFFECT and name not in ("query", "default_format", "database", "query_id"):
        raise StatementRefused(f"Cannot modify '{name}' setting in readonly mode", _READONLY)


async def _body(receive: Callable[[], Awaitable[Mapping[str, Any]]]) -> bytes:
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > _MAX_BODY:
            raise StatementRefused(f"a statement may have {_MAX_BODY} bytes at most", BAD_ARGUMENTS)
        if not message.get("more_body"):
            return bytes(body)


def _text(body: bytes) -> str:
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise StatementRefused("the statement is not valid UTF-8", BAD_ARGUMENTS) from error
