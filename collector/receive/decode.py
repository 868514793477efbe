"""From bytes to an ``ExportTraceServiceRequest``: protobuf, or OTLP's dialect of JSON (whose ids are hex)."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from enum import StrEnum
from typing import Any

from google.protobuf.json_format import ParseDict, ParseError
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from collector.receive.refusal import Refusal, Why


class Encoding(StrEnum):
    """The two encodings of OTLP, named by their content types."""

    PROTOBUF = "application/x-protobuf"
    JSON = "application/json"


def encoding_of(content_type: str) -> Encoding:
    """The encoding a ``Content-Type`` names.

    Raises:
        Refusal: it is neither of the two.
    """
    try:
        return Encoding(content_type.partition(";")[0].strip().lower())
    except ValueError:
        raise Refusal(
            Why.UNSUPPORTED, f"Content-Type {content_type[:50]!r} is neither {Encoding.PROTOBUF} nor {Encoding.JSON}"
        ) from None


def decode(body: bytes, encoding: Encoding) -> ExportTraceServiceRequest:
    """Parse a request.

    Raises:
        Refusal: the body is not a trace export request in that encoding.
    """
    try:
        return ExportTraceServiceRequest.FromString(body) if encoding is Encoding.PROTOBUF else _from_json(body)
    except (DecodeError, ParseError, ValueError, TypeError, AttributeError, RecursionError) as error:
        text = f"the body is not an OTLP trace request in {encoding}: {error}"
        raise Refusal(Why.MALFORMED, text.encode(errors="replace").decode()[:300]) from error


def _from_json(body: bytes) -> ExportTraceServiceRequest:
    data = json.loads(body)
    for item in _with_ids(data):
        for name in ("traceId", "spanId", "parentSpanId"):
            if name in item:
                item[name] = _base64_of_hex(item[name])
    request = ExportTraceServiceRequest()
    ParseDict(data, request, ignore_unknown_fields=True)
    return request


def _with_ids(data: Any) -> Iterator[dict[str, Any]]:
    """Every object that carries ids: spans and their links."""
    for resource in data.get("resourceSpans") or ():
        for scope in resource.get("scopeSpans") or ():
            for span in scope.get("spans") or ():
                yield span
                yield from span.get("links") or ()


def _base64_of_hex(value: object) -> str:
    """A wrong id becomes an empty one: it costs its span, not the whole request."""
    try:
        return base64.b64encode(bytes.fromhex(str(value or ""))).decode()
    except ValueError:
        return ""
