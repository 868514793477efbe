"""Kill, resume and modes: never without a reason and a confirmation, followed by their Receipts."""

from __future__ import annotations

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from tests.dashboards.page import press, signed_in, texts, words
from tests.dashboards.standin import Standin, running, tile

Patch = pytest.MonkeyPatch


def _confirm(page: AppTest, label: str, reason: str) -> AppTest:
    page.text_input(key="reason").input(reason)
    return press(page, label)


def test_a_kill_needs_a_reason(monkeypatch: Patch, tmp_path: Path, standin: Standin) -> None:
    page = press(signed_in(monkeypatch, tmp_path, standin), "Kill…")
    page = _confirm(page, "Kill this agent", "   ")

    assert "Say why" in words(page)
    assert standin.orders == []


def test_pressing_kill_only_asks(monkeypatch: Patch, tmp_path: Path, standin: Standin) -> None:
    press(signed_in(monkeypatch, tmp_path, standin), "Kill…")

    assert standin.orders == []


def test_a_confirmed_kill_reaches_watch_and_shows_on_the_board(
    monkeypatch: Patch, tmp_path: Path, standin: Standin
) -> None:
    page = press(signed_in(monkeypatch, tmp_path, standin), "Kill…")
    page = _confirm(page, "Kill this agent", "argues with itself")

    assert standin.orders == [("kill", {"scope": "agent:ticket-helper", "reason": "argues with itself"})]
    assert "killed by ann: argues with itself" in texts(page)
    assert "Kill…" not in [button.label for button in page.button]


def test_receipts_are_shown_as_they_arrive(monkeypatch: Patch, tmp_path: Path, standin: Standin) -> None:
    page = _confirm(press(signed_in(monkeypatch, tmp_path, standin), "Kill…"), "Kill this agent", "why")
    assert "0 of 2 processes have confirmed" in words(page)

    standin.received["shop-2"] = 1.0
    page.run()
    assert "1 of 2 processes have confirmed" in words(page)
    assert "waiting for shop-1" in texts(page)

    standin.received["shop-1"] = 2.0
    page.run()
    assert "2 of 2 processes have confirmed" in words(page)


def test_kill_all_needs_a_second_confirmation(monkeypatch: Patch, tmp_path: Path, standin: Standin) -> None:
    page = press(signed_in(monkeypatch, tmp_path, standin), "Kill all…")
    page = _confirm(page, "Kill every agent", "gateway melts")
    assert "Tick the box" in words(page)
    assert standin.orders == []

    page.checkbox(key="sure").check()
    page = _confirm(page, "Kill every agent", "gateway melts")
    assert standin.orders == [("kill", {"scope": "all", "reason": "gateway melts"})]


def test_who_resumes_all_reads_that_it_undoes_what_others_ordered(monkeypatch: Patch, tmp_path: Path) -> None:
    with running(Standin(tile("payer", "open"), tile("reader", "forced_open"), tile("label-bot"))) as scripted:
        page = press(signed_in(monkeypatch, tmp_path, scripted), "Resume all…")

        assert "Every kill is lifted, whoever ordered it" in words(page)
        assert "Now: 1 killed, 1 open, 1 closed" in texts(page)


def test_resume_lifts_what_was_killed(monkeypatch: Patch, tmp_path: Path, standin: Standin) -> None:
    page = _confirm(press(signed_in(monkeypatch, tmp_path, standin), "Kill…"), "Kill this agent", "why")
    page = _confirm(press(page, "Resume…"), "Resume this agent", "fixed the prompt")

    assert standin.orders[-1] == ("resume", {"scope": "agent:ticket-helper", "reason": "fixed the prompt"})
    assert "1 closed" in words(page)


def test_observe_only_and_back(monkeypatch: Patch, tmp_path: Path, standin: Standin) -> None:
    page = press(signed_in(monkeypatch, tmp_path, standin), "Observe…")
    page = _confirm(page, "Observe this agent", "learning its rhythm")
    page = _confirm(press(page, "Enforce…"), "Enforce this agent", "done")

    assert [body["mode"] for _, body in standin.orders] == ["observe_only", "normal"]


def test_a_refused_order_shows_the_servers_own_sentence(monkeypatch: Patch, tmp_path: Path, standin: Standin) -> None:
    standin.refusal = "no such agent: ticket-helper"
    page = _confirm(press(signed_in(monkeypatch, tmp_path, standin), "Kill…"), "Kill this agent", "why")

    assert "Nothing was done" in words(page)
    assert "no such agent: ticket-helper" in texts(page)


def test_a_kill_that_gets_no_answer_is_not_reported_as_done(monkeypatch: Patch, tmp_path: Path) -> None:
    with running(Standin(tile("ticket-helper"))) as scripted:
        page = press(signed_in(monkeypatch, tmp_path, scripted), "Kill…")
    page = _confirm(page, "Kill this agent", "why")

    assert "not known whether" in words(page)


def test_an_order_that_watch_could_not_finish_says_why(monkeypatch: Patch, tmp_path: Path, standin: Standin) -> None:
    standin.unable = "the latch file cannot be written (disk full); nothing was resumed"
    page = _confirm(press(signed_in(monkeypatch, tmp_path, standin), "Kill…"), "Kill this agent", "why")

    assert "not known whether" in words(page)
    assert standin.unable in texts(page)


def test_an_order_of_before_a_restart_of_watch_waits_for_nobody(
    monkeypatch: Patch, tmp_path: Path, standin: Standin
) -> None:
    page = _confirm(press(signed_in(monkeypatch, tmp_path, standin), "Kill…"), "Kill this agent", "why")
    standin.received["shop-2"] = 1.0
    page.run()
    standin.restarted = True
    page.run()

    assert "1 of 2 processes had confirmed when watch started anew" in words(page)
    assert "waiting for" not in " ".join(texts(page))


def test_who_is_no_operator_any_more_orders_nothing(monkeypatch: Patch, tmp_path: Path, standin: Standin) -> None:
    page = press(signed_in(monkeypatch, tmp_path, standin), "Kill…")
    page.text_input(key="reason").input("why")
    monkeypatch.setattr("dashboards.actions.may", lambda *_: False)
    press(page, "Kill this agent")

    assert standin.orders == []


def test_a_high_risk_agent_is_resumed_by_two(monkeypatch: Patch, tmp_path: Path) -> None:
    with running(Standin(tile("payer", "open", risk="high"), tile("reader", "open"))) as scripted:
        page = press(signed_in(monkeypatch, tmp_path, scripted), "Resume…", 1)
        assert [field.key for field in page.text_input if field.key == "second-token"] == [], (
            "one is enough for this one"
        )
        page = press(signed_in(monkeypatch, tmp_path, scripted), "Resume…")
        page.text_input(key="second-token").input("op_token_of_ann")
        _confirm(page, "Resume this agent", "looked into")

    assert scripted.orders == [("resume", {"scope": "agent:payer", "reason": "looked into"})]
    assert scripted.second == "op_token_of_ann"
