"""The pages behind the buttons of an alert, on a phone: nothing is cut off, and what is to be read comes first."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from governance.approvals.request import Request, exact
from tests.fixtures.watch import Harness

WIDTH = 400


@pytest.fixture
def phone(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": WIDTH, "height": 800}, is_mobile=True)
    yield context.new_page()
    context.close()


def _open(phone: Page, harness: Harness, path: str) -> Page:
    """By keyboard alone."""
    phone.goto(f"{harness.watch.url}/confirm/{path}")
    token = (harness.config.data_dir / "operator.token").read_text().strip()
    field = phone.get_by_label("operator token")
    expect(field).to_be_focused()
    phone.keyboard.type(token)
    expect(field).to_have_value(token)
    phone.keyboard.press("Enter")
    expect(phone.get_by_label("Reason")).to_be_visible()
    return phone


def _fits(phone: Page) -> bool:
    return bool(phone.evaluate("document.documentElement.scrollWidth") == WIDTH)


@pytest.mark.parametrize("order", ["kill", "resume"])
def test_an_order_about_an_agent_with_a_long_name_fits_and_is_given_by_keyboard(
    phone: Page, harness: Harness, order: str
) -> None:
    agent = "a" * 100
    if order == "resume":
        harness.operator().kill(f"agent:{agent}", "to have something to resume")
    page = _open(phone, harness, f"{order}?scope=agent:{agent}")
    assert _fits(page)
    page.keyboard.type("it loops")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name=f"{order.title()} ordered")).to_be_visible()
    assert _fits(page)


def test_what_a_person_agrees_to_is_before_their_eyes_when_the_page_opens(phone: Page, harness: Harness) -> None:
    arguments = exact({"lines": list(range(500)), "note": "n" * 500})
    request = Request("buyer", "tool_call", "erp.commit", "/orders/" + "y" * 300, arguments, origin="m")
    body = {"process": "p1", "request": request.json(), "nonce": "n" * 32, "by_origin": True, "named": ""}
    approval = harness.agent().send("hold", body)["approval"]
    page = _open(phone, harness, f"approval?scope={approval}")
    assert _fits(page)
    expect(page.get_by_text("Agent: buyer")).to_be_in_viewport()
    expect(page.get_by_role("button", name="Approve")).not_to_be_in_viewport()
