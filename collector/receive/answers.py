"""Answers in OTLP's shapes: the export response, and ``google.rpc.Status`` for refusals."""

from __future__ import annotations

from google.protobuf.duration_pb2 import Duration
from google.protobuf.json_format import MessageToJson
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status

from collector.receive.decode import Encoding
from collector.receive.intake import Answer
from collector.receive.refusal import Refusal
from collector.receive.signals import Signal


def response(answer: Answer, signal: Signal) -> Message:
    """The export response; ``partial_success`` is set only when something was left out."""
    message: Message = signal.response()
    if answer.rejected:
        partial = message.partial_success
        setattr(partial, signal.rejected, answer.rejected)
        partial.error_message = answer.message
    return message


def status(refusal: Refusal) -> Status:
    """The status of a refusal, with ``RetryInfo`` when trying again makes sense."""
    message = Status(code=refusal.why.grpc, message=str(refusal))
    if refusal.why.retry_after:
        message.details.add().Pack(RetryInfo(retry_delay=Duration(seconds=refusal.why.retry_after)))
    return message


def encoded(message: Message, encoding: Encoding) -> bytes:
    """The bytes of an answer in the encoding of its request."""
    if encoding is Encoding.JSON:
        return str(MessageToJson(message, indent=None)).encode()
    return bytes(message.SerializeToString())
