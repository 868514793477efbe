"""Who sees what, and who may order: by an OpenID Connect provider, in a real Chromium."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from collector.setup import prepare
from dashboards.oidc import OidcRules, People, Role, load_oidc
from dashboards.service import ROLE, Dashboard
from fusebox.config import Config
from fusebox.errors import ConfigError
from fusebox.rundir import dashboard_page, lookup
from tests.dashboards.provider import SECRET, Provider, providing
from tests.dashboards.standin import TOKEN, Standin, running, tile, trip
from tests.fixtures.collector import until

SLOW = 30_000
ROLES = """
[operator]
emails = ["Jo@example.com"]
[auditor]
groups = ["revision"]
[viewer]
emails = ["*@example.com"]
"""


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with providing(Provider()) as started:
        yield started


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory, provider: Provider) -> Config:
    """With the provider's file beside the data folder, which a role of the collector has prepared."""
    folder: Path = tmp_path_factory.mktemp("oidc")
    (folder / "secret").write_text(SECRET + "\n")
    _write(folder / "oidc.toml", provider, ROLES)
    made = Config(data_dir=folder / "data", dashboard_port=0, oidc_file=folder / "oidc.toml")
    prepare(made)
    return made


def _write(file: Path, provider: Provider, roles: str) -> None:
    metadata = f"{provider.url}/.well-known/openid-configuration"
    head = f'metadata_url = "{metadata}"\nclient_id = "fusebox"\nclient_secret_file = "{file.parent}/secret"\n'
    file.write_text(head + roles)


@pytest.fixture(scope="module")
def server(config: Config) -> Iterator[tuple[str, Standin]]:
    """The dashboard, and the control API that it asks with a token of its own."""
    with running(Standin()) as scripted:
        service = Dashboard(config.model_copy(update={"control_url": scripted.url}))
        service.start()
        info = lookup(config.data_dir, ROLE)
        assert info
        yield info["url"], scripted
        service.stop()
    assert not (config.data_dir / "run" / "dashboard_secrets.toml").exists()


@pytest.fixture
def scripted(server: tuple[str, Standin], config: Config) -> Standin:
    """The control API, put back to one quiet agent."""
    server[1].__init__(tile("ticket-helper"))  # type: ignore[misc]
    server[1].readers = {(config.data_dir / "dashboard.token").read_text().strip()}
    return server[1]


def _come(window: Page, url: str, provider: Provider, **claims: Any) -> Page:
    """Sign in as somebody."""
    provider.person = {"sub": "1", "email_verified": True, **claims}
    window.goto(url)
    window.get_by_role("button", name="Sign in").click(timeout=SLOW)
    return window


def _sees_the_board(page: Page) -> None:
    expect(page.locator("[class*='st-key-agent-']").get_by_text("ticket-helper")).to_be_visible(timeout=SLOW)


def test_a_viewer_sees_and_cannot_order_or_read_what_is_the_auditors(
    window: Page, server: tuple[str, Standin], scripted: Standin, provider: Provider
) -> None:
    page = _come(window, server[0], provider, email="ann@example.com")
    _sees_the_board(page)

    expect(page.get_by_text("ann@example.com · viewer")).to_be_visible(timeout=SLOW)
    expect(page.get_by_role("button", name="Kill")).to_have_count(0)
    expect(page.get_by_role("link", name="Audit")).to_have_count(0)
    page.goto(f"{server[0]}/audit")
    expect(page.get_by_text("ann@example.com · viewer")).to_be_visible(timeout=SLOW)
    expect(page.get_by_role("heading", name="Audit")).to_have_count(0)


