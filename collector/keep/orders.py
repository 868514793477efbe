"""The files by which ``fusebox collector`` and *keep* speak; :mod:`collector.keep.replay` tells their format.

Each order has files of its own: one that is laid down while another is carried out is neither lost nor mixed up.
"""

from pathlib import Path
from typing import Final

LETTERS: Final = f"{'[0-9a-f]' * 64}.json"
"""Dead letters themselves; an earlier Fusebox left its orders and answers beside them as ``.json``, too."""
ORDERS: Final = "*.order"
ANSWERS: Final = "*.answer"


def order_of(folder: Path, id: str) -> Path:
    """The file of an order."""
    return folder / f"{id}.order"


def answer_to(folder: Path, id: str) -> Path:
    """The file of its answer."""
    return folder / f"{id}.answer"
