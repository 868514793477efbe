"""What ``streamlit run`` runs for each session: the door, then the page that was chosen."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Final

import streamlit as st

from dashboards import (
    agents_page,
    approvals_page,
    audit_page,
    board_page,
    health_page,
    incident_page,
    spend_page,
    traces_page,
    why_page,
)
from dashboards.links import Name, remember
from dashboards.login import draw_sign_out, signed_in
from fusebox.clock import system_clock
from fusebox.config import load_config

_HERE: Final = Path(__file__).parent
_PAGES: Final = {
    Name.BOARD: (board_page.draw, "Board", ":material/grid_view:"),
    Name.INCIDENT: (incident_page.draw, "Incident", ":material/emergency:"),
    Name.APPROVALS: (approvals_page.draw, "Approvals", ":material/how_to_reg:"),
    Name.AGENTS: (agents_page.draw, "Agents", ":material/smart_toy:"),
    Name.TRACES: (traces_page.draw, "Traces", ":material/account_tree:"),
    Name.WHY: (why_page.draw, "Why", ":material/route:"),
    Name.SPEND: (spend_page.draw, "Tokens and cost", ":material/payments:"),
    Name.AUDIT: (audit_page.draw, "Audit", ":material/fact_check:"),
    Name.HEALTH: (health_page.draw, "Health", ":material/monitor_heart:"),
}


def main() -> None:
    """One run of the script."""
    st.set_page_config(page_title="Fusebox", page_icon=_HERE / "icon.svg", layout="wide")
    config, clock = load_config(), system_clock()
    pages = {
        name: st.Page(partial(draw, config, clock), title=title, icon=icon, url_path=name, default=name is Name.BOARD)
        for name, (draw, title, icon) in _PAGES.items()
    }
    remember(pages)
    known = signed_in(config, clock)
    chosen = st.navigation(list(pages.values()), position="top" if known else "hidden")
    st.html(_HERE / "style.css")
    if known:
        draw_sign_out()
        chosen.run()


main()