def test_an_auditor_by_group_reads_the_audit_log_and_cannot_order(
    window: Page, server: tuple[str, Standin], scripted: Standin, provider: Provider
) -> None:
    page = _come(window, server[0], provider, email="kim@elsewhere.example", groups=["revision", "x"])
    _sees_the_board(page)

    expect(page.get_by_role("button", name="Kill")).to_have_count(0)
    page.get_by_role("link", name="Audit").first.click()
    expect(page.get_by_role("heading", name="Audit", level=1)).to_be_visible(timeout=SLOW)
    page.get_by_role("tab", name="SQL").click()
    expect(page.get_by_label("Your own token")).to_be_visible(timeout=SLOW)


def test_an_operator_orders_with_a_token_of_their_own_which_is_asked_for_once(
    window: Page, server: tuple[str, Standin], scripted: Standin, provider: Provider
) -> None:
    page = _come(window, server[0], provider, email="jo@example.com")
    _sees_the_board(page)
    page.get_by_role("button", name="Kill…").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Your operator token").fill("not-a-token")
    dialog.get_by_label("Reason").fill("loops")
    dialog.get_by_role("button", name="Kill this agent").click()
    expect(dialog.get_by_text("no such token")).to_be_visible(timeout=SLOW)
    assert scripted.orders == []

    dialog.get_by_label("Your operator token").fill(TOKEN)
    dialog.get_by_role("button", name="Kill this agent").click()
    page.get_by_role("button", name="Resume…").click(timeout=SLOW)
    expect(dialog.get_by_label("Reason")).to_be_visible(timeout=SLOW)
    expect(dialog.get_by_label("Your operator token")).to_have_count(0)
    assert scripted.orders == [("kill", {"scope": "agent:ticket-helper", "reason": "loops"})]


def test_a_role_that_is_taken_away_closes_the_dialog_and_then_the_page(
    window: Page, server: tuple[str, Standin], scripted: Standin, provider: Provider, config: Config
) -> None:
    assert config.oidc_file
    page = _come(window, server[0], provider, email="jo@example.com")
    page.get_by_role("button", name="Kill…").click(timeout=SLOW)
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_label("Your operator token")).to_be_visible(timeout=SLOW)
    try:
        _write(config.oidc_file, provider, '[viewer]\nemails = ["jo@example.com"]')
        expect(dialog).to_have_count(0, timeout=SLOW)
        expect(page.get_by_role("button", name="Kill")).to_have_count(0, timeout=SLOW)
        _sees_the_board(page)

        _write(config.oidc_file, provider, '[viewer]\nemails = ["ann@example.com"]')
        expect(page.get_by_text("you have no role here")).to_be_visible(timeout=SLOW)
        expect(page.get_by_text("ticket-helper")).to_have_count(0)
    finally:
        _write(config.oidc_file, provider, ROLES)


def test_who_is_no_operator_any_more_sees_no_approvals(
    window: Page, server: tuple[str, Standin], scripted: Standin, provider: Provider, config: Config
) -> None:
    assert config.oidc_file
    page = _come(window, server[0], provider, email="jo@example.com")
    page.get_by_role("link", name="Approvals").first.click(timeout=SLOW)
    page.get_by_label("Your operator token").fill(TOKEN)
    page.get_by_role("button", name="Show what waits").click()
    expect(page.get_by_text("Nothing waits for a person")).to_be_visible(timeout=SLOW)
    try:
        _write(config.oidc_file, provider, '[viewer]\nemails = ["jo@example.com"]')
        expect(page.get_by_text("jo@example.com · viewer")).to_be_visible(timeout=SLOW)
        expect(page.get_by_text("Nothing waits for a person")).to_have_count(0, timeout=SLOW)
    finally:
        _write(config.oidc_file, provider, ROLES)


@pytest.mark.parametrize(
    "claims", [{"email": "eve@elsewhere.example"}, {"email": "jo@example.com", "email_verified": False}]
)
def test_a_stranger_sees_nothing(
    window: Page, server: tuple[str, Standin], scripted: Standin, provider: Provider, claims: dict[str, Any]
) -> None:
    page = _come(window, server[0], provider, **claims)

    expect(page.get_by_text("you have no role here")).to_be_visible(timeout=SLOW)
    expect(page.get_by_text("ticket-helper")).to_have_count(0)
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_text("you have no role here")).to_have_count(0, timeout=SLOW)


