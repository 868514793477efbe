"""The page "Approvals": everything an agent wants to do is shown, and what is shown is what is answered."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from tests.dashboards.page import press, signed_in, tables, texts, turn_to, words
from tests.dashboards.standin import Standin, approval

Patch = pytest.MonkeyPatch
HIDING = 'a "quoted"\u202e <script>alert(1)</script> **bold** ![x](http://evil)\x00 end'


def _page(monkeypatch: Patch, folder: Path, standin: Standin) -> AppTest:
    return turn_to(signed_in(monkeypatch, folder, standin), "approvals")


def _read(page: AppTest, row: dict[str, object]) -> AppTest:
    return page.selectbox(key="chosen-approval").select(row["id"]).run()


def test_nothing_waits(monkeypatch: Patch, tmp_path: Path, standin: Standin) -> None:
    told = words(_page(monkeypatch, tmp_path, standin))
    assert "Nothing waits for a person" in told
    assert "`hold = true` in its grant" in told


def test_what_waits_is_listed_with_what_is_over_apart(monkeypatch: Patch, tmp_path: Path, standin: Standin) -> None:
    standin.approvals = [approval("buyer"), approval("seller", 2, stage="denied")]
    page = _page(monkeypatch, tmp_path, standin)
    waiting, over = tables(page)
    assert [(row["Agent"], row["Wants to"]) for row in waiting] == [("buyer", "erp.commit on PO-1")]
    assert [(row["Agent"], row["Stage"]) for row in over] == [("seller", "denied")]


@pytest.mark.parametrize(("button", "approve"), [("Approve exactly this", True), ("Deny", False)])
def test_a_person_reads_all_of_it_and_answers_what_they_read(
    monkeypatch: Patch, tmp_path: Path, standin: Standin, button: str, approve: bool
) -> None:
    long = "x" * 3_000
    pushed = "\u200b" * 40 + "and 9,000 to evil"
    row = approval(
        "buyer",
        target=f"/{long}/a",
        contract=f"{long}c",
        arguments=json.dumps({"note": HIDING, "long": long, "pushed": pushed}),
    )
    standin.approvals = [row]
    page = _read(_page(monkeypatch, tmp_path, standin), row)
    (shown,) = [code.value for code in page.code if "note" in code.value]
    assert long in shown
    assert "\\u202e" in shown
    assert "<script>alert(1)</script>" in shown
    assert 'and 9,000 to evil"' in shown, "nothing is pushed out of sight by what is spelled out before it"
    assert {f"/{long}/a", f"{long}c"} <= set(texts(page)), "what it works on, and what it means, too"
    assert press(page, button).error[0].value.startswith("Say why")
    assert standin.orders == []
    page.text_input(key=f"reason-{row['id']}").input("read it")
    page = press(page, button)
    told = {"approval": row["id"], "digest": row["digest"], "approve": approve, "reason": "read it"}
    assert standin.orders == [("approvals/answer", told)]
    assert page.success[0].value.startswith("Recorded: it is")


def test_a_refusal_is_said_in_watchs_own_words(monkeypatch: Patch, tmp_path: Path, standin: Standin) -> None:
    standin.approvals = [approval("buyer")]
    standin.refusal = "ann may not answer apr_1; jo may"
    page = _read(_page(monkeypatch, tmp_path, standin), standin.approvals[0])
    page.text_input(key=f"reason-{standin.approvals[0]['id']}").input("read it")
    page = press(page, "Approve exactly this")
    assert "does not count" in words(page)
    assert standin.refusal in texts(page)


def test_a_silent_watch_is_said(monkeypatch: Patch, tmp_path: Path, standin: Standin) -> None:
    page = signed_in(monkeypatch, tmp_path, standin)
    standin.silent = True
    page = turn_to(page, "approvals")
    assert "watch does not answer" in words(page)
    assert "watch is starting" in texts(page), "why, in its own words"


def test_a_click_on_what_was_read_never_answers_what_was_chosen_meanwhile(
    monkeypatch: Patch, tmp_path: Path, standin: Standin
) -> None:
    read, other = standin.approvals = [approval("buyer"), approval("seller", 2)]
    page = _read(_page(monkeypatch, tmp_path, standin), read)
    page.text_input(key=f"reason-{read['id']}").input("read it")
    page.selectbox(key="chosen-approval").select(other["id"])
    press(page, "Approve exactly this")
    assert standin.orders == []
    assert [row["stage"] for row in standin.approvals] == ["pending", "pending"]


def test_that_an_answer_was_recorded_is_said_until_another_one_is_chosen(
    monkeypatch: Patch, tmp_path: Path, standin: Standin
) -> None:
    row, other = standin.approvals = [approval("buyer"), approval("seller", 2)]
    page = _read(_page(monkeypatch, tmp_path, standin), row)
    page.text_input(key=f"reason-{row['id']}").input("read it")
    page = press(page, "Approve exactly this")
    standin.approvals.append(approval("third", 3))
    assert page.run().run().success[0].value == "Recorded: it is approved."
    assert not _read(page, other).success
    assert not _read(page, row).success


@pytest.mark.parametrize("target", ["/orders ", "/or\u202eders", "C:\\u0041", '"a"', "a\nb"])
def test_a_target_that_could_be_taken_for_another_stands_in_quotes(
    monkeypatch: Patch, tmp_path: Path, standin: Standin, target: str
) -> None:
    row = approval("buyer", target=target)
    standin.approvals = [row]
    (shown,) = [text for text in texts(_read(_page(monkeypatch, tmp_path, standin), row)) if text.startswith('"')]
    assert json.loads(shown) == target
