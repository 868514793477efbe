"""Confirmation pages: looking orders nothing, only an operator who is logged in and confirms does."""

from __future__ import annotations

import http.client
import re
from pathlib import Path
from urllib.parse import urlencode, urljoin, urlsplit

import pytest
import requests

from collector.tokens import Tokens
from collector.watch import sessions
from fusebox.config import Config
from tests.fixtures.authority import Authority
from tests.fixtures.secured import Secured
from tests.fixtures.watch import Harness

KILL = "/confirm/kill?scope=agent%3Abot"
NASTY = 'agent:"><script>alert(1)</script>'


class Browser:
    """Keeps cookies, follows nothing by itself."""

    def __init__(self, harness: Harness) -> None:
        self.address = urlsplit(harness.watch.url)
        self.cookie = ""
        self.headers: dict[str, str] = {}

    def get(self, path: str, method: str = "GET") -> tuple[int, str]:
        return self._call(method, path)

    def post(self, path: str, **fields: str) -> tuple[int, str]:
        return self._call("POST", path, urlencode(fields), {"content-type": "application/x-www-form-urlencoded"})

    def _call(self, method: str, path: str, body: str = "", more: dict[str, str] | None = None) -> tuple[int, str]:
        connection = http.client.HTTPConnection(self.address.hostname or "", self.address.port, timeout=10)
        connection.request(method, path, body or None, {"cookie": self.cookie, **(more or {})})
        answer = connection.getresponse()
        text = answer.read().decode()
        self.headers = {name.lower(): value for name, value in answer.getheaders()}
        self.cookie = self.headers.get("set-cookie", self.cookie).partition(";")[0]
        connection.close()
        return answer.status, text

    def logged_in(self, token: str, path: str = KILL) -> str:
        """The page after logging in; its word."""
        query = dict(re.findall(r"([^?&=]+)=([^&]*)", path.replace("%3A", ":")))
        status, _ = self.post("/login", order=path.split("/")[2].split("?")[0], token=token, scope=query["scope"])
        assert status == 303
        return word(self.get(urljoin("/login", self.headers["location"]))[1])


def word(page: str) -> str:
    found = re.search(r'name="word" value="([^"]+)"', page)
    assert found, page
    return found[1]


@pytest.fixture
def browser(harness: Harness) -> Browser:
    return Browser(harness)


def token(harness: Harness) -> str:
    return (harness.config.data_dir / "operator.token").read_text().strip()


def kills(harness: Harness) -> list[str]:
    return [latch["scope"] for latch in harness.operator().board()["latches"]]


def test_a_scanner_that_follows_links_changes_nothing_and_learns_nothing(harness: Harness, browser: Browser) -> None:
    for method in ("GET", "HEAD"):
        status, page = browser.get(KILL, method)
        assert (status, "Reason" in page) == (200, False)
    assert browser.post("/confirm/kill", scope="agent:bot", reason="x", word="guess")[1].count("Log in")
    assert kills(harness) == []


def test_an_operator_logs_in_reads_confirms_and_is_named_in_the_journal(harness: Harness, browser: Browser) -> None:
    secret = browser.logged_in(token(harness))
    status, page = browser.post("/confirm/kill", scope="agent:bot", reason="it loops", word=secret)
    assert (status, "Kill ordered" in page) == (200, True)
    assert kills(harness) == ["agent:bot"]
    (entry,) = harness.journal("kill")
    assert (entry["actor"], entry["reason"]) == ("operator:local", "it loops")
    secret = word(browser.get("/confirm/resume?scope=agent%3Abot")[1])
    assert browser.post("/confirm/resume", scope="agent:bot", reason="fine now", word=secret)[0] == 200
    assert kills(harness) == []


