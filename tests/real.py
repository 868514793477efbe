"""Real servers that tests are given by address, kept out of the settings of what is tested."""

import os
from typing import Final

_KEPT: Final = "TESTED_CLICKHOUSE_URL"

if address := os.environ.pop("FUSEBOX_CLICKHOUSE_URL", ""):
    os.environ[_KEPT] = address  # for the processes that run tests beside this one

CLICKHOUSE: Final = os.environ.get(_KEPT, "")
"""``http://user:password@host:port`` of a ClickHouse server, on which tests make databases of their own; or empty."""
