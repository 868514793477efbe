"""A person who has read nothing finds the runaway agent, understands why it was stopped, and resumes it."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from collector import queries
from dashboards.service import ROLE
from fusebox.control import ControlClient
from tests.dashboards.pictures import picture
from tests.dashboards.traffic import LAPS, LOOPER, TRACE, WORKER, call_once, send
from tests.fixtures.collector import Roles, starting, until

SLOW = 20_000
MINUTE_S = 60.0
"""What a person has for the walk; a browser that is driven needs a few seconds of it."""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Roles]:
    """All roles, after the loop has tripped."""
    with starting(tmp_path_factory.mktemp("walk")) as start:
        roles = start("receive", "keep", "watch", ROLE, env={"FUSEBOX_DASHBOARD_PORT": "0"})
        send(roles)
        yield roles


@pytest.fixture
def page(running: Roles, window: Page) -> Page:
    """Signed in, on the board."""
    window.goto(running.info(ROLE)["url"])
    window.get_by_label("Operator token").fill(running.token("operator"))
    window.get_by_role("button", name="Sign in").click()
    expect(window.get_by_role("button", name="Sign out")).to_be_visible(timeout=SLOW)
    return window


def go(page: Page, name: str) -> None:
    """Choose a page at the top, and wait until it stands."""
    page.get_by_role("link", name=re.compile(f"{name}$")).first.click()
    expect(page.get_by_role("heading", name=name, level=1)).to_be_visible(timeout=SLOW)


def test_a_new_user_finds_understands_and_resumes_the_runaway(page: Page, running: Roles) -> None:
    began = time.monotonic()
    expect(page.get_by_text(LOOPER, exact=True).first).to_be_visible(timeout=SLOW)
    picture(page, "board")

    page.locator("[class*=st-key-tile-]").filter(has_text=LOOPER).get_by_role("link", name="What happened").click()
    expect(page.get_by_role("heading", name="Incident", level=1)).to_be_visible(timeout=SLOW)
    expect(page.get_by_role("heading", name="What repeated")).to_be_visible(timeout=SLOW)
    expect(page.get_by_role("heading", name="The loop")).to_be_visible(timeout=SLOW)
    expect(page.locator("svg").get_by_text("tickets.comment").first).to_be_visible(timeout=SLOW)
    expect(page.get_by_text(re.compile("An estimate: its pace"))).to_be_visible(timeout=SLOW)
    picture(page, "incident")
    page.get_by_role("button", name="Resume…").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Reason (recorded with your name)").fill("the prompt is mended")
    dialog.get_by_role("button", name="Resume this agent").click()

    client = ControlClient(running.info("watch")["url"], running.token("operator"))
    until(lambda: _state(client) in ("half_open", "closed"), "it is resumed")
    assert time.monotonic() - began < MINUTE_S


def _state(client: ControlClient) -> str:
    return next(str(tile["state"]) for tile in client.board()["circuits"] if tile["agent"] == LOOPER)


def test_a_page_goes_on_by_itself(page: Page, running: Roles) -> None:
    go(page, "Tokens and cost")
    calls = page.get_by_test_id("stMetricValue").nth(3)
    expect(calls).to_have_text(re.compile(r"\d"), timeout=SLOW)
    before = int(calls.inner_text())
    call_once(running)

    expect(calls).to_have_text(str(before + 1), timeout=SLOW)


def test_what_was_spent_in_a_minute_is_a_bar_that_stands(page: Page) -> None:
    go(page, "Tokens and cost")
    page.wait_for_function(_STANDS, timeout=SLOW)


_STANDS = """() => [...document.querySelectorAll('[data-testid=stVegaLiteChart] [aria-roledescription=bar]')]
    .some(bar => bar.getBoundingClientRect().height > 50)"""
"""One that lay on its side was five pixels high."""


def test_the_words_of_a_loop_are_as_large_in_a_narrow_window(page: Page) -> None:
    go(page, "Incident")
    word = page.locator(".stGraphVizChart svg").get_by_text("tickets.comment").first
    expect(word).to_be_visible(timeout=SLOW)
    wide = word.bounding_box()
    page.set_viewport_size({"width": 320, "height": 800})
    page.wait_for_function("document.querySelector('[data-testid=stMain]').clientWidth <= 320", timeout=SLOW)
    narrow = word.bounding_box()

    assert wide
    assert narrow
    assert narrow["height"] == pytest.approx(wide["height"], abs=0.5)
    assert page.evaluate("document.querySelector('[data-testid=stMain]').scrollWidth") == 320


def test_an_incident_is_saved_as_a_report_that_runs_nothing(page: Page, tmp_path: Path) -> None:
    go(page, "Incident")
    with page.expect_download(timeout=SLOW) as saved:
        page.get_by_role("button", name="Save as a report").click(timeout=SLOW)
    text = Path(saved.value.path()).read_text()

    assert text.count("tickets.comment") >= LAPS
    told = re.sub(r"<[^>]+>", "\n", text)
    for part in ("× model_call tickets.comment", "\nThe loop\n", "\nSpan 2\n", "\nbefore\n", "What was decided"):
        assert part in told
    assert "<script" not in text
    assert "default-src 'none'" in text


def test_from_an_agent_to_its_trace_and_back_by_its_address(page: Page) -> None:
    go(page, "Agents")
    picture(page, "agents")
    page.get_by_role("combobox", name="Agent").fill(WORKER)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="What it does")).to_be_visible(timeout=SLOW)
    picture(page, "agent")
    page.get_by_role("link", name="Its traces").click()

    expect(page.get_by_role("heading", name="Traces", level=1)).to_be_visible(timeout=SLOW)
    expect(page.get_by_label("Agent")).to_have_value(WORKER, timeout=SLOW)
    assert f"agent={WORKER}" in page.url


@pytest.mark.parametrize("name", ["Tokens and cost", "Audit", "Health", "Traces"])
def test_the_page_stands(page: Page, name: str) -> None:
    go(page, name)
    expect(page.get_by_text("Reading…")).to_have_count(0, timeout=SLOW)
    expect(page.get_by_test_id("stException")).to_have_count(0)
    picture(page, name.split()[0].lower())


def test_a_trace_of_the_list_opens_by_keyboard(page: Page) -> None:
    go(page, "Traces")
    expect(page.get_by_test_id("stDataFrame").first).to_be_visible(timeout=SLOW)
    page.get_by_label("Trace id").focus()
    for _ in range(8):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.getAttribute('role')") == "gridcell":
            break
    page.keyboard.press("Shift+Space")

    expect(page.get_by_role("button", name="Back to the list")).to_be_visible(timeout=SLOW)


def test_a_trace_of_the_list_opens_by_a_click_and_is_in_the_address(page: Page) -> None:
    go(page, "Traces")
    page.get_by_label("Agent").fill(WORKER)
    page.keyboard.press("Enter")
    table = page.get_by_test_id("stDataFrame").first
    expect(table).to_be_visible(timeout=SLOW)
    table.click(position={"x": 15, "y": 52})  # the box before the first row

    expect(page.get_by_role("button", name="Back to the list")).to_be_visible(timeout=SLOW)
    expect(page.get_by_label("Trace id")).to_have_value(TRACE.hex())
    assert f"trace={TRACE.hex()}" in page.url
    picture(page, "trace")


def test_the_entry_that_is_read_stays_while_others_are_written(page: Page, running: Roles) -> None:
    client = ControlClient(running.info("watch")["url"], running.token("operator"))
    client.kill("agent:nobody", "the first of them")
    page.goto(f"{running.info(ROLE)['url']}/audit?kind=kill")
    page.get_by_label("Operator token").fill(running.token("operator"))
    page.get_by_role("button", name="Sign in").click()
    table = page.get_by_test_id("stDataFrame").first
    expect(table).to_be_visible(timeout=SLOW)
    expect(page.get_by_text("kill 1")).to_be_visible(timeout=SLOW)
    table.click(position={"x": 15, "y": 52})  # the box before the first row
    expect(page.get_by_test_id("stCode")).to_contain_text("the first of them", timeout=SLOW)
    client.kill("agent:nobody", "the second of them")
    expect(page.get_by_text("kill 2")).to_be_visible(timeout=SLOW)
    client.kill("agent:nobody", "the third of them")

    expect(page.get_by_text("kill 3")).to_be_visible(timeout=SLOW)  # the list was read again since the second
    expect(page.get_by_test_id("stCode")).to_contain_text("the first of them")
    table.click(position={"x": 15, "y": 52})
    expect(page.get_by_test_id("stCode")).to_have_count(0, timeout=SLOW)
    table.click(position={"x": 15, "y": 52})
    expect(page.get_by_test_id("stCode")).to_contain_text("the third of them", timeout=SLOW)


def test_times_of_pictures_are_utc_wherever_the_browser_is(browser: Browser, running: Roles) -> None:
    context = browser.new_context(timezone_id="America/Los_Angeles")
    page = context.new_page()
    page.goto(f"{running.info(ROLE)['url']}/agents?agent={WORKER}")
    page.get_by_label("Operator token").fill(running.token("operator"))
    page.get_by_role("button", name="Sign in").click()
    hours = page.locator("[aria-label*='X-axis']").first
    expect(hours).to_have_attribute("aria-label", re.compile("UTC"), timeout=SLOW)

    with queries.connect(running.config) as client:
        (minute, *_) = queries.run(client, "agent_course", agent=WORKER, since=0.0, until=time.time())
    when = time.strftime("%H:%M", time.gmtime(float(minute["at"])))
    expect(page.locator("[data-testid=stVegaLiteChart] svg").get_by_text(when).first).to_be_visible(timeout=SLOW)
    context.close()