def test_a_proxy_may_serve_the_pages_under_a_path_of_its_own(harness: Harness, tmp_path: Path) -> None:
    authority = Authority(tmp_path, "authority")
    with Secured(harness.watch.url, authority.issue("proxy"), cut="/fuse") as proxy, requests.Session() as browser:
        browser.trust_env, browser.verify = False, str(authority.file)

        def send(answer: requests.Response, **fields: str) -> requests.Response:
            """Fill in the form of a page and send it where the page says."""
            action = re.findall(r"<form method=post action=([^>]+)>", answer.text)[0]
            known = dict(re.findall(r'<input type=hidden name="(\w+)" value="([^"]*)">', answer.text))
            return browser.post(urljoin(answer.url, action), data=known | fields, timeout=10)

        wrong = send(browser.get(f"{proxy.url}{KILL}", timeout=10), token="guess")
        asked = send(wrong, token=token(harness))
        assert "Kill ordered" in send(asked, reason="it loops").text
    assert kills(harness) == ["agent:bot"]


def test_a_form_of_another_site_is_refused(harness: Harness, browser: Browser) -> None:
    browser.logged_in(token(harness))
    for forged in ("", "guess"):
        assert browser.post("/confirm/kill", scope="agent:bot", reason="x", word=forged)[0] == 403
    assert kills(harness) == []


def test_its_cookie_is_for_this_site_and_no_script(harness: Harness, browser: Browser) -> None:
    browser.post("/login", order="kill", scope="agent:bot", token=token(harness))
    cookie = browser.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    browser.get(KILL)
    assert browser.headers["content-security-policy"].startswith("default-src 'none'")
    assert browser.headers["cache-control"] == "no-store"


def test_a_wrong_token_opens_no_session(browser: Browser) -> None:
    status, page = browser.post("/login", order="kill", scope="agent:bot", token="guess")
    assert (status, "no operator" in page, "set-cookie" in browser.headers) == (401, True, False)


def test_a_session_ends_with_its_time_and_with_the_operators_token(
    harness: Harness, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    operators = Tokens(harness.config.data_dir / "operators.json")
    secret = browser.logged_in(operators.add("jo"))
    operators.remove("jo")
    assert "Log in" in browser.post("/confirm/kill", scope="agent:bot", reason="x", word=secret)[1]
    monkeypatch.setattr(sessions, "SESSION_S", -1.0)
    browser.post("/login", order="kill", scope="agent:bot", token=token(harness))
    assert "Log in" in browser.get(KILL)[1]
    assert kills(harness) == []


def test_a_scope_that_is_none_is_shown_as_text_and_refused(harness: Harness, browser: Browser) -> None:
    path = f"/confirm/kill?{urlencode({'scope': NASTY})}"
    assert "<script" not in browser.get(path)[1]
    secret = browser.logged_in(token(harness))
    page = browser.get(path)[1]
    assert "<script" not in page
    status, page = browser.post("/confirm/kill", scope=NASTY, reason="x", word=secret)
    assert (status, "<script" in page, "scope" in page) == (400, False, True)


def test_a_high_risk_agent_takes_a_second_operators_token(watch_config: Config, harness: Harness) -> None:
    watch_config.agents_file.write_text('[agents.bot]\nowner = "jo"\nrisk = "high"\n')
    harness.restart()
    operators = Tokens(harness.config.data_dir / "operators.json")
    browser, first, second = Browser(harness), operators.add("jo"), operators.add("mo")
    harness.operator().kill("agent:bot", "smells")
    secret = browser.logged_in(first, "/confirm/resume?scope=agent%3Abot")
    fields = {"scope": "agent:bot", "reason": "fine", "word": secret}
    assert browser.post("/confirm/resume", **fields)[0] == 403
    assert browser.post("/confirm/resume", **fields, second="guess")[0] == 401
    assert browser.post("/confirm/resume", **fields, second=token(harness))[0] == 403, "the machine is nobody"
    assert browser.post("/confirm/resume", **fields, second=second)[0] == 200
    assert kills(harness) == []


def test_there_are_no_other_orders(browser: Browser) -> None:
    assert browser.get("/confirm/reset?scope=agent%3Abot")[0] == 404
    assert browser.post("/login", order="reset", scope="agent:bot", token="x")[0] == 404
    assert browser.post("/confirm/kill", reason="x" * 20_000)[0] == 400
