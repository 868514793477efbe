"""AWS Bedrock: Anthropic's Messages API behind SigV4, and streams in AWS's binary event format.

botocore signs and decodes; it does not send, so streams and deadlines are the same as with every other provider.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

import botocore.session
import orjson
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.eventstream import EventStreamBuffer, ParserError

from fusebox.errors import ConfigError
from gateway.denied import bad_request
from gateway.dialects import Ask, Dialect, TokenCount, Wire
from gateway.providers.base import Adapter, Frames, Headers, Outgoing
from gateway.providers.translation import Translation
from gateway.sse import event
from gateway.upstream_settings import Provider

_VERSION: Final = "bedrock-2023-05-31"
_ERRORS: Final = {
    "throttlingException": "rate_limit_error", "validationException": "invalid_request_error",
    "serviceUnavailableException": "overloaded_error",
}  # fmt: skip
"""What Anthropic calls that of which AWS tells within a stream."""
_ELSEWHERE: Final = frozenset({"model", "stream"})
"""Fields that stand in the path here."""


class Bedrock(Adapter):
    """Claude models on Bedrock.

    Raises:
        ConfigError: the AWS SDK finds no credentials.
    """

    wire = Wire.ANTHROPIC
    _model_in_path = re.compile(r"(?:^|/)model/+([^/]+)")

    def __init__(self, name: str, settings: Provider) -> None:
        super().__init__(name, settings, "")
        self._credentials = botocore.session.get_session().get_credentials()
        if self._credentials is None:
            raise ConfigError(
                f"providers.{name}: no AWS credentials; set AWS_PROFILE, or AWS_ACCESS_KEY_ID and …_SECRET_…"
            )

    def translation(self, dialect: Dialect) -> Translation:
        if isinstance(dialect, TokenCount):
            raise bad_request(f"provider {self.name} does not count tokens; ask its models at /v1/messages")
        return super().translation(dialect)

    def frames(self) -> Frames:
        return BedrockFrames()

    def _body(self, body: Mapping[str, Any], ask: Ask, model: str, client: Headers) -> bytes:  # noqa: ARG002
        betas = client.get("anthropic-beta")  # a header elsewhere
        told = {"anthropic_beta": [each.strip() for each in betas.split(",")]} if betas else {}
        kept = {name: value for name, value in body.items() if name not in _ELSEWHERE}
        return orjson.dumps({"anthropic_version": _VERSION, **told, **kept})

    def _place(self, path: str, model: str, ask: Ask) -> str:  # noqa: ARG002 - the hook's
        verb = "invoke-with-response-stream" if ask.stream else "invoke"
        return f"{self.settings.home}/model/{quote(model, safe='')}/{verb}"

    def _sealed(self, method: str, url: str, body: bytes, client: Headers) -> Outgoing:  # noqa: ARG002 - Anthropic's
        plain = super()._sealed(method, url, body, {})
        request = AWSRequest(method, url, headers={"content-type": "application/json"}, data=body)
        SigV4Auth(self._credentials.get_frozen_credentials(), "bedrock", self.settings.region).add_auth(request)
        return Outgoing(method, url, {**plain.headers, **dict(request.headers.items())}, body)


class BedrockFrames:
    """AWS event stream (``application/vnd.amazon.eventstream``) to Anthropic's events."""

    def __init__(self) -> None:
        self._buffer = EventStreamBuffer()

    def feed(self, chunk: bytes) -> list[bytes]:
        """The events whose frames end in ``chunk``.

        Raises:
            ValueError: it is damaged, or something else.
        """
        self._buffer.add_data(chunk)
        try:
            return [_event(message.headers, message.payload) for message in self._buffer]
        except ParserError as error:
            raise ValueError(f"{type(error).__name__}: no frame of an AWS event stream") from error

    def end(self) -> list[bytes]:
        return []  # half a frame is none


def _event(headers: Mapping[str, Any], payload: bytes) -> bytes:
    told = orjson.loads(payload) if payload else {}
    if headers.get(":message-type") == "event":
        inner = orjson.loads(base64.b64decode(told["bytes"]))
        return event(inner, str(inner.get("type", "")))
    kind = str(headers.get(":exception-type"))
    error = {"type": _ERRORS.get(kind, "api_error"), "message": str(told.get("message") or kind)}
    return event({"type": "error", "error": error}, "error")
