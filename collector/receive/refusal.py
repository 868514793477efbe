"""Why a request is not taken, once for both doors."""

from __future__ import annotations

import logging
from enum import Enum
from typing import Final

from fusebox import happenings

REFUSED: Final = happenings.declare("requests_refused", logging.INFO, "telemetry requests answered with an error")
FAILED: Final = happenings.declare("requests_failed", logging.ERROR, "telemetry requests that met a fault of ours")


class Why(Enum):
    """Kinds of refusal: HTTP status, gRPC status code, seconds after which a retry makes sense (0 = never)."""

    MALFORMED = (400, 3, 0)
    UNAUTHENTICATED = (401, 16, 0)
    NOT_FOUND = (404, 12, 0)
    WRONG_METHOD = (405, 12, 0)
    TOO_SLOW = (408, 4, 1)
    TOO_LARGE = (413, 3, 0)
    UNSUPPORTED = (415, 3, 0)
    BUSY = (429, 8, 1)
    INTERNAL = (500, 13, 0)
    FULL = (503, 8, 5)
    UNAVAILABLE = (503, 14, 5)

    def __init__(self, http: int, grpc: int, retry_after: int) -> None:
        self.http = http
        self.grpc = grpc
        self.retry_after = retry_after


class Refusal(Exception):
    """A request is not taken; the text is for its sender."""

    def __init__(self, why: Why, sentence: str) -> None:
        super().__init__(sentence)
        self.why = why


def no_token() -> Refusal:
    """The refusal of a request that nobody vouches for (a new one each time: a raised exception keeps its frames)."""
    return Refusal(
        Why.UNAUTHENTICATED,
        "no valid token; send 'Authorization: Bearer <token>' with the token in data_dir/agent.token or one made by "
        "'fusebox tokens add NAME --agent ID' (OpenTelemetry exporters: set "
        "OTEL_EXPORTER_OTLP_HEADERS=authorization=Bearer%20<token>)",
    )
