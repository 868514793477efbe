"""When to try again: the schedule that Standard Webhooks recommend, counted from when a parcel was accepted.

So it is stored nowhere and survives every restart: the next attempt is at the first point of the schedule still ahead.
"""

from __future__ import annotations

import random
from itertools import accumulate
from typing import Final

PAUSES_S: Final = (0.0, 5.0, 300.0, 1_800.0, 7_200.0, 18_000.0, 36_000.0, 50_400.0, 72_000.0, 86_400.0)
"""At once, then after 5 s, 5 min, 30 min, 2 h, 5 h, 10 h, 14 h, 20 h and 24 h."""
MAX_AGE_S: Final = sum(PAUSES_S)
"""About three days: whoever did not take a parcel by then does not get it."""
_JITTER: Final = 0.1


def next_attempt(accepted: float, now: float) -> float | None:
    """When a parcel that failed at ``now`` is tried again, up to a tenth of its pause late; None when it never is."""
    accepted = min(accepted, now)  # a clock that stepped back holds up nothing
    for pause, at in zip(PAUSES_S, accumulate(PAUSES_S), strict=True):
        if accepted + at > now:
            return accepted + at + random.uniform(0.0, _JITTER) * pause
    return None
