"""Points in time on a command line: ``90s``, ``30m``, ``24h``, ``7d`` ago, or an ISO date or time (UTC)."""

from __future__ import annotations

import argparse
import re
from datetime import UTC, datetime
from typing import Final

from fusebox.clock import system_clock

_AGO: Final = re.compile(r"(\d+(?:\.\d+)?)([smhd])")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
FORMS: Final = "30m, 24h or 7d ago, or a UTC time as 2026-01-31T12:00"


def moment(text: str) -> float:
    """Unix seconds, for ``add_argument(type=moment)``."""
    ago = _AGO.fullmatch(text)
    if ago:
        return system_clock().now() - float(ago[1]) * _SECONDS[ago[2]]
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no time; write {FORMS}") from None
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()


def utc(seconds: float) -> str:
    """A time for people."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")
