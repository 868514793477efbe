"""``python -m tools.draw_pages DATA_DIR``: the pictures of ``docs/images/``, taken of an installation at work.

``fusebox demo --data-dir DATA_DIR`` is one, once it says that everything stays up: every page has something to tell.
A real Chromium signs in with the installation's own token. Pictures have few colours, so that the files stay small.
"""

from __future__ import annotations

import argparse
import io
import re
import shutil
from pathlib import Path
from typing import Final

from PIL import Image
from playwright.sync_api import Page, expect, sync_playwright

from fusebox.rundir import lookup
from tools.layers import ROOT

FOLDER: Final = ROOT / "docs" / "images"
COLOURS: Final = 128
_WIDTH: Final = 1280
_TALLEST: Final = 1500
_PATIENCE_MS: Final = 120_000
_TILES: Final = 1_170
_PAGES: Final = ("Incident", "Agents", "Tokens and cost", "Audit", "Health")


def draw(page: Page, name: str, tallest: int = _TALLEST) -> None:
    """The whole page, as far as it is not too tall: it scrolls inside, so the window is made to hold it."""
    page.wait_for_timeout(6_000)  # charts are drawn after what they stand beside
    expect(page.get_by_text("Reading…")).to_have_count(0, timeout=_PATIENCE_MS)
    height = page.evaluate("document.querySelector('[data-testid=stMain]')?.scrollHeight ?? document.body.scrollHeight")
    page.set_viewport_size({"width": _WIDTH, "height": min(max(height, 500), tallest)})
    page.wait_for_timeout(8_000)  # tables draw only what is seen
    shot = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    few = shot.quantize(COLOURS, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    few.save(FOLDER / f"{name}.png", optimize=True)
    page.set_viewport_size({"width": _WIDTH, "height": 900})


def turn_to(page: Page, name: str) -> None:
    """Choose a page at the top."""
    page.get_by_role("link", name=re.compile(f"{name}$")).first.click()
    expect(page.get_by_role("heading", name=name, level=1)).to_be_visible(timeout=_PATIENCE_MS)


def sign_in(page: Page, url: str, token: str) -> None:
    """To the board, with its tiles drawn."""
    page.goto(url)
    page.get_by_label("Operator token").fill(token)
    page.get_by_role("button", name="Sign in").click()
    expect(page.locator("[class*=st-key-tile-]").first).to_be_visible(timeout=_PATIENCE_MS)


def draw_trace(page: Page) -> None:
    """The newest trace, and why its first span came about."""
    turn_to(page, "Traces")
    rows = page.get_by_test_id("stDataFrame").first
    rows.click(position={"x": 15, "y": 52}, timeout=_PATIENCE_MS)  # the box before the first row
    expect(page.get_by_role("button", name="Back to the list")).to_be_visible(timeout=_PATIENCE_MS)
    page.get_by_test_id("stDataFrame").first.click(position={"x": 15, "y": 52}, timeout=_PATIENCE_MS)
    why = page.get_by_role("link", name="Why it came about")
    expect(why).to_be_visible(timeout=_PATIENCE_MS)
    draw(page, "trace")
    why.click()
    expect(page.get_by_test_id("stGraphVizChart")).to_be_visible(timeout=_PATIENCE_MS)
    draw(page, "why")


def draw_confirmation(page: Page, url: str, token: str) -> None:
    """The control API's page behind an alert's button."""
    page.goto(f"{url}/confirm/kill?scope=agent:ticket-helper")
    page.locator("input[type=password]").fill(token)
    page.get_by_role("button").first.click()
    expect(page.get_by_label(re.compile("Reason"))).to_be_visible(timeout=_PATIENCE_MS)
    draw(page, "confirm")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data_dir", type=Path, help="of an installation that runs, with its dashboard")
    folder = parser.parse_args().data_dir
    token = (folder / "operator.token").read_text(encoding="utf-8").strip()
    dashboard, watch = lookup(folder, "dashboard"), lookup(folder, "watch")
    if not dashboard or not watch:
        parser.error(f"no dashboard runs on {folder}; start 'fusebox demo --data-dir {folder}'")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_context(viewport={"width": _WIDTH, "height": 900}).new_page()
        sign_in(page, dashboard["url"], token)
        draw(page, "board", _TILES)
        for name in _PAGES:
            turn_to(page, name)
            draw(page, name.split()[0].lower())
        draw_trace(page)
        draw_confirmation(page, watch["url"], token)
        browser.close()


if __name__ == "__main__":
    main()
