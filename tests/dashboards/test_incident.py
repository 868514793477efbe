"""An incident told in numbers and as a graph."""

from __future__ import annotations

from html import escape
from typing import Any

import pytest

from dashboards.incident import ended, followed, loop_graph, spared
from dashboards.report import Told, report
from dashboards.text import visible
from dashboards.view import Trip, read_board
from tests.dashboards.hostile import HOSTILE
from tests.dashboards.standin import NOW, Standin, tile, trip

SPENT = {"input_tokens": 900, "output_tokens": 100, "cost_usd": 0.5, "unpriced_tokens": 0}


def _trip(agent: str = "bot") -> Trip:
    (found,) = read_board(Standin(tile(agent), trips=(trip(agent),)).board()).trips
    return found


def _did(operation: str, target: str = "T-1") -> dict[str, Any]:
    return {"at": NOW, "action": "tool_call", "operation": operation, "target": target, "ok": False,
            "error_type": operation, "tokens": 1, "duration_s": 0.1}  # fmt: skip


def _span(operation: str) -> dict[str, Any]:
    return {
        "time": NOW, "action": "tool_call", "operation": operation, "target": operation, "workflow": operation,
        "request_hash": 1, "result_hash": 2, "ok": False, "error_type": operation, "input_tokens": 1,
        "output_tokens": 2, "cost_usd": None, "price": operation, "duration_s": 0.1, "trace_id": "a" * 32,
        "span_id": "b" * 16,
    }  # fmt: skip


def test_what_was_spared_is_the_pace_before_for_as_long_as_it_was_open() -> None:
    found = _trip()
    saving = spared(10, SPENT, found.time - 60, found, found.time + 600)

    assert (saving.minutes, saving.actions, saving.tokens, saving.usd) == (10, 100, 10_000, 5)


@pytest.mark.parametrize("kind", ["resume", "transition", "reset"])
def test_it_was_open_until_it_moved_on(kind: str) -> None:
    found = _trip()
    deeds = [{"kind": kind, "at": found.time - 1}, {"kind": "alert", "at": found.time + 1}]

    assert ended(deeds, found, NOW + 99) == NOW + 99
    assert ended([*deeds, {"kind": kind, "at": found.time + 7}], found, NOW + 99) == found.time + 7


def test_the_loop_is_drawn_with_how_often_what_followed_what() -> None:
    graph = loop_graph([_did("read"), _did("comment")] * 3, _trip())

    assert graph.count("->") == 2
    assert 'label="3"' in graph
    assert 'label="2"' in graph


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_words_stay_inside_their_quotes_and_cells(text: str) -> None:
    assert loop_graph([_did(text), _did("x")], _trip(text)).replace("\\\\", "").replace('\\"', "").count('"') % 2 == 0
    deed = {"at": NOW, "kind": text, "actor": text, "reason": text, "fate": text}
    steps = [_did(text, text)] * 2
    told = Told(_trip(text), spared(1, SPENT, NOW, _trip(), NOW), [_span(text)] * 2, followed(steps), steps, [deed])
    assert "<script" not in report(told)
    assert "<img" not in report(told)
    assert report(told).count(escape(visible(text, 60))[:40]) >= 4
