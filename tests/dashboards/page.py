"""The page as AppTest runs it: in this process, against a stand-in control API."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest
from streamlit.util import calc_hash

from dashboards.launch import APP
from tests.dashboards.standin import TOKEN, Standin

Html = tuple[str, ...]


def opened(monkeypatch: pytest.MonkeyPatch, folder: Path, url: str | None) -> AppTest:
    """The page, not signed in, for a data folder and a control API."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("FUSEBOX_DATA_DIR", str(folder))
    if url:
        monkeypatch.setenv("FUSEBOX_CONTROL_URL", url)
    return AppTest.from_file(str(APP), default_timeout=20).run()


def sign_in(page: AppTest, token: str = TOKEN) -> AppTest:
    """Type the token and press the button."""
    page.text_input(key="token").input(token)
    return press(page, "Sign in")


def signed_in(monkeypatch: pytest.MonkeyPatch, folder: Path, standin: Standin) -> AppTest:
    """The page as an operator sees it."""
    return sign_in(opened(monkeypatch, folder, standin.url))


def press(page: AppTest, label: str, place: int = 0) -> AppTest:
    """Press the button with that label (the one at ``place`` when there are several)."""
    return [button for button in page.button if button.label == label][place].click().run()


def texts(page: AppTest) -> list[str]:
    """Everything shown as plain text."""
    return [element.value for element in page.text]


def words(page: AppTest) -> str:
    """Everything that a person reads, apart from tables."""
    kinds = (page.title, page.header, page.markdown, page.caption, page.text, page.code, page.error, page.info)
    return "\n".join(str(element.value) for kind in (*kinds, page.warning) for element in kind)


def tables(page: AppTest) -> list[list[dict[str, Any]]]:
    """Every table as rows."""
    return [frame.value.to_dict("records") for frame in page.dataframe]


def turn_to(page: AppTest, name: str, **filters: str) -> AppTest:
    """Go to another page by its address."""
    page._page_hash = calc_hash(name)  # what the browser sends; AppTest's own switch_page knows files only
    for key, value in filters.items():
        page.query_params[key] = value
    return page.run()
