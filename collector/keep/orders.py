"""The files by which ``fusebox collector`` and *keep* speak; :mod:`collector.keep.replay` tells their format.

Each order has files of its own: one that is laid down while another is carried out is neither lost nor mixed up.
"""

from pathlib import Path
from typing import Final

ORDERS: Final = "*.order"
ANSWERS: Final = "*.answer"


def order_of(folder: Path, id: str) -> Path:
    """The file of an order."""
    return folder / f"{id}.order"


def answer_to(folder: Path, id: str) -> Path:
    """The file of its answer."""
    return folder / f"{id}.answer"
