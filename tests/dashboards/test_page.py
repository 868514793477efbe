"""The page as a person meets it: login, board, silence of watch, history."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from dashboards.view import Standing, read_board
from tests.dashboards.page import opened, press, sign_in, signed_in, tables, texts, words
from tests.dashboards.standin import NOW, TOKEN, Standin, running, tile, trip

Patch = pytest.MonkeyPatch
WARNING = {"detector": "burn", "reason": "twice its budget", "time": NOW - 7}


def test_nothing_but_the_login_form_is_shown_before_a_token_is_given(
    monkeypatch: Patch, tmp_path: Path, standin: Standin
) -> None:
    page = opened(monkeypatch, tmp_path, standin.url)

    assert not page.exception
    assert page.text_input(key="token").proto.type == page.text_input(key="token").proto.PASSWORD
    assert "ticket-helper" not in words(page)
    assert str(tmp_path / "operator.token") in words(page)


def test_a_wrong_token_is_refused_by_the_server_and_shows_no_board(
    monkeypatch: Patch, tmp_path: Path, standin: Standin
) -> None:
    page = sign_in(opened(monkeypatch, tmp_path, standin.url), "not-a-token")

    assert "refused" in words(page)
    assert "no such token" in texts(page)
    assert "ticket-helper" not in words(page)


def test_the_login_says_how_to_start_the_collector(monkeypatch: Patch, tmp_path: Path) -> None:
    page = sign_in(opened(monkeypatch, tmp_path, None))

    assert "fusebox up" in words(page)
    assert not page.exception


def test_a_token_that_is_withdrawn_ends_the_session(monkeypatch: Patch, tmp_path: Path, standin: Standin) -> None:
    page = signed_in(monkeypatch, tmp_path, standin)
    assert "ticket-helper" in texts(page)

    standin.tokens.clear()
    page.run()

    assert "no longer accepted" in words(page)
    assert "ticket-helper" not in words(page)


def test_signing_out_forgets_the_token(monkeypatch: Patch, tmp_path: Path, standin: Standin) -> None:
    page = press(signed_in(monkeypatch, tmp_path, standin), "Sign out")

    assert page.text_input(key="token").value == ""
    assert page.session_state["fusebox"].token == ""


def test_the_worst_agents_come_first(monkeypatch: Patch, tmp_path: Path) -> None:
    scripted = Standin(
        tile("fine"), tile("warned", warning=WARNING), tile("probing", "half_open"), tile("tripped", "open"),
        tile("cut", "forced_open"),
    )  # fmt: skip
    with running(scripted):
        page = signed_in(monkeypatch, tmp_path, scripted)

    agents = ["cut", "tripped", "probing", "warned", "fine"]
    assert [text for text in texts(page) if text in agents] == agents


def test_a_warning_tells_what_the_detector_said_and_not_how_the_circuit_last_moved(
    monkeypatch: Patch, tmp_path: Path
) -> None:
    moved = {"reason": "the probe succeeded", "finding": "fnd_1"}
    with running(Standin(tile("warned", **moved, warning=WARNING), tile("calm", **moved))) as scripted:
        page = signed_in(monkeypatch, tmp_path, scripted)

    assert "1 warning" in words(page)
    assert "for 7 s" in words(page)
    assert [text for text in texts(page) if text in ("twice its budget", "the probe succeeded")] == [
        "twice its budget", "the probe succeeded",
    ]  # fmt: skip


def test_a_budget_is_coloured_by_how_near_its_end_is() -> None:
    page = AppTest.from_function(_budgets).run()
    drawn = [str(getattr(node, "proto", "")) for node in page.main]
    colours = [re.findall("budget-(near|within)", block) for block in drawn if "budget-" in block]
    assert [bar.proto.text.split()[0] for bar in page.get("progress")] == ["97%", "3%"]
    assert colours == [["near"], ["within"]]


def _budgets() -> None:
    from dashboards.spend_page import draw_budgets
    from dashboards.view import read_board
    from tests.dashboards.standin import Standin, tile

    budgets = {"calm": 100_000.0, "busy": 3_500.0}
    tiles = (tile(agent, budget_tokens_per_minute=budget) for agent, budget in budgets.items())
    draw_budgets(read_board(Standin(*tiles).board()))


def test_a_tile_tells_state_in_words_and_what_the_agent_spends(monkeypatch: Patch, tmp_path: Path) -> None:
    tripped = tile(
        "ticket-helper", "open", reason="the same request six times", since=NOW - 42, held=7, denied=31,
        tokens_per_minute=15_000.0, budget_tokens_per_minute=20_000.0, cost_per_minute=0.184,
        budget_usd_per_minute=0.23, unpriced_per_minute=12,
    )  # fmt: skip
    with running(Standin(tripped)) as scripted:
        page = signed_in(monkeypatch, tmp_path, scripted)

    shown = words(page)
    assert "the same request six times" in texts(page)
    for part in ("Open", "for 42 s", "15.0k", "≥ \\$0.184", "**7** held", "**31** denied"):
        assert part in shown
    assert [bar.proto.text for bar in page.get("progress")] == [
        "75% of its 20.0k tokens a minute", "80% of its \\$0.230 a minute",
    ]  # fmt: skip


def test_an_agent_under_a_kill_of_all_is_shown_as_killed_with_who_and_why(monkeypatch: Patch, tmp_path: Path) -> None:
    scripted = Standin(tile("ticket-helper"))
    scripted.answer("/v1/kill", {"scope": "all", "reason": "fire drill"})
    with running(scripted):
        page = signed_in(monkeypatch, tmp_path, scripted)

    assert "every agent was killed by ann: fire drill" in texts(page)
    assert "1 killed" in words(page)


def test_the_work_of_reading_a_board_grows_with_its_agents_and_not_with_their_square() -> None:
    assert _calls_to_read(800) < 5 * _calls_to_read(200)


def _calls_to_read(count: int) -> int:
    """How many functions are called to read a board on which so many agents are killed one by one."""
    scripted, calls = Standin(*(tile(f"agent-{n}") for n in range(count))), []
    for n in reversed(range(count)):
        scripted.answer("/v1/kill", {"scope": f"agent:agent-{n}", "reason": "drill"})
    shown = scripted.board()
    sys.setprofile(lambda _, event, __: calls.append(event) if event == "call" else None)
    try:
        board = read_board(shown)
    finally:
        sys.setprofile(None)
    assert board.tally()[Standing.KILLED] == count
    return len(calls)


def test_a_kill_that_a_process_has_not_confirmed_is_told_on_the_tile(monkeypatch: Patch, tmp_path: Path) -> None:
    scripted = Standin(tile("cut", "forced_open"), tile("other", "forced_open"))
    scripted.awaited = [
        {"order": "kill", "scope": "agent:cut", "age": 60.0, "missing": ["shop-2", "shop-1"]},
        {"order": "kill", "scope": "agent:other", "age": 1.0, "missing": ["shop-3"]},
    ]
    with running(scripted):
        page = signed_in(monkeypatch, tmp_path, scripted)

    told = [text for text in texts(page) if "not confirmed by" in text]
    assert told == ["not confirmed by shop-1, shop-2: it may still act there"]


def test_a_kill_of_all_that_is_not_confirmed_is_told_on_the_tiles_of_those_that_may_still_act(
    monkeypatch: Patch, tmp_path: Path
) -> None:
    scripted = Standin(tile("ticket-helper", "forced_open"), tile("other", "forced_open"))
    gone = [f"gone-{number}" for number in range(4)]  # without a lease: whatever they ran
    scripted.awaited = [{"order": "kill", "scope": "all", "age": 60.0, "missing": ["shop-1", *gone]}]
    with running(scripted):
        page = signed_in(monkeypatch, tmp_path, scripted)

    told = [text for text in texts(page) if "not confirmed by" in text]
    assert sorted(told) == [
        "not confirmed by gone-0, gone-1, gone-2 and 1 more: it may still act there",
        "not confirmed by gone-0, gone-1, gone-2 and 2 more: it may still act there",
    ]


def test_an_agent_that_a_process_holds_killed_is_not_shown_as_killed_and_can_be_resumed(
    monkeypatch: Patch, tmp_path: Path
) -> None:
    scripted = Standin(tile("ticket-helper", killed_in=["shop-1"]), tile("looper", "open", reason="loops"))
    scripted.tiles[1]["killed_in"] = ["shop-1", "shop-2", "shop-3", "shop-4", "shop-5"]
    scripted.reported = [{"process": "shop-1", "kills": [{"id": "k", "scope": "all"}], "more": 7}]
    with running(scripted):
        page = signed_in(monkeypatch, tmp_path, scripted)
        assert "killed in shop-1 by an order that watch does not know" in texts(page)
        many = "killed in shop-1, shop-2, shop-3 and 2 more by an order that watch does not know; loops"
        assert many in texts(page)
        assert "1 warning" in words(page)
        assert [row["Who"] for row in tables(page)[-2]] == ["every agent", "7 more"]
        press(page, "Resume…")
        assert not page.exception


def test_unregistered_agents_have_a_heading_of_their_own(monkeypatch: Patch, tmp_path: Path) -> None:
    with running(Standin(tile("known"), tile("stranger", "open", registered=False))) as scripted:
        page = signed_in(monkeypatch, tmp_path, scripted)

    assert [heading.value for heading in page.header][:2] == ["Circuits", "Unregistered agents"]
    assert texts(page).index("known") < texts(page).index("stranger")


def test_of_registered_and_unregistered_agents_together_the_worst_fifty_are_tiles(
    monkeypatch: Patch, tmp_path: Path
) -> None:
    crowd = [tile(f"agent-{n:02}", registered=n % 2 == 0) for n in range(80)]
    with running(Standin(*crowd, tile("zebra", "open", registered=False))) as scripted:
        page = signed_in(monkeypatch, tmp_path, scripted)

    tiles = [text for text in texts(page) if text.startswith(("agent-", "zebra"))]
    assert sorted(tiles) == [*(f"agent-{n:02}" for n in range(49)), "zebra"]
    assert [len(rows) for rows in tables(page)[:2]] == [15, 16]


def test_with_no_agent_the_page_says_what_to_run(monkeypatch: Patch, tmp_path: Path) -> None:
    with running(Standin()) as scripted:
        page = signed_in(monkeypatch, tmp_path, scripted)

    assert "No agent has spoken yet" in words(page)
    assert "fusebox demo" in words(page)


def test_a_thousand_agents_show_the_worst_fifty_as_tiles_and_the_rest_as_a_table(
    monkeypatch: Patch, tmp_path: Path
) -> None:
    crowd = [tile(f"agent-{n:04}", "open" if n >= 990 else "closed") for n in range(1000)]
    with running(Standin(*crowd)) as scripted:
        page = signed_in(monkeypatch, tmp_path, scripted)
        tiles = [text for text in texts(page) if text.startswith("agent-")]
        rest = tables(page)[0]

        assert len(tiles) == 50
        assert tiles[:10] == [f"agent-{n:04}" for n in range(990, 1000)]
        assert len(rest) == 950

        page.text_input(key="find").input("AGENT-0777").run()
        assert [text for text in texts(page) if text.startswith("agent-")] == ["agent-0777"]


def test_when_watch_falls_silent_the_last_board_stays_and_says_so(monkeypatch: Patch, tmp_path: Path) -> None:
    with running(Standin(tile("ticket-helper", "open"))) as scripted:
        page = signed_in(monkeypatch, tmp_path, scripted)
    page.run()

    assert "ticket-helper" in texts(page)
    assert "watch does not answer" in words(page)
    assert "fusebox up" in words(page)
    orders = [button for button in page.button if button.label in ("Kill…", "Resume…")]
    assert orders
    assert all(button.disabled for button in orders)


def test_the_page_recovers_when_watch_is_back(monkeypatch: Patch, tmp_path: Path) -> None:
    with running(Standin(tile("ticket-helper"))) as scripted:
        page = signed_in(monkeypatch, tmp_path, scripted)
    page.run()
    with running(Standin(tile("ticket-helper", "open"))) as again:
        monkeypatch.setenv("FUSEBOX_CONTROL_URL", again.url)
        page.run()

    assert not page.error
    assert "1 open" in words(page)


def test_trips_say_who_by_what_and_what_repeated_even_without_keep(monkeypatch: Patch, tmp_path: Path) -> None:
    with running(Standin(tile("ticket-helper", "open"), trips=(trip("ticket-helper"),))) as scripted:
        page = signed_in(monkeypatch, tmp_path, scripted)

    assert tables(page)[0][0]["Stopped by"] == "repetition"
    assert "tool_call tickets.comment × 6" in texts(page)
    assert "keep does not answer" in words(page)


def test_a_chosen_trip_stays_chosen_when_a_newer_one_arrives(monkeypatch: Patch, tmp_path: Path) -> None:
    with running(Standin(tile("a"), trips=(trip("newer", 2), trip("older", 1)))) as scripted:
        page = signed_in(monkeypatch, tmp_path, scripted)
        page.selectbox(key="evidence").select("trn_1").run()
        scripted.trips.insert(0, trip("newest", 3))
        page.run()

    assert page.selectbox(key="evidence").value == "trn_1"


def test_processes_that_listen_are_listed(monkeypatch: Patch, tmp_path: Path, standin: Standin) -> None:
    page = signed_in(monkeypatch, tmp_path, standin)

    assert [row["Process"] for row in tables(page)[-1]] == ["shop-1", "shop-2"]


def test_what_is_missing_is_said_as_plain_text(monkeypatch: Patch, tmp_path: Path, standin: Standin) -> None:
    standin.freshness = {"stored": NOW - 300, "canary_seconds": 0.4, "incomplete": ["3 spans of **bot** never arrived"]}
    page = signed_in(monkeypatch, tmp_path, standin)
    assert "3 spans of **bot** never arrived" in texts(page)
    assert "What you see is incomplete" in words(page)
    assert "History is complete up to 5 min ago" in words(page)


def test_a_watch_of_an_earlier_release_says_nothing_about_freshness(
    monkeypatch: Patch, tmp_path: Path, standin: Standin
) -> None:
    standin.freshness = {}
    page = signed_in(monkeypatch, tmp_path, standin)
    assert "incomplete" not in words(page)


def test_an_alert_that_reached_nobody_is_shown_in_red(monkeypatch: Patch, tmp_path: Path, standin: Standin) -> None:
    assert "reached nobody" not in words(signed_in(monkeypatch, tmp_path, standin))
    standin.alerts["undelivered"] = 2
    reason = "tool_call **comment** × 5"
    standin.unreached = [{"id": "alert_trn_1", "type": "circuit.opened", "timestamp": "", "reason": reason}]
    page = signed_in(monkeypatch, tmp_path, standin)
    assert f"circuit.opened: {reason}" in texts(page), "the alert itself, as text"
    assert ":red-badge[:material/notifications_off: 2 alerts reached nobody]" in words(page)


def test_people_keep_their_names_beside_a_watch_of_an_earlier_release(
    monkeypatch: Patch, tmp_path: Path, standin: Standin
) -> None:
    standin.earlier = True
    assert texts(signed_in(monkeypatch, tmp_path, standin))[0] == "ann · operator"


def test_two_people_share_one_board_and_neither_the_others_name_nor_token(
    monkeypatch: Patch, tmp_path: Path, standin: Standin
) -> None:
    standin.tag = '"a"'
    standin.tokens = {TOKEN: "ann", "op_kim": "kim"}
    ann = signed_in(monkeypatch, tmp_path, standin)
    kim = sign_in(opened(monkeypatch, tmp_path, standin.url), "op_kim")
    assert ann.session_state["fusebox"].board is kim.session_state["fusebox"].board
    assert (texts(ann)[0], texts(kim)[0]) == ("ann · operator", "kim · operator")

    standin.tiles[0]["agent"], standin.tag = "another", '"b"'
    assert "another" in texts(ann.run())
    del standin.tokens["op_kim"]
    assert "no longer accepted" in words(kim.run())
    assert "another" not in texts(kim)
