"""Tables as CSV that a spreadsheet cannot be tricked with.

A spreadsheet takes a cell for a formula when it begins with ``= + - @`` or a tab or return, so such a text gets an
apostrophe before it (OWASP, "CSV Injection"). Numbers are left as they are.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any, Final

import streamlit as st

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n")


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
    return f"'{text}" if text.startswith(_FORMULA) else text
