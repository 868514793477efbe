"""What the database remembers: named queries on the SQL port of *keep*. No SQL here."""

from __future__ import annotations

from typing import Any

from dashboards.view import Trip
from fusebox.config import Config
from fusebox.errors import Retryable


class KeepUnavailable(Retryable):
    """The SQL port of *keep* did not answer."""


def evidence(config: Config, token: str, trip: Trip) -> list[dict[str, Any]]:
    raise KeepUnavailable("keep is not running; start it with 'fusebox up'")


def tokens_by_minute(config: Config, token: str, minutes: int) -> list[dict[str, Any]]:
    raise KeepUnavailable("keep is not running; start it with 'fusebox up'")
