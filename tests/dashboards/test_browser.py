"""The page in a real Chromium, served by the real role."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from collector.alerts.writer import INCIDENT
from dashboards.service import ROLE, Dashboard
from fusebox.config import Config
from fusebox.rundir import lookup
from tests.dashboards.hostile import CANARY, HOSTILE
from tests.dashboards.standin import TOKEN, Standin, approval, running, tile, trip

SLOW = 15_000
"""Milliseconds: a fragment may take some seconds to tick after a click."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Standin]]:
    """One dashboard for the tests of this file, and the control API whose board they script."""
    folder: Path = tmp_path_factory.mktemp("data")
    with running(Standin()) as scripted:
        service = Dashboard(Config(data_dir=folder, dashboard_port=0, control_url=scripted.url))
        service.start()
        info = lookup(folder, ROLE)
        assert info
        yield info["url"], scripted
        service.stop()


@pytest.fixture
def scripted(server: tuple[str, Standin]) -> Standin:
    """The control API, put back to one quiet agent."""
    server[1].__init__(tile("ticket-helper"))  # type: ignore[misc]
    return server[1]


def _open(window: Page, server: tuple[str, Standin]) -> Page:
    window.goto(server[0])
    window.get_by_label("Operator token").fill(TOKEN)
    window.get_by_role("button", name="Sign in").click()
    expect(window.get_by_role("button", name="Sign out")).to_be_visible(timeout=SLOW)
    return window


def _agent(page: Page, name: str) -> Locator:
    """The agent's tile by its name."""
    return page.locator("[class*='st-key-agent-']").get_by_text(name, exact=True)


def _refreshed(page: Page) -> None:
    """Wait until the board has been read once more."""
    live = page.get_by_text(re.compile("^Live"))
    expect(live).not_to_have_text(live.inner_text(), timeout=SLOW)


def test_a_person_signs_in_and_sees_the_board(window: Page, server: tuple[str, Standin], scripted: Standin) -> None:
    scripted.tiles.append(tile("label-bot", "open", reason="argues with itself"))
    page = _open(window, server)

    expect(_agent(page, "label-bot")).to_be_visible(timeout=SLOW)
    expect(page.get_by_text("argues with itself")).to_be_visible()
    expect(page.get_by_role("heading", name="Circuits")).to_be_visible()


def test_the_board_refreshes_by_itself_and_keeps_what_is_being_typed(
    window: Page, server: tuple[str, Standin], scripted: Standin
) -> None:
    page = _open(window, server)
    find = page.get_by_label("Find an agent, owner or team")
    find.click()
    page.keyboard.type("tick")
    scripted.tiles.append(tile("ticket-router", "open"))

    expect(_agent(page, "ticket-router")).to_be_visible(timeout=SLOW)
    expect(find).to_be_focused()
    expect(find).to_have_value("tick")


def test_a_kill_by_keyboard_needs_a_reason_and_shows_its_receipts(
    window: Page, server: tuple[str, Standin], scripted: Standin
) -> None:
    page = _open(window, server)
    page.get_by_role("button", name="Kill…").focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    reason = dialog.get_by_label("Reason (recorded with your name)")
    reason.click()
    page.keyboard.type("argues with ")
    _refreshed(page)
    _refreshed(page)
    page.keyboard.type("itself")
    expect(reason).to_have_value("argues with itself")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")

    expect(page.get_by_text("0 of 2 processes have confirmed.")).to_be_visible(timeout=SLOW)
    assert scripted.orders == [("kill", {"scope": "agent:ticket-helper", "reason": "argues with itself"})]
    scripted.received.update({"shop-1": 1.0, "shop-2": 1.0})
    expect(page.get_by_text("2 of 2 processes have confirmed.")).to_be_visible(timeout=SLOW)


