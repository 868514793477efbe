"""Errors in ClickHouse's words: a code, a sentence, the code's name, and the HTTP status a server answers with.

The statuses are those of ``exceptionCodeToHTTPStatus.cpp`` in ClickHouse's source, with two exceptions that tell a
client to come back: 202 is 503 and 201 is 429 (a server says 500 for both).
"""

from __future__ import annotations

import re
from typing import Final

from fusebox.errors import FuseboxError

BAD_ARGUMENTS: Final = 36
UNKNOWN_FORMAT: Final = 73
UNKNOWN_DATABASE: Final = 81
TIMEOUT_EXCEEDED: Final = 159
QUERY_IS_TOO_LARGE: Final = 229
READONLY: Final = 164
QUOTA_EXCEEDED: Final = 201
TOO_MANY_QUERIES: Final = 202
SOCKET_TIMEOUT: Final = 209
MEMORY_LIMIT_EXCEEDED: Final = 241
SESSION_NOT_FOUND: Final = 372
ACCESS_DENIED: Final = 497
AUTHENTICATION_FAILED: Final = 516
ABORTED: Final = 236

_NAMES: Final = {
    BAD_ARGUMENTS: "BAD_ARGUMENTS", UNKNOWN_FORMAT: "UNKNOWN_FORMAT",
    UNKNOWN_DATABASE: "UNKNOWN_DATABASE", TIMEOUT_EXCEEDED: "TIMEOUT_EXCEEDED", READONLY: "READONLY",
    QUERY_IS_TOO_LARGE: "QUERY_IS_TOO_LARGE", QUOTA_EXCEEDED: "QUOTA_EXCEEDED",
    TOO_MANY_QUERIES: "TOO_MANY_SIMULTANEOUS_QUERIES", SOCKET_TIMEOUT: "SOCKET_TIMEOUT",
    MEMORY_LIMIT_EXCEEDED: "MEMORY_LIMIT_EXCEEDED", SESSION_NOT_FOUND: "SESSION_NOT_FOUND",
    ACCESS_DENIED: "ACCESS_DENIED", AUTHENTICATION_FAILED: "AUTHENTICATION_FAILED", ABORTED: "ABORTED",
}  # fmt: skip
_STATUS: Final = {
    **dict.fromkeys((6, 8, 15, 25, 26, 27, 36, 37, 38, 41, 44, 53, 62, 72, 117, 123, 167, 168, 223, 321), 400),
    **dict.fromkeys((376, 427, 441, 675, 676), 400),
    **dict.fromkeys((192, 193, 497, 512, 516), 403),
    **dict.fromkeys((46, 47, 50, 56, 60, 63, 73, 78, 81, 115, 152, 336, 511), 404),
    **dict.fromkeys((76, 202, 209, 439), 503),
    48: 501, 159: 408, 194: 401, 201: 429, 229: 413, 381: 411, 779: 415,
}  # fmt: skip
_CODE: Final = re.compile(r"\s*Code: (\d+)\.")


class StatementRefused(FuseboxError):
    """A statement, or a client, that may not do this here.

    Attributes:
        code: the ClickHouse error code a client is shown.
        statement: the statement, where it was read and what came with it is at fault.
    """

    def __init__(self, message: str, code: int = ACCESS_DENIED) -> None:
        super().__init__(message)
        self.code = code
        self.statement = ""


class EngineError(FuseboxError):
    """The engine's own error: the text is ClickHouse's.

    Attributes:
        code: its ClickHouse error code; 0 when it has none.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text)
        match = _CODE.match(text)
        self.code = int(match[1]) if match else 0


def status_of(code: int) -> int:
    """The HTTP status that belongs to a ClickHouse error code."""
    return _STATUS.get(code, 500)


def sentence(code: int, message: str, version: str = "") -> str:
    """The body of an error, as a server words it; drivers read code and name out of it."""
    text = message.strip()
    if not _CODE.match(text):
        text = f"Code: {code}. DB::Exception: {text}. ({_NAMES.get(code, 'FUSEBOX')})"
    named = not version or "(version " in text
    return f"{text}\n" if named else f"{text} (version {version} (official build))\n"
