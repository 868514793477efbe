"""The page, *watch* and a person's click: what is ordered in Chromium is latched in *watch*."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Page, expect

from dashboards.service import ROLE
from fusebox.control import ControlClient
from tests.fixtures.collector import StartRoles, until

SLOW = 20_000


def test_a_kill_from_the_page_is_latched_in_watch_and_a_resume_lifts_it(
    roles: StartRoles, window: Page, tmp_path: Path
) -> None:
    registry = tmp_path / "agents.toml"
    registry.write_text('[agents.ticket-helper]\nowner = "ann"\nteam = "support"\n')
    running = roles("watch", ROLE, env={"FUSEBOX_AGENTS_FILE": str(registry), "FUSEBOX_DASHBOARD_PORT": "0"})
    client = ControlClient(running.info("watch")["url"], running.token("operator"))

    window.goto(running.info(ROLE)["url"])
    window.get_by_label("Operator token").fill(running.token("operator"))
    window.get_by_role("button", name="Sign in").click()
    window.get_by_role("button", name="Kill…").click(timeout=SLOW)
    _confirm(window, "Kill this agent", "argues with the label bot")
    latches = until(lambda: client.board()["latches"], "the kill is latched")

    assert [latch["scope"] for latch in latches] == ["agent:ticket-helper"]
    assert latches[0]["reason"] == "argues with the label bot"
    expect(window.get_by_text("killed by local: argues with the label bot")).to_be_visible(timeout=SLOW)

    window.get_by_role("button", name="Resume…").click(timeout=SLOW)
    _confirm(window, "Resume this agent", "the prompt is fixed")
    until(lambda: not client.board()["latches"], "the kill is lifted")
    expect(window.get_by_role("button", name="Kill…")).to_be_visible(timeout=SLOW)


def _confirm(window: Page, label: str, reason: str) -> None:
    dialog = window.get_by_role("dialog")
    dialog.get_by_label("Reason (recorded with your name)").fill(reason)
    dialog.get_by_role("button", name=label).click()
