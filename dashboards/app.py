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
from dashboards.oidc import Role
from fusebox.clock import system_clock
from fusebox.config import load_config

_HERE: Final = Path(__file__).parent
_FIRST: Final = "first"
# Streamlit serves its first page at the root only, and nothing under that page's own name: so the board has two.
_PAGES: Final = {
    Name.BOARD: (board_page.draw, "Board", ":material/grid_view:", Role.VIEWER),
    Name.INCIDENT: (incident_page.draw, "Incident", ":material/emergency:", Role.VIEWER),
    Name.APPROVALS: (approvals_page.draw, "Approvals", ":material/how_to_reg:", Role.OPERATOR),
    Name.AGENTS: (agents_page.draw, "Agents", ":material/smart_toy:", Role.VIEWER),
    Name.TRACES: (traces_page.draw, "Traces", ":material/account_tree:", Role.VIEWER),
    Name.WHY: (why_page.draw, "Why", ":material/route:", Role.AUDITOR),
    Name.SPEND: (spend_page.draw, "Tokens and cost", ":material/payments:", Role.VIEWER),
    Name.AUDIT: (audit_page.draw, "Audit", ":material/fact_check:", Role.AUDITOR),
    Name.HEALTH: (health_page.draw, "Health", ":material/monitor_heart:", Role.VIEWER),
}
# How each page is drawn, its title and icon, and the least role that has it.


def main() -> None:
    """One run of the script."""
    st.set_page_config(page_title="Fusebox", page_icon=_HERE / "icon.svg", layout="wide")
    config, clock = load_config(), system_clock()
    who = signed_in(config, clock)
    pages = {
        name: st.Page(
            partial(draw, config, clock),
            title=title,
            icon=icon,
            default=name is Name.BOARD,
            url_path=_FIRST if name is Name.BOARD else name,
        )
        for name, (draw, title, icon, least) in _PAGES.items()
        if who is None or who.role >= least
    }
    remember(pages)
    named = st.Page(partial(board_page.draw, config, clock), title="Board", url_path=Name.BOARD, visibility="hidden")
    chosen = st.navigation([*pages.values(), named], position="top" if who else "hidden")
    st.html(_HERE / "style.css")
    if who:
        draw_sign_out(who, clock)
        chosen.run()


main()
