"""What a page looks at: a period and words, kept in the address."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import streamlit as st

from fusebox.clock import Clock

KEY: Final = "period"
LENGTHS: Final = {"15 min": 900, "1 h": 3_600, "6 h": 21_600, "24 h": 86_400, "7 d": 604_800, "30 d": 2_592_000}
DEFAULT: Final = "1 h"


@dataclass(frozen=True, slots=True)
class Period:
    """From ``since`` to before ``until``, Unix seconds."""

    since: float
    until: float
    label: str


def choose(clock: Clock) -> Period:
    """Draw the choice and return what is chosen, up to now."""
    label = st.segmented_control("Period", list(LENGTHS), default=DEFAULT, key=KEY, bind="query-params", required=True)
    until = clock.now()
    return Period(until - LENGTHS[label], until, label)


def typed(label: str, key: str, width: int = 200, placeholder: str | None = None) -> str:
    """A field for a word, kept in the address; empty when nothing was typed."""
    found = st.text_input(label, key=key, bind="query-params", width=width, placeholder=placeholder)
    return (found or "").strip()