def test_closing_the_dialog_orders_nothing(window: Page, server: tuple[str, Standin], scripted: Standin) -> None:
    page = _open(window, server)
    page.get_by_role("button", name="Kill all…").click()
    expect(page.get_by_role("dialog")).to_be_visible(timeout=SLOW)
    page.keyboard.press("Escape")

    expect(page.get_by_role("dialog")).to_have_count(0, timeout=SLOW)
    page.get_by_label("Find an agent, owner or team").fill("ticket")
    page.keyboard.press("Enter")
    expect(_agent(page, "ticket-helper")).to_be_visible(timeout=SLOW)
    assert page.get_by_role("dialog").count() == 0
    assert scripted.orders == []


def _unfold(page: Page, label: str) -> None:
    """Open a select box; a click that comes while the page is being drawn is lost, as it would be for a person."""
    for _ in range(10):
        page.get_by_label(label).click()
        try:
            return expect(page.get_by_role("option").first).to_be_visible(timeout=SLOW / 5)
        except AssertionError:
            continue
    pytest.fail(f"{label!r} does not open")


def test_hostile_names_run_nothing_and_call_nobody(
    window: Page, server: tuple[str, Standin], scripted: Standin
) -> None:
    scripted.tiles = [tile(text, "open", reason=text, registered=n % 2 == 0) for n, text in enumerate(HOSTILE)]
    scripted.trips = [_trip(text, n) for n, text in enumerate(HOSTILE)]
    scripted.latches = [{"id": "k", "scope": "agent:x", "reason": t, "operator": t, "time": 0.0} for t in HOSTILE]
    asked: list[str] = []
    window.on("request", lambda request: asked.append(request.url))
    page = _open(window, server)
    expect(_agent(page, HOSTILE[0])).to_be_visible(timeout=SLOW)
    expect(page.get_by_text("Kills in force")).to_be_visible(timeout=SLOW)
    _unfold(page, "Evidence of")

    assert page.evaluate("window.pwned") is None
    assert page.locator(f"a[href*='{CANARY.removeprefix('https://')}'], img[src*='evil'], img[src='x']").count() == 0
    assert page.locator("[data-testid=stText] :is(a, b, strong, em, h1, img, script, table, code)").count() == 0
    assert page.get_by_role("option").locator(":is(a, strong, em, img, code, h1)").count() == 0
    assert not [url for url in asked if not re.match(r"(data:|blob:|(http|ws)://127\.0\.0\.1:)", url)]


def _trip(text: str, number: int) -> dict[str, object]:
    return trip(text, number, reason=text, actor=text)


def test_no_request_leaves_the_machine(window: Page, server: tuple[str, Standin], scripted: Standin) -> None:
    asked: list[str] = []
    window.on("request", lambda request: asked.append(request.url))
    page = _open(window, server)
    expect(_agent(page, "ticket-helper")).to_be_visible(timeout=SLOW)

    assert asked
    assert not [url for url in asked if not re.match(r"(data:|blob:|(http|ws)://127\.0\.0\.1:)", url)]


def test_the_token_is_in_no_address_cookie_or_storage(
    window: Page, server: tuple[str, Standin], scripted: Standin
) -> None:
    page = _open(window, server)
    kept = page.evaluate("JSON.stringify([location.href, document.cookie, {...localStorage}, {...sessionStorage}])")

    assert TOKEN not in kept
    assert TOKEN not in str(page.context.cookies())


def test_a_silent_watch_greys_the_board(window: Page, server: tuple[str, Standin], scripted: Standin) -> None:
    page = _open(window, server)
    expect(_agent(page, "ticket-helper")).to_be_visible(timeout=SLOW)
    scripted.silent = True

    expect(page.get_by_text(re.compile("watch does not answer since"))).to_be_visible(timeout=SLOW)
    expect(_agent(page, "ticket-helper")).to_be_visible()
    expect(page.locator(".st-key-stale")).to_have_css("filter", "grayscale(1)")
    scripted.silent = False
    expect(page.locator(".st-key-stale")).to_have_count(0, timeout=SLOW)


