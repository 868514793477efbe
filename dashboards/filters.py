"""What a page looks at: a period and words, kept in the address."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import streamlit as st

KEY: Final = "period"
LENGTHS: Final = {"15 min": 900, "1 h": 3_600, "6 h": 21_600, "24 h": 86_400, "7 d": 604_800, "30 d": 2_592_000}
DEFAULT: Final = "1 h"
STEPS: Final = {"minute": 60, "ten minutes": 600, "hour": 3_600, "six hours": 21_600, "day": 86_400}
DRAWN: Final = 60
"""Steps that a picture of a period has at most, beside those that have only begun or are ending."""


@dataclass(frozen=True, slots=True)
class Period:
    """The last ``length_s`` seconds, whenever it is asked."""

    label: str

    @property
    def length_s(self) -> float:
        return LENGTHS[self.label]

    @property
    def step(self) -> str:
        """The step, of :data:`STEPS`, in which a course over it is drawn."""
        return next(name for name, length_s in STEPS.items() if self.length_s <= DRAWN * length_s)

    @property
    def step_s(self) -> int:
        """The same in seconds."""
        return STEPS[self.step]


def choose() -> Period:
    """Draw the choice and return what is chosen."""
    label = st.segmented_control("Period", list(LENGTHS), default=DEFAULT, key=KEY, bind="query-params", required=True)
    return Period(label)


def typed(label: str, key: str, width: int = 200, placeholder: str | None = None) -> str:
    """A field for a word, kept in the address; empty when nothing was typed."""
    found = st.text_input(label, key=key, bind="query-params", width=width, placeholder=placeholder)
    return (found or "").strip()


def chosen(label: str, key: str, titles: Mapping[str, str], **look: Any) -> str:
    """A choice among ids, each read as its title, kept in the address; empty when none is chosen.

    It is the id that stands in the address, as alerts and links write it: Streamlit's own binding would put, and look
    for, the title.
    """
    place, wanted = f"chosen-{key}", st.query_params.get(key, "")
    if wanted in titles:
        st.session_state[place] = wanted
    id = st.selectbox(
        label, list(titles), key=place, format_func=lambda id: titles.get(id, id), on_change=_keep, args=(key,), **look
    )
    if id and id != wanted:
        st.query_params[key] = id
    return id or ""


def _keep(key: str) -> None:
    """Put what was chosen just now into the address."""
    id = st.session_state[f"chosen-{key}"]
    if id:
        st.query_params[key] = id
    else:
        st.query_params.pop(key, None)


def typed_token(label: str) -> str:
    """A field for a token of one's own; empty when nothing was typed."""
    return st.text_input(label, type="password", key="own-token", autocomplete="current-password").strip()
