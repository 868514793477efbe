"""What a page looks at: a period and words, kept in the address."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import streamlit as st

KEY: Final = "period"
LENGTHS: Final = {"15 min": 900, "1 h": 3_600, "6 h": 21_600, "24 h": 86_400, "7 d": 604_800, "30 d": 2_592_000}
DEFAULT: Final = "1 h"


@dataclass(frozen=True, slots=True)
class Period:
    """The last ``length_s`` seconds, whenever it is asked."""

    label: str

    @property
    def length_s(self) -> float:
        return LENGTHS[self.label]


def choose() -> Period:
    """Draw the choice and return what is chosen."""
    label = st.segmented_control("Period", list(LENGTHS), default=DEFAULT, key=KEY, bind="query-params", required=True)
    return Period(label)


def typed(label: str, key: str, width: int = 200, placeholder: str | None = None) -> str:
    """A field for a word, kept in the address; empty when nothing was typed."""
    found = st.text_input(label, key=key, bind="query-params", width=width, placeholder=placeholder)
    return (found or "").strip()


def typed_token(label: str) -> str:
    """A field for a token of one's own; empty when nothing was typed."""
    return st.text_input(label, type="password", key="own-token", autocomplete="current-password").strip()
