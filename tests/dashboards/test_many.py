"""Every page with no agent, one, and a thousand, in Chromium over real roles; by keyboard, in light and in dark."""

from __future__ import annotations

import re
import time
import urllib.request
from collections.abc import Iterator
from functools import partial

import pytest
from playwright.sync_api import Browser, Page, expect

from dashboards.service import ROLE
from fusebox.control import ControlClient
from tests.collector.otlp_samples import request, span
from tests.dashboards.pictures import picture
from tests.fixtures.collector import Roles, starting, until

SLOW = 30_000
PAGES = ("Board", "Incident", "Approvals", "Agents", "Traces", "Why", "Tokens and cost", "Audit", "Health")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Roles]:
    with starting(tmp_path_factory.mktemp("many")) as start:
        yield start("receive", "keep", "watch", ROLE, env={"FUSEBOX_DASHBOARD_PORT": "0"})


@pytest.fixture(scope="module")
def page(running: Roles, browser: Browser) -> Iterator[Page]:
    """One window for all of it: signed in, on the board."""
    context = browser.new_context(viewport={"width": 1360, "height": 900})
    window = context.new_page()
    window.goto(running.info(ROLE)["url"])
    window.get_by_label("Operator token").fill(running.token("operator"))
    window.get_by_role("button", name="Sign in").click()
    expect(window.get_by_role("button", name="Sign out")).to_be_visible(timeout=SLOW)
    yield window
    context.close()


def _speak(running: Roles, count: int) -> None:
    """Let so many agents have spoken, each once."""
    now = time.time_ns()
    called = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-5-mini", "gen_ai.usage.input_tokens": 5}
    said = [
        span({"gen_ai.agent.id": f"agent-{n:04}", **called}, start_time_unix_nano=now - 10**6, end_time_unix_nano=now)
        for n in range(count)
    ]
    headers = {"content-type": "application/x-protobuf", "authorization": f"Bearer {running.token()}"}
    address, body = running.info("receive")["url"] + "/v1/traces", request(*said).SerializeToString()
    with urllib.request.urlopen(urllib.request.Request(address, body, headers), timeout=10) as answer:
        assert answer.status == 200
    client = ControlClient(running.info("watch")["url"], running.token("operator"))
    until(lambda: len(client.board()["circuits"]) >= count, "all of them are on the board")


def _contrasts(page: Page, more_than: int) -> list[tuple[float, str]]:
    """Of each word the contrast and the word, once there are so many: a page comes piece by piece."""
    told: list[tuple[float, str]] = page.evaluate(_CONTRAST)
    return told if len(told) > more_than else []


def _go(page: Page, name: str) -> None:
    page.get_by_role("link", name=re.compile(f"{name}$")).first.click()
    expect(page.get_by_role("heading", name="Fusebox" if name == "Board" else name, level=1)).to_be_visible(
        timeout=SLOW
    )
    expect(page.get_by_text("Reading…")).to_have_count(0, timeout=SLOW)


@pytest.mark.parametrize("count", [0, 1, 1000])
def test_every_page_stands_with_this_many_agents(page: Page, running: Roles, count: int) -> None:
    if count:
        _speak(running, count)
    for name in PAGES:
        _go(page, name)
        expect(page.get_by_test_id("stException")).to_have_count(0)
        expect(page.get_by_text("does not answer")).to_have_count(0)
    _go(page, "Agents")
    if count:
        expect(page.get_by_test_id("stDataFrame").first).to_be_visible(timeout=SLOW)
    else:
        for name in ("Board", "Agents", "Traces", "Tokens and cost"):
            _go(page, name)
            expect(page.get_by_text("export FUSEBOX_DATA_DIR=")).to_be_visible(timeout=SLOW)


def test_every_button_and_link_is_reached_by_tab(page: Page) -> None:
    _go(page, "Health")
    wanted = set(PAGES) | {"Sign out"}
    page.locator("body").focus()
    for _ in range(60):
        page.keyboard.press("Tab")
        wanted -= {page.evaluate("(document.activeElement.textContent || '').replace(/^[a-z_]+(?=[A-Z])/, '')")}
        if not wanted:
            break
    assert not wanted


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_stand_out_from_what_is_behind_them(browser: Browser, running: Roles, scheme: str) -> None:
    _speak(running, 1)
    context = browser.new_context(viewport={"width": 1360, "height": 900}, color_scheme=scheme)  # type: ignore[arg-type]
    window = context.new_page()
    window.goto(running.info(ROLE)["url"])
    window.get_by_label("Operator token").fill(running.token("operator"))
    until(
        lambda: min(told[0] for told in window.evaluate(_CONTRAST)) >= 4.5, "words can be read, once it has its style"
    )
    window.get_by_role("button", name="Sign in").click()
    expect(window.locator("[class*='st-key-tile-']").first).to_be_visible(timeout=SLOW)

    for name in PAGES:
        _go(window, name)
        contrasts = until(partial(_contrasts, window, 20 if name == "Board" else 1), f"{name} has its words")
        assert [(name, told) for told in contrasts if told[0] < 4.5] == []
        picture(window, f"{name.split()[0].lower()}-{scheme}")
    context.close()


def test_no_state_is_told_by_colour_alone(page: Page, running: Roles) -> None:
    _speak(running, 1)
    _go(page, "Board")
    tile = page.locator("[class*='st-key-tile-closed']").first

    expect(tile.get_by_text("Closed")).to_be_visible(timeout=SLOW)
    expect(page.locator("[class*='st-key-summary']").get_by_text("closed")).to_be_visible()


_CONTRAST = """() => {
    const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
    const rgba = (text) => {
        canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = text; canvas.fillRect(0, 0, 1, 1);
        return [...canvas.getImageData(0, 0, 1, 1).data].map((x, i) => i === 3 ? x / 255 : x);
    };
    const over = (top, low) => [0, 1, 2].map(i => top[i] * top[3] + low[i] * (1 - top[3]));
    const light = (c) => c.map(x => x / 255).map(x => x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4)
        .reduce((sum, x, i) => sum + x * [0.2126, 0.7152, 0.0722][i], 0);
    const behind = (node) => {
        if (!node) return [255, 255, 255];
        const own = rgba(getComputedStyle(node).backgroundColor);
        return own[3] === 1 ? own.slice(0, 3) : over(own, behind(node.parentElement));
    };
    const shown = (node) => node ? +getComputedStyle(node).opacity * shown(node.parentElement) : 1;
    const told = [];
    for (const node of document.querySelectorAll('main :is(p, li, h1, h2, h3, pre, strong, span, label, button)')) {
        const text = [...node.childNodes].filter(n => n.nodeType === 3).map(n => n.data.trim()).join('');
        if (getComputedStyle(node).fontFamily.includes('Material')) continue;  // an icon, beside its word
        if (!text || !node.checkVisibility({opacityProperty: true}) || node.closest(':disabled')) continue;
        const [red, green, blue, alpha] = rgba(getComputedStyle(node).color), back = behind(node);
        const a = light(over([red, green, blue, alpha * shown(node)], back)), b = light(back);
        told.push([Math.round((Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05) * 100) / 100, text.slice(0, 30)]);
    }
    return told;
}"""
"""Contrast of each visible text with what is behind it (WCAG 2.2, 1.4.3: at least 4.5)."""
