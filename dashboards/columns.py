"""How numbers read in a table: with their units, and still as numbers, so that a click on a head sorts by size."""

from __future__ import annotations

from typing import Final

import streamlit as st

CHOOSE: Final = "Choose a row, by its box or with Shift and the space bar,"
COUNT: Final = st.column_config.NumberColumn(format="localized")
USD: Final = st.column_config.NumberColumn(format="$%.4f")
SECONDS: Final = st.column_config.NumberColumn(format="%.3f s")
SHARE: Final = st.column_config.NumberColumn(format="percent")
