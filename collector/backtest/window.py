"""Times as people write them: ``24h``, ``7d``, ``2026-03-01``, ``2026-03-01T12:00:00Z``."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

from fusebox.errors import ConfigError

_AGO: Final = re.compile(r"(\d+(?:\.\d+)?)([smhdw])")
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def moment(text: str, now: float) -> float:
    """Unix seconds of a time, or of so long ago.

    Raises:
        ConfigError: it is neither.
    """
    ago = _AGO.fullmatch(text)
    if ago:
        return now - float(ago[1]) * _UNITS[ago[2]]
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"{text!r} is no time; write 24h, 7d, 2026-03-01 or 2026-03-01T12:00:00Z") from None
    return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()