@pytest.mark.parametrize("count", [0, 1, 1000])
def test_the_page_is_usable_with_this_many_agents(
    window: Page, server: tuple[str, Standin], scripted: Standin, count: int
) -> None:
    scripted.tiles = [tile(f"agent-{n:04}") for n in range(count)]
    page = _open(window, server)
    tiles = page.locator("[class*='st-key-tile-']")

    expect(tiles).to_have_count(min(count, 50), timeout=SLOW)
    if count == 0:
        expect(page.get_by_text("fusebox demo")).to_be_visible()
    else:
        sought = page.get_by_label("Find an agent, owner or team")
        sought.fill(f"agent-{count - 1:04}")
        sought.press("Enter")
        expect(_agent(page, f"agent-{count - 1:04}")).to_be_visible(timeout=4 * SLOW)


def test_on_a_phone_who_is_stopped_stands_before_how_much_is_done(
    window: Page, server: tuple[str, Standin], scripted: Standin
) -> None:
    page = _open(window, server)
    for width, first in ((390, "tile"), (1360, "rates")):
        page.set_viewport_size({"width": width, "height": 800})
        places = {name: page.locator(f"[class*=st-key-{name}]").first for name in ("tile", "rates")}
        page.wait_for_function("width => innerWidth === width", arg=width)
        tops = {name: (place.bounding_box(timeout=SLOW) or {})["y"] for name, place in places.items()}
        assert min(tops, key=lambda name: tops[name]) == first, tops


def test_every_input_has_a_label_and_headings_have_two_levels(
    window: Page, server: tuple[str, Standin], scripted: Standin
) -> None:
    scripted.trips = [trip("ticket-helper")]
    page = _open(window, server)
    expect(_agent(page, "ticket-helper")).to_be_visible(timeout=SLOW)

    assert page.locator("h1").count() == 1
    assert page.locator("h2").count() > 1
    assert page.locator("h3, h4, h5, h6").count() == 0, "no level is left out"
    names = [each.get_attribute("aria-label") for each in page.locator("input:visible").all()]
    assert names
    assert all(names), names


def test_the_address_in_an_alert_leads_to_its_trip_and_no_other(
    window: Page, server: tuple[str, Standin], scripted: Standin
) -> None:
    scripted.trips = [trip("newest", 3), trip("ticket-helper", 2), trip("oldest", 1)]
    page = _open(window, (f"{server[0]}/{INCIDENT}trn_2", scripted))
    who = page.locator(".st-key-fact-who")
    expect(who.get_by_text("ticket-helper")).to_be_visible(timeout=SLOW)
    assert page.url.endswith("/incident?trip=trn_2")

    _unfold(page, "Trip")
    page.get_by_role("option").filter(has_text="oldest").click()
    expect(who.get_by_text("oldest")).to_be_visible(timeout=SLOW)
    assert page.url.endswith("/incident?trip=trn_1")

    page = _open(window, (f"{server[0]}/{INCIDENT}trn_0", scripted))
    expect(page.get_by_text("The board no longer remembers this trip.")).to_be_visible(timeout=SLOW)
    expect(who).to_have_count(0)


def test_what_is_shown_does_not_fade_while_a_refresh_takes_long(
    window: Page, server: tuple[str, Standin], scripted: Standin
) -> None:
    page = _open(window, server)
    expect(_agent(page, "ticket-helper")).to_be_visible(timeout=SLOW)
    page.evaluate(_WATCH_OPACITY)
    scripted.pause = 2.5
    _refreshed(page)
    _refreshed(page)
    scripted.pause = 0.0

    assert page.evaluate("window.faintest") == 1


_WATCH_OPACITY = """() => {
    window.faintest = 1;
    const look = () => {
        for (const each of document.querySelectorAll("[class*='st-key-tile-'] [data-testid=stElementContainer]"))
            window.faintest = Math.min(window.faintest, +getComputedStyle(each).opacity);
        requestAnimationFrame(look);
    };
    look();
}"""


