"""The one error the control API answers with: a status and a sentence that names the fix."""

from __future__ import annotations

from typing import Final

from fusebox.errors import FuseboxError

BAD_REQUEST: Final = 400
UNAUTHORISED: Final = 401
FORBIDDEN: Final = 403
NOT_FOUND: Final = 404
CONFLICT: Final = 409
TOO_MANY: Final = 429
UNAVAILABLE: Final = 503


class Refusal(FuseboxError):
    """A call of the control protocol that is not done.

    Attributes:
        status: HTTP status of the answer; the text is its ``error``.
    """

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status
