"""``python -m tools.draw_pages DATA_DIR [NAME…]``: the pictures of ``docs/images/``, taken of an installation at work.

``fusebox demo --data-dir DATA_DIR`` is one, once it says that everything stays up: every page has something to tell.
Only *approvals* needs a request that waits: ``fusebox demo --scene approval``, and another order with a key of the
Executor's. A real Chromium signs in with the installation's own token. Pictures have few colours: small files.
"""

from __future__ import annotations

import argparse
import io
import re
import shutil
from collections.abc import Callable, Mapping
from functools import partial
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
_QUESTION: Final = "Money by model"


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


def draw_page(page: Page, name: str) -> None:
    """A page as it opens."""
    turn_to(page, name)
    draw(page, name.split()[0].lower())


def draw_board(page: Page) -> None:
    """The tiles."""
    page.get_by_role("link", name=re.compile("Board$")).first.click()
    expect(page.locator("[class*=st-key-tile-]").first).to_be_visible(timeout=_PATIENCE_MS)
    draw(page, "board", _TILES)


def draw_console(page: Page) -> None:
    """The SQL console with an example's answer."""
    turn_to(page, "Audit")
    page.get_by_role("tab", name="SQL").click()
    page.get_by_role("button", name=_QUESTION).click()
    expect(page.get_by_role("textbox", name="Statement")).to_have_value(re.compile("SELECT"), timeout=_PATIENCE_MS)
    page.get_by_role("button", name="Run").click()
    expect(page.get_by_text(re.compile(r"^\d+ rows"))).to_be_visible(timeout=_PATIENCE_MS)
    draw(page, "console")


def draw_approvals(page: Page) -> None:
    """A request that waits, read."""
    turn_to(page, "Approvals")
    page.get_by_role("combobox", name=re.compile("Read and answer")).click()
    page.get_by_role("option").first.click()
    expect(page.get_by_role("button", name="Approve exactly this")).to_be_visible(timeout=_PATIENCE_MS)
    draw(page, "approvals")


def open_trace(page: Page) -> None:
    """The newest trace, with its first span chosen."""
    turn_to(page, "Traces")
    rows = page.get_by_test_id("stDataFrame").first
    rows.click(position={"x": 15, "y": 52}, timeout=_PATIENCE_MS)  # the box before the first row
    expect(page.get_by_role("button", name="Back to the list")).to_be_visible(timeout=_PATIENCE_MS)
    page.get_by_test_id("stDataFrame").first.click(position={"x": 15, "y": 52}, timeout=_PATIENCE_MS)
    expect(page.get_by_role("link", name="Why it came about")).to_be_visible(timeout=_PATIENCE_MS)


def draw_trace(page: Page) -> None:
    """A tree with its waterfall."""
    open_trace(page)
    draw(page, "trace")


def draw_why(page: Page) -> None:
    """Why a span came about."""
    open_trace(page)
    page.get_by_role("link", name="Why it came about").click()
    expect(page.get_by_test_id("stGraphVizChart")).to_be_visible(timeout=_PATIENCE_MS)
    draw(page, "why")


def draw_confirmation(page: Page, url: str, token: str) -> None:
    """The control API's page behind an alert's button."""
    page.goto(f"{url}/confirm/kill?scope=agent:ticket-helper")
    page.locator("input[type=password]").fill(token)
    page.get_by_role("button").first.click()
    expect(page.get_by_label(re.compile("Reason"))).to_be_visible(timeout=_PATIENCE_MS)
    draw(page, "confirm")


_PICTURES: Final[Mapping[str, Callable[[Page], None]]] = {
    "board": draw_board,
    **{name.split()[0].lower(): partial(draw_page, name=name) for name in (
        "Incident", "Agents", "Traces", "Tokens and cost", "Audit", "Health",
    )},
    "console": draw_console, "trace": draw_trace, "why": draw_why, "approvals": draw_approvals,
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data_dir", type=Path, help="of an installation that runs, with its dashboard")
    parser.add_argument("names", nargs="*", metavar="NAME", help="all but approvals by default; see docs/images")
    args = parser.parse_args()
    names = args.names or [*(_PICTURES.keys() - {"approvals"}), "confirm"]
    if unknown := set(names) - {*_PICTURES, "confirm"}:
        parser.error(f"no picture is called {', '.join(sorted(unknown))}")
    token = (args.data_dir / "operator.token").read_text(encoding="utf-8").strip()
    dashboard, watch = lookup(args.data_dir, "dashboard"), lookup(args.data_dir, "watch")
    if not dashboard or not watch:
        parser.error(f"no dashboard runs on {args.data_dir}; start 'fusebox demo --data-dir {args.data_dir}'")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_context(viewport={"width": _WIDTH, "height": 900}).new_page()
        sign_in(page, dashboard["url"], token)
        for name in names:
            if name in _PICTURES:
                _PICTURES[name](page)
        if "confirm" in names:
            draw_confirmation(page, watch["url"], token)
        browser.close()


if __name__ == "__main__":
    main()
