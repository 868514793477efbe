"""Pictures of whole pages, left in a folder for people who look at a run of the tests."""

from __future__ import annotations

import os
from pathlib import Path

from playwright.sync_api import Page

FOLDER = Path(os.environ.get("SCREENSHOTS", "artifacts/screenshots"))
WIDTH, HEIGHT, TALLEST = 1360, 900, 3_000


def picture(page: Page, name: str) -> None:
    """All of the page: it scrolls inside, so the window is made to hold it."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    tall = page.evaluate("document.querySelector('[data-testid=stMain]').scrollHeight")
    page.set_viewport_size({"width": WIDTH, "height": min(max(tall, HEIGHT), TALLEST)})
    page.screenshot(path=FOLDER / f"{name}.png")
    page.set_viewport_size({"width": WIDTH, "height": HEIGHT})
