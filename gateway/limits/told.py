"""What the quota tells about itself."""

import logging
from typing import Final

from fusebox.happenings import declare

QUOTA_STORE_AWAY: Final = declare(
    "quota_store_away", logging.ERROR, "the quota's store did not answer; this process admits within its own share"
)
QUOTA_STORE_BACK: Final = declare("quota_store_back", logging.WARNING, "the quota's store answers again")
QUOTA_LOCAL: Final = declare(
    "quota_local", logging.INFO, "a call was admitted or refused by this process's own share, the store being away"
)
QUOTA_LOST: Final = declare(
    "quota_lost", logging.ERROR, "the quota's store lost its rows; this process told it what it has used itself"
)
QUOTA_FORGOTTEN: Final = declare(
    "quota_forgotten", logging.DEBUG,
    "a process no longer knows what it used of a limit: of too many, the one that was silent longest; the store does",
)  # fmt: skip
QUOTA_EXPIRED: Final = declare(
    "quota_expired", logging.WARNING, "reservations of workers that died ended with their leases, spent in full"
)
QUOTA_LATE: Final = declare(
    "quota_late", logging.WARNING, "a settlement came after its lease was over: the call stays counted in full"
)