def test_a_provider_that_is_down_is_told_and_the_next_try_signs_in(
    window: Page, server: tuple[str, Standin], scripted: Standin, provider: Provider
) -> None:
    provider.down = True
    try:
        page = _come(window, server[0], provider, email="ann@example.com")
        expect(page.get_by_text("The identity provider does not answer")).to_be_visible(timeout=SLOW)
    finally:
        provider.down = False
    page.get_by_role("button", name="Sign in").click()

    _sees_the_board(page)


def test_signing_out_ends_it(window: Page, server: tuple[str, Standin], scripted: Standin, provider: Provider) -> None:
    page = _come(window, server[0], provider, email="ann@example.com")
    _sees_the_board(page)
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("button", name="Sign in")).to_be_visible(timeout=SLOW)
    named = page.context.cookies
    until(lambda: "_streamlit_user" not in {cookie.get("name") for cookie in named()}, "the cookie is gone")
    page.goto(server[0])

    expect(page.get_by_role("button", name="Sign in")).to_be_visible(timeout=SLOW)


def test_signing_out_ends_it_in_other_windows_and_for_a_copy_of_the_cookie(
    window: Page, server: tuple[str, Standin], scripted: Standin, provider: Provider
) -> None:
    page = _come(window, server[0], provider, email="ann@example.com")
    _sees_the_board(page)
    cookies = page.context.cookies()
    other = page.context.new_page()
    other.goto(f"{server[0]}/health")
    expect(other.get_by_text("ann@example.com · viewer")).to_be_visible(timeout=SLOW)
    page.get_by_role("button", name="Sign out").click()

    expect(other.get_by_role("button", name="Sign in")).to_be_visible(timeout=SLOW)
    expect(other.get_by_role("heading", name="Health")).to_have_count(0)
    page.context.add_cookies(cookies)  # type: ignore[arg-type]
    other.goto(server[0])
    expect(other.get_by_role("button", name="Sign in")).to_be_visible(timeout=SLOW)


@pytest.mark.parametrize("audience", ["another", ["another", "a-third"]])
def test_what_the_provider_told_another_client_signs_nobody_in(
    window: Page, server: tuple[str, Standin], scripted: Standin, provider: Provider, audience: Any
) -> None:
    page = _come(window, server[0], provider, email="jo@example.com", aud=audience, azp="fusebox")

    expect(page.get_by_text("you have no role here")).to_be_visible(timeout=SLOW)
    expect(page.get_by_text("ticket-helper")).to_have_count(0)


def test_a_dashboard_whose_own_token_is_refused_says_so(
    window: Page, server: tuple[str, Standin], scripted: Standin, provider: Provider
) -> None:
    scripted.readers.clear()
    page = _come(window, server[0], provider, email="ann@example.com")

    expect(page.get_by_text("watch refuses this dashboard's own token")).to_be_visible(timeout=SLOW)
    expect(page.get_by_text("ticket-helper")).to_have_count(0)


@pytest.mark.parametrize("name", ["incident", "agents"])
def test_a_page_that_came_while_watch_was_silent_comes_back_by_itself(
    window: Page, server: tuple[str, Standin], scripted: Standin, provider: Provider, name: str
) -> None:
    scripted.trips = [trip("ticket-helper")]
    scripted.silent = True
    page = _come(window, server[0], provider, email="ann@example.com")
    expect(page.get_by_text("watch does not answer")).to_be_visible(timeout=SLOW)
    page.goto(f"{server[0]}/{name}")
    expect(page.get_by_role("heading", name=name.title())).to_be_visible(timeout=SLOW)
    expect(page.get_by_text("watch does not answer")).to_be_visible(timeout=SLOW)
    scripted.silent = False

    expect(page.get_by_label("Trip" if name == "incident" else "Agent")).to_be_visible(timeout=SLOW)
    expect(page.get_by_text("watch does not answer")).to_have_count(0, timeout=SLOW)


