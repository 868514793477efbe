"""What the engine answers when it does not do what it was told, by what *keep* does about it."""

from __future__ import annotations

from typing import Final

from clickhouse_connect.driver.exceptions import ClickHouseError, Error

from fusebox.errors import FuseboxError, Retryable

# Codes that say something about the engine's day and nothing about the statement or its data.
_PASSING: Final = frozenset(
    {
        74, 75, 76, 77, 87, 88, 172, 204, 294, 400, 458, 531, 586,  # cannot read, write, open, sync … a file
        1000, 1001, 1002,  # what the libraries below say, above all of files and folders
        95, 96, 159, 160, 202, 203, 209, 210, 279,  # timeouts, too many queries, network
        173, 201, 700, 745, 749, 762, 776, 777, 778, 1019, 1020,  # memory, quota, connections, load
        236, 242, 243, 252, 319, 384, 394, 425, 439, 473, 499, 774,  # aborted, read-only, no space, too many parts …
        164, 192, 193, 194, 497, 516, 720,  # unknown user, wrong password, access denied
        225, 244, 285, 289, 999,  # Keeper and replicas
    }
)  # fmt: skip
OUT_OF_MEMORY: Final = 241


class EngineDown(Retryable):
    """The engine cannot work now; the same statement may succeed later."""


class EngineRefused(FuseboxError):
    """The engine read the statement or its data and said no.

    Attributes:
        code: ClickHouse's error code, 0 when unknown.
    """

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


def sorted_out(error: ClickHouseError) -> EngineDown | EngineRefused:
    """The driver's error as one of ours."""
    code = error.code if isinstance(error, Error) else None
    if code is None or code in _PASSING:
        return EngineDown(str(error))
    return EngineRefused(str(error), code)
