"""What agents call themselves is shown, never obeyed."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest

import dashboards
from dashboards.text import visible
from fusebox.spelled import exactly
from tests.dashboards.hostile import HOSTILE
from tests.dashboards.page import press, signed_in, texts, turn_to
from tests.dashboards.standin import Standin, approval, running, tile, trip

SOURCES = sorted(Path(dashboards.__file__).parent.glob("*.py"))
MARKUP = ("markdown", "caption", "title", "header", "subheader", "error", "warning", "info", "success")


def _scripted() -> Standin:
    tiles = [
        tile(text, state, reason=text, owner=text, registered=index % 2 == 0)
        for index, (text, state) in enumerate((text, state) for text in HOSTILE for state in ("open",))
    ]
    scripted = Standin(*tiles, trips=tuple(_trip(text, number) for number, text in enumerate(HOSTILE)))
    scripted.processes = [{"process": t, "host": t, "pid": 1, "agents": [t], "seen": 0.0} for t in HOSTILE]
    scripted.latches = [
        {"id": "k", "scope": f"agent:{HOSTILE[0]}", "reason": t, "operator": t, "time": 0.0} for t in HOSTILE
    ]
    return scripted


def _trip(text: str, number: int) -> dict[str, object]:
    plain = trip(text, number, reason=text, actor=text)
    return {**plain, "finding": {**plain["finding"], "detector": text, "repeated": text}}


def test_no_element_that_reads_markup_ever_holds_stored_text(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with running(_scripted()) as scripted:
        page = signed_in(monkeypatch, tmp_path, scripted)
        page = press(page, "Kill…")

    assert not page.exception
    markup = [str(element.value) for kind in MARKUP for element in getattr(page, kind)]
    markup += [str(element.label) for element in (*page.button, *page.selectbox, *page.text_input, *page.metric)]
    for text in HOSTILE:
        fragment = visible(text)
        assert not [shown for shown in markup if fragment in shown or text in shown]
        assert fragment in texts(page), "the tile shows it as text"


def test_what_an_agent_wants_to_do_is_shown_and_never_obeyed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    scripted = Standin(tile("buyer"))
    scripted.approvals = [
        approval(text, number, operation=text, target=text, reason=text, contract=text, arguments=json.dumps([text]))
        for number, text in enumerate(HOSTILE, 1)
    ]
    with running(scripted):
        page = turn_to(signed_in(monkeypatch, tmp_path, scripted), "approvals")
        for row, text in zip(scripted.approvals, HOSTILE, strict=True):
            page = page.selectbox(key="chosen-approval").select(row["id"]).run()
            markup = [str(element.value) for kind in MARKUP for element in getattr(page, kind)]
            assert not [shown for shown in markup if visible(text) in shown or text in shown]
            assert exactly(text) in texts(page)
    assert not page.exception


def test_no_element_may_carry_html(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with running(_scripted()) as scripted:
        page = signed_in(monkeypatch, tmp_path, scripted)

    assert not [element for element in page.markdown if element.allow_html]


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)
def test_the_page_has_no_door_for_html_and_no_sql(source: Path) -> None:
    text = source.read_text()
    calls = [
        node.func.attr
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    ]

    assert "unsafe_allow_html" not in text
    assert "components" not in text
    assert calls.count("html") == (1 if source.name == "app.py" else 0)
    assert not re.search(r"\bSELECT\b|\bFROM otel|\bagent_events\b", text)


def test_invisible_characters_are_written_out() -> None:
    assert visible("a\u202eb\x00c\nd") == "a\\u202eb\\u0000c\\u000ad"
    assert visible("x" * 400, 10) == "x" * 10 + "…"