def test_the_providers_secret_is_the_owners_only(server: tuple[str, Standin], config: Config) -> None:
    file = config.data_dir / "run" / "dashboard_secrets.toml"

    assert until(file.exists, "it is written")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert SECRET in file.read_text()


def test_the_highest_role_counts(config: Config) -> None:
    assert config.oidc_file
    rules = load_oidc(config.oidc_file)
    jo = {"aud": "fusebox", "email": "jo@example.com", "email_verified": True, "groups": "revision"}

    assert rules.role(jo) is Role.OPERATOR
    assert rules.role(jo | {"email_verified": False}) is Role.AUDITOR
    assert rules.role(jo | {"email": "ann@example.com", "groups": []}) is Role.VIEWER
    assert rules.role({"aud": ["fusebox"], "email": None, "groups": None}) is None


def test_another_mailbox_that_reads_alike_is_another_person() -> None:
    rules = OidcRules(
        metadata_url="https://login.example.com/x", client_id="c", client_secret_file=Path("s"),
        operator=People(emails=("Kim@Strasse.example",)),
    )  # fmt: skip

    assert rules.role({"aud": "c", "email": "kim@strasse.EXAMPLE", "email_verified": True}) is Role.OPERATOR
    for other in ("kim@straße.example", "\u212aim@strasse.example"):
        assert rules.role({"aud": "c", "email": other, "email_verified": True}) is None


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"metadata_url": "http://login.example.com/x"}, "neither https nor on this machine"),
        ({"url": "https://example.com/fusebox"}, "has a path"),
        ({"viewer": "[viewr]"}, "viewr"),
        ({"viewer": ""}, "nobody has a role"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_by_name(tmp_path: Path, changed: dict[str, str], why: str) -> None:
    values = {"metadata_url": "https://login.example.com/x", "client_id": "c", "client_secret_file": "s"} | changed
    section = values.pop("viewer", '[viewer]\nemails = ["a@b.c"]')
    file = tmp_path / "oidc.toml"
    file.write_text("".join(f'{name} = "{value}"\n' for name, value in values.items()) + section)

    with pytest.raises(ConfigError, match=why):
        load_oidc(file)


def test_a_dashboard_that_is_open_to_the_network_needs_a_provider_and_an_address(
    config: Config, provider: Provider, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="oidc_file"):
        Dashboard(Config(data_dir=tmp_path, dashboard_host="0.0.0.0"))
    with pytest.raises(ConfigError, match="https url"):
        Dashboard(config.model_copy(update={"dashboard_host": "0.0.0.0"}))
    _write(tmp_path / "oidc.toml", provider, ROLES)
    file = tmp_path / "oidc.toml"
    file.write_text('url = "https://fusebox.example.com"\n' + file.read_text())
    Dashboard(Config(data_dir=tmp_path, dashboard_host="0.0.0.0", oidc_file=file))


def test_who_links_to_the_dashboard_links_to_the_address_that_people_reach(
    server: tuple[str, Standin], config: Config, provider: Provider, tmp_path: Path
) -> None:
    assert dashboard_page(config.data_dir) == server[0]
    file = tmp_path / "oidc.toml"
    (tmp_path / "secret").write_text(SECRET)
    _write(file, provider, 'url = "https://fusebox.example.com/"\n' + ROLES)
    service = Dashboard(Config(data_dir=tmp_path, dashboard_port=0, oidc_file=file))
    service.start()
    try:
        assert dashboard_page(tmp_path) == "https://fusebox.example.com"
        assert str((lookup(tmp_path, ROLE) or {})["url"]).startswith("http://127.0.0.1:")
    finally:
        service.stop()