def test_what_comes_while_somebody_reads_can_be_chosen_and_what_they_type_stays(
    window: Page, server: tuple[str, Standin], scripted: Standin
) -> None:
    scripted.approvals = [approval("buyer")]
    page = _open(window, (f"{server[0]}/approvals?approval={approval('buyer')['id']}", scripted))
    reason = page.get_by_label("Reason (recorded with your name)")
    reason.click(timeout=SLOW)
    page.keyboard.type("checked with ")
    scripted.approvals.append(approval("seller", 2))
    expect(page.get_by_role("heading", name="2 wait")).to_be_visible(timeout=SLOW)
    page.keyboard.type("the supplier")
    expect(reason).to_have_value("checked with the supplier")

    scripted.approvals[0].update(stage="denied", live=False, reason="denied by kim: too many")
    expect(page.locator(".st-key-approval-detail").get_by_text("denied by kim: too many")).to_be_visible(timeout=SLOW)
    expect(page.get_by_role("button", name="Approve exactly this")).to_have_count(0, timeout=SLOW)
    _unfold(page, "Read and answer")
    expect(page.get_by_role("option").filter(has_text="seller")).to_be_visible(timeout=SLOW)


def test_the_story_of_the_first_trip_comes_by_itself_and_the_next_can_be_chosen(
    window: Page, server: tuple[str, Standin], scripted: Standin
) -> None:
    page = _open(window, (f"{server[0]}/incident", scripted))
    expect(page.get_by_text("No circuit has opened")).to_be_visible(timeout=SLOW)
    scripted.trips = [trip("ticket-helper")]
    who = page.locator(".st-key-fact-who")
    expect(who.get_by_text("ticket-helper")).to_be_visible(timeout=SLOW)

    scripted.trips.insert(0, trip("label-bot", 2))
    expect(page.get_by_text(re.compile("^Live"))).to_be_visible(timeout=SLOW)
    _refreshed(page)
    _refreshed(page)
    _unfold(page, "Trip")
    expect(page.get_by_role("option").filter(has_text="label-bot")).to_be_visible(timeout=SLOW)
    expect(who.get_by_text("ticket-helper")).to_be_visible()


def test_what_is_written_from_right_to_left_moves_nothing_beside_it(
    window: Page, server: tuple[str, Standin], scripted: Standin
) -> None:
    row = approval("buyer", arguments='{"\u05d0\u05d1":100,"to":["\u05d2",200]}')
    scripted.approvals = [row]
    page = _open(window, (f"{server[0]}/approvals?approval={row['id']}", scripted))
    code = page.get_by_test_id("stCode").filter(has_text="100")
    expect(code).to_be_visible(timeout=SLOW)
    key, number = (code.get_by_text(text, exact=True).last.bounding_box() for text in ('"\u05d0\u05d1"', "100"))
    assert key
    assert number
    assert number["y"] == key["y"]
    assert number["x"] > key["x"], "a name is left of its value"


def test_the_board_has_an_address_of_its_name(window: Page, server: tuple[str, Standin], scripted: Standin) -> None:
    page = _open(window, (f"{server[0]}/board?find=ticket", scripted))
    expect(_agent(page, "ticket-helper")).to_be_visible(timeout=SLOW)
    expect(page.get_by_label("Find an agent, owner or team")).to_have_value("ticket")
    expect(page.get_by_text("Page not found")).to_have_count(0)


def test_nothing_can_be_ordered_while_watch_is_silent(
    window: Page, server: tuple[str, Standin], scripted: Standin
) -> None:
    page = _open(window, server)
    names = ("Kill…", "Kill all…", "Resume all…")
    for name in names:
        expect(page.get_by_role("button", name=name)).to_be_enabled(timeout=SLOW)
    scripted.silent = True
    for name in names:
        expect(page.get_by_role("button", name=name)).to_be_disabled(timeout=SLOW)
    scripted.silent = False
    for name in names:
        expect(page.get_by_role("button", name=name)).to_be_enabled(timeout=SLOW)
