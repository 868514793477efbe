"""Questions to the database: asked aside, remembered, compared and drawn."""

from __future__ import annotations

import math
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboards.charts import AGENTS, OTHERS, points
from dashboards.history import KEPT, History, KeepUnavailable
from dashboards.trips import FACTS, alike, side_by_side
from tests.fixtures.collector import until

SPAN = {
    "time": 1_760_000_000.0, "action": "tool_call", "operation": "tickets.comment", "target": "TICK-12",
    "workflow": "", "request_hash": 170, "result_hash": 0, "ok": True, "error_type": "", "input_tokens": 9,
    "output_tokens": 1, "cost_usd": 0.5, "price": "", "duration_s": 0.25, "trace_id": "a" * 32, "span_id": "b" * 16,
}  # fmt: skip


def test_an_answer_is_remembered_for_as_long_as_it_lasts() -> None:
    history, asked = History(), []

    def ask() -> list[dict[str, Any]]:
        asked.append(1)
        return [{"n": len(asked)}]

    assert history.rows("a", ask, now=0, lasting=10) == [{"n": 1}]
    assert history.rows("a", ask, now=9, lasting=10) == [{"n": 1}]
    assert history.rows("a", ask, now=10, lasting=10) == [{"n": 2}]


def test_a_slow_answer_stops_nobody_and_comes_later() -> None:
    history, gate = History(), threading.Event()

    def ask() -> list[dict[str, Any]]:
        gate.wait(20)
        return [{"n": 1}]

    assert history.rows("a", ask, now=0, lasting=math.inf) is None
    gate.set()
    assert until(lambda: history.rows("a", ask, now=1, lasting=math.inf), "the answer") == [{"n": 1}]


def test_what_failed_is_asked_again() -> None:
    history = History()

    def fail() -> list[dict[str, Any]]:
        raise KeepUnavailable("down")

    with pytest.raises(KeepUnavailable):
        history.rows("a", fail, now=0, lasting=5)
    assert history.rows("a", list, now=5, lasting=5) == []


def test_an_answer_stands_until_the_database_has_stored_something_and_for_a_minute_at_most() -> None:
    history, asked = History(), []

    def ask() -> list[dict[str, Any]]:
        asked.append(1)
        return [{"n": len(asked)}]

    def at(now: float, mark: float) -> int:
        return int((history.rows("a", ask, now, lasting=10, mark=mark) or [{"n": 0}])[0]["n"])

    assert [at(0, mark=7), at(30, mark=7), at(31, mark=8), at(32, mark=9), at(50, mark=9)] == [1, 1, 2, 2, 3]
    assert [at(109, mark=9), at(110, mark=9)] == [3, 4]


def test_however_many_ask_the_question_is_put_once() -> None:
    history, gate, asked = History(), threading.Event(), []

    def ask() -> list[dict[str, Any]]:
        asked.append(1)
        gate.wait(20)
        return [{"n": 1}]

    with ThreadPoolExecutor(8) as people:
        answers = [people.submit(history.rows, "a", ask, 0, 10, 20.0) for _ in range(8)]
        until(lambda: asked, "it is put")
        gate.set()
        assert [answer.result() for answer in answers] == [[{"n": 1}]] * 8
    assert asked == [1]


def test_an_answer_of_long_ago_is_not_shown_while_a_new_one_is_awaited() -> None:
    history, gate = History(), threading.Event()
    history.rows("a", lambda: [{"n": 1}], now=0, lasting=10)

    def slow() -> list[dict[str, Any]]:
        gate.wait(20)
        return [{"n": 2}]

    assert history.rows("a", slow, now=20, lasting=10) == [{"n": 1}]
    assert history.rows("a", slow, now=3600, lasting=10) is None
    gate.set()
    assert until(lambda: history.rows("a", slow, now=3600, lasting=math.inf), "the answer") == [{"n": 2}]


def test_a_bounded_number_of_answers_is_remembered() -> None:
    history = History()
    for number in range(KEPT + 1):
        history.rows(str(number), lambda: [{}], now=0, lasting=math.inf)

    assert history.last("0") == []
    assert history.last(str(KEPT)) == [{}]


def test_what_repeats_lines_up() -> None:
    rows = {row["Fact"]: row for row in side_by_side([SPAN, {**SPAN, "span_id": "c" * 16, "ok": False}])}

    assert rows.keys() == FACTS.keys()
    assert rows["request"] == {"Fact": "request", "Same": "=", "Span 1": f"{170:016x}", "Span 2": f"{170:016x}"}
    assert rows["span"]["Same"] == rows["ended"]["Same"] == ""
    assert rows["result"]["Span 1"] == "not known"


def test_like_is_compared_with_like() -> None:
    thought = {**SPAN, "action": "model_call", "operation": "gpt-5-mini"}
    again, once = alike(
        [thought, SPAN, {**SPAN, "action": "consume"}, SPAN, thought, SPAN], "tool_call tickets.comment"
    )

    assert [(len(group), group[0]["action"]) for group in again] == [(3, "tool_call"), (2, "model_call")]
    assert [span["action"] for span in once] == ["consume"]


def test_what_nobody_can_price_is_not_free() -> None:
    rows = {row["Fact"]: row for row in side_by_side([SPAN, {**SPAN, "cost_usd": None, "price": "unpriced"}])}
    assert (rows["cost"]["Span 1"], rows["cost"]["Span 2"]) == ("$0.500", "unpriced")


ROWS = st.lists(
    st.builds(
        lambda agent, minute, tokens: {"agent": f"agent-{agent}", "minute": minute * 60, "tokens": tokens},
        st.integers(0, 20), st.integers(0, 30), st.integers(0, 10_000),
    ),
    min_size=1,
)  # fmt: skip


@given(ROWS)
def test_the_plot_draws_every_token_in_few_lines_without_gaps(rows: list[dict[str, Any]]) -> None:
    drawn = points(rows)
    lines = {point["agent"] for point in drawn}
    minutes = sorted({point["minute"] for point in drawn})

    assert sum(point["tokens"] for point in drawn) == sum(row["tokens"] for row in rows)
    assert len(lines) <= AGENTS + 1
    assert (OTHERS in lines) == (len({row["agent"] for row in rows}) > AGENTS)
    assert len(drawn) == len(lines) * len(minutes)
    assert len(minutes) >= 2
    assert {(b - a).seconds for a, b in pairwise(minutes)} == {60}
