"""Tables as CSV that a spreadsheet cannot be tricked with.

A spreadsheet takes a cell for a formula when it begins with ``= + - @`` or a tab or return (OWASP, "CSV Injection"),
and some do so behind blanks or quotes, or when these are of double width. Such a text gets an apostrophe before it.
Numbers are left as they are.
"""

from __future__ import annotations

import csv
import io
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any, Final

import streamlit as st

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n")
_SKIPPED: Final = " \u00a0\u3000'\""
"""What a spreadsheet may take away from the beginning of a cell before it reads the rest."""


def safe_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """``rows`` as CSV (RFC 4180) with a head; every text cell harmless."""
    out = io.StringIO()
    names = list(rows[0]) if rows else []
    writer = csv.writer(out)
    writer.writerow([_cell(name) for name in names])
    writer.writerows([_cell(row[name]) for name in names] for row in rows)
    return out.getvalue()


def draw_download(rows: Sequence[Mapping[str, Any]], name: str) -> None:
    """A button that saves what is shown."""
    st.download_button(
        "Save as CSV", lambda: safe_csv(rows), f"{name}.csv", "text/csv", key=f"csv-{name}",
        icon=":material/download:", type="tertiary", on_click="ignore",
    )  # fmt: skip


def _cell(value: Any) -> Any:
    if value is None or isinstance(value, int | float):
        return value
    text = str(value)
    read = unicodedata.normalize(
        "NFKC", text.lstrip(_SKIPPED)[:1]
    )  # one character of double width reads as its plain one
    return f"'{text}" if text.startswith(_FORMULA) or read.startswith(_FORMULA) else text
