"""Cycles across agents, with and without a trace, and what only looks like one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest

from breakers.detectors.base import Detector
from breakers.detectors.cycle import Cycle
from breakers.detectors.delegation import Delegation
from fusebox.records import ActionKind, Event, Hop
from tests.breakers.traffic import START, event


def opens(detector: Detector, events: Iterable[Event]) -> int:
    for number, one in enumerate(events, 1):
        found = detector.observe(one)
        if found and found.action == "open":
            return number
    return 0


def ring(size: int, texts: list[str], *, traced: bool, times: int = 40, result: str | None = "accepted") -> list[Event]:
    """Agents in a circle; the n-th message says ``texts[n % len(texts)]``."""
    return [
        event(
            START + 2.7 * n, "delegate", f"a{(n + 1) % size}", texts[n % len(texts)], result, agent=f"a{n % size}",
            trace="e" * 32 if traced else f"{n:032x}", tokens=100,
        )
        for n in range(times)
    ]  # fmt: skip


@pytest.mark.parametrize("traced", [True, False])
@pytest.mark.parametrize("size", range(2, 9))
def test_one_text_that_goes_round_is_seen_when_the_ring_closes(size: int, traced: bool) -> None:
    assert opens(Cycle(), ring(size, ["please look after the late parcel"], traced=traced)) == max(5, size + 1)


@pytest.mark.parametrize("traced", [True, False])
@pytest.mark.parametrize("size", [2, 3, 5])
def test_texts_that_differ_from_hop_to_hop_are_seen_at_the_third_old_one(size: int, traced: bool) -> None:
    texts = [f"{word} {word[::-1]} now" for word in ("parcel", "invoice", "harbour", "meeting", "crane")[:size]]
    assert opens(Cycle(), ring(size, texts, traced=traced)) == size + 3


def test_a_dialogue_is_no_cycle_and_neither_is_haggling() -> None:
    talk = [f"{chr(97 + n % 26) * 4} {chr(98 + n % 24) * (2 + n // 26)} about {n}" for n in range(60)]
    assert opens(Cycle(), ring(2, talk, traced=True, times=60)) == 0
    haggling = [f"for the parcel I offer {100 + n} euros" for n in range(60)]
    assert opens(Cycle(), ring(2, haggling, traced=True, times=60, result=None)) == 0


def test_proceed_and_done_are_no_cycle_while_work_gets_done() -> None:
    events = []
    for n in range(20):
        chat = {"action": ActionKind.PUBLISH, "trace": "f" * 32, "tokens": 50}
        events.append(event(START + 9 * n, "chat", "worker", "Please proceed.", None, agent="boss", **chat))
        for step in range(2):
            work = f"{chr(97 + n) * 3}{step * 'x'}"
            events.append(
                event(START + 9 * n + 2 + step, "run", "shell", work, f"out {work}", agent="worker", trace="f" * 32)
            )
        events.append(event(START + 9 * n + 6, "chat", "boss", "Done.", None, agent="worker", **chat))
    assert opens(Cycle(), events) == 0


def test_who_says_the_same_four_times_with_nothing_done_is_stopped() -> None:
    said = [
        event(
            START + n,
            "chat",
            "team",
            "TERMINATE",
            None,
            agent="bot",
            action=ActionKind.PUBLISH,
            trace="1" * 32,
            tokens=9,
        )
        for n in range(6)
    ]
    assert opens(Cycle(), said) == 4


def asked_for_rows(rows: int) -> list[Event]:
    """A boss asks by message; a worker writes row after row, which differ in their numbers, and says so."""
    asked = event(START, "import", "worker", "the file of March", None, agent="boss", action=ActionKind.PUBLISH)
    insert = [
        event(START + 1 + n / 9, "insert", "erp", f"row {n}: {n * 7919} euros", "ok", agent="worker")
        for n in range(rows)
    ]
    return [asked, *insert]


def test_row_after_row_for_somebody_who_asked_is_no_circle() -> None:
    assert opens(Cycle(), asked_for_rows(150)) == 0


def test_who_is_asked_again_whenever_the_same_is_done_goes_round() -> None:
    done = event(START + 2, "report", "boss", "the file is in", None, agent="worker", action=ActionKind.PUBLISH)
    laps = [replace(one, time=one.time + 9 * n) for n in range(6) for one in (*asked_for_rows(2), done)]
    assert 4 < opens(Cycle(), laps) <= 12, "in the third lap"


def test_what_a_publisher_says_next_does_not_follow_from_who_works_on_what_it_said() -> None:
    sent = Hop("news", 7)
    both = [
        replace(one, lineage=(sent,), trace_id="a" * 32)
        for n in range(40)
        for one in (
            event(START + n, "mail.out", "mail.out", f"to u{n}: news", None, agent="news", action=ActionKind.PUBLISH),
            event(START + n + 0.5, "smtp.send", "", f"to u{n}: news", "ok", agent="sender"),
        )
    ]
    assert opens(Cycle(), both) == 0


def test_after_a_finding_new_evidence_is_needed() -> None:
    detector, events = Cycle(), ring(2, ["a b c d", "e f g h"], traced=False, times=30)
    numbers = [n for n, one in enumerate(events, 1) if (f := detector.observe(one)) and f.action == "open"]
    assert numbers[0] == 5
    assert numbers[1] >= 9


def spawn(pairs: Iterable[tuple[str, str]]) -> list[Event]:
    return [
        event(START + n, "spawn_agent", child, f"part {child}", "ok", agent=me) for n, (me, child) in enumerate(pairs)
    ]


def test_a_line_of_delegations_opens_at_its_depth() -> None:
    assert opens(Delegation(), spawn((f"a{n}", f"a{n + 1}") for n in range(20))) == 8


def test_those_who_are_spawned_and_spawn_are_stopped_and_a_wide_map_reduce_is_not() -> None:
    tree = [(f"n{n}", f"n{2 * n + 1 + side}") for n in range(15) for side in (0, 1)]
    assert opens(Delegation(), spawn(tree)) == 8
    assert opens(Delegation(), spawn(("boss", f"w{n}") for n in range(50))) == 0
    assert opens(Delegation(), spawn(("boss", f"w{n}") for n in range(70))) == 60


def test_who_tells_ever_new_agents_the_same_is_stopped() -> None:
    copies = [event(START + n, "delegate", f"w{n}", "do it all again", "ok", agent="boss") for n in range(20)]
    assert opens(Delegation(), copies) == 10


def test_handing_on_to_the_same_two_makes_nobody_deeper() -> None:
    assert opens(Delegation(), spawn((f"a{n % 3}", f"a{(n + 1) % 3}") for n in range(60))) == 0
